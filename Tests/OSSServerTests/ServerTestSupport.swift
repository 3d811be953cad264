import Foundation
import Glibc
import LatheTestSupport
import OSSServer
import OSSWire
import ObjectStorage
import Testing

/// A server of a test's own over a directory of its own, with one bucket.
struct OwnServer: Sendable {
    static let bucketName = "disks"
    static let credentials = Credentials(accessKeyID: "test-id", accessKeySecret: "test-secret")

    let directory: TemporaryDirectory
    let store: DirectoryStore
    let bucket: DirectoryBucket
    let server: OSSServer

    /// Paths of files that are neither objects nor what the store always has of a bucket: what a failure left behind.
    func leftovers() throws -> [String] {
        let root = "\(store.path)/\(Self.bucketName)"
        return try FileManager.default.subpathsOfDirectory(atPath: root).filter { name in
            name.hasPrefix(".lathe/temporary/") || name.hasPrefix(".lathe/uploads/")
        }
    }

    /// Sends one request on a connection of its own.
    func exchange(_ request: String, body: [UInt8] = []) async throws -> RawAnswer {
        let port = server.port
        return try await onThread {
            let connection = try RawConnection(port: port)
            try connection.send(Array(request.utf8) + body)
            return try connection.answer(toHead: request.hasPrefix("HEAD "))
        }
    }

    /// Sends a request that is signed with version 4, by the credentials of the test.
    func send(
        _ method: String, _ key: String? = nil, bucket: String? = bucketName, query: [QueryItem] = [],
        headers: [HeaderField] = [], body: [UInt8] = [], credentials: Credentials = credentials,
        host: String? = nil, at seconds: UInt64? = nil
    ) async throws -> RawAnswer {
        var request = WireRequest(method: method, bucket: bucket, key: key, query: query, headers: headers)
        OSSSignatureV4.sign(
            &request, credentials, region: "cn-hangzhou", at: seconds ?? UInt64(Date().timeIntervalSince1970))
        let path = host == nil ? "/\(bucket.map { "\($0)/" } ?? "")\(key ?? "")" : "/\(key ?? "")"
        var text = "\(method) \(PercentEncoding.encode(path, keepingSlashes: true))"
        if !query.isEmpty { text += "?\(QueryItem.render(query))" }
        text += " HTTP/1.1\r\nHost: \(host ?? "127.0.0.1:\(server.port)")\r\n"
        for header in request.headers { text += "\(header.name): \(header.value)\r\n" }
        if !body.isEmpty || method == "PUT" || method == "POST" { text += "Content-Length: \(body.count)\r\n" }
        return try await exchange(text + "\r\n", body: body)
    }
}

/// Runs a body with a server of its own, which has ended when this returns.
func withServer(
    anonymous: Bool = false, at path: String? = nil, _ change: (inout OSSServerConfiguration) -> Void = { _ in },
    _ body: (OwnServer) async throws -> Void
) async throws {
    let directory = try TemporaryDirectory()
    let store = try DirectoryStore(path: path ?? directory.file("store"))
    let bucket = try store.ensureBucket(BucketName(OwnServer.bucketName))
    var configuration = OSSServerConfiguration()
    configuration.credentials = [ServerCredential(OwnServer.credentials)]
    configuration.allowsAnonymous = anonymous
    change(&configuration)
    let server = try await OSSServer.start(store, configuration)
    let own = OwnServer(directory: directory, store: store, bucket: bucket, server: server)
    do {
        try await body(own)
        await server.stop(patience: 1)
    } catch {
        await server.stop(patience: 1)
        throw error
    }
}

/// Runs what blocks on a thread of its own: the server's handlers need those that run asynchronous work.
func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result(catching: body)) }
    }
}

/// An answer as it came over the wire.
struct RawAnswer: Sendable, CustomTestStringConvertible {
    var status: Int
    var headers: [HeaderField]
    var body: [UInt8]

    func header(_ name: String) -> String? { headers.first { $0.name.lowercased() == name.lowercased() }?.value }

    /// What OSS calls the failure.
    var code: String? {
        if let header = header("x-oss-err") { return OSSErrorBody(header: header)?.code }
        return OSSErrorBody(parsing: body)?.code
    }

    var text: String { String(decoding: body, as: UTF8.self) }

    var testDescription: String { "\(status) \(headers.map { "\($0.name): \($0.value)" }) \(text.prefix(600))" }
}

/// The connection ended before an answer did.
struct ConnectionEnded: Error {}

/// A TCP connection to a loopback address on which anything can be sent; every call blocks, for at most half a minute.
final class RawConnection {
    private let descriptor: Int32
    private var received: [UInt8] = []

    /// - Parameter source: the address that it comes from, four numbers with dots between them; nil for any.
    init(port: Int, host: UInt32 = 0x7F00_0001, from source: String? = nil, receiveBuffer: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        try #require(descriptor >= 0)
        if var size = receiveBuffer {
            unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        var patience = timeval(tv_sec: 30, tv_usec: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        if let source { try bind(to: source) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = host.bigEndian
        let status = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else { throw PeerError("connect: errno \(errno)") }
    }

    deinit { close(descriptor) }

    private func bind(to source: String) throws {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        unsafe inet_pton(AF_INET, source, &address.sin_addr)
        let status = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe Glibc.bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else { throw PeerError("bind: errno \(errno)") }
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.send(
                    descriptor, buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done, Int32(MSG_NOSIGNAL))
            }
            // The server may have closed already; what it said is still to be read.
            guard count > 0 else { return }
            done += count
        }
    }

    /// Sends no more, but goes on to receive.
    func endSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Reads one answer.
    func answer(toHead isHead: Bool = false) throws -> RawAnswer {
        let head = try line(until: [13, 10, 13, 10])
        let lines = String(decoding: head, as: UTF8.self).components(separatedBy: "\r\n")
        let status = try #require(lines[0].split(separator: " ").dropFirst().first.flatMap { Int($0) }, "\(lines[0])")
        let headers = lines.dropFirst().compactMap { line -> HeaderField? in
            let halves = line.split(separator: ":", maxSplits: 1)
            return halves.count == 2
                ? HeaderField(String(halves[0]), halves[1].trimmingCharacters(in: .whitespaces)) : nil
        }
        var answer = RawAnswer(status: status, headers: headers, body: [])
        guard !isHead, status >= 200, let length = answer.header("Content-Length").flatMap({ Int($0) }) else {
            return answer
        }
        while received.count < length { try receive() }
        answer.body = Array(received.prefix(length))
        received.removeFirst(length)
        return answer
    }

    private func line(until end: [UInt8]) throws -> [UInt8] {
        while true {
            if let place = received.firstRange(of: end) {
                let line = Array(received[..<place.lowerBound])
                received.removeSubrange(..<place.upperBound)
                return line
            }
            try receive()
        }
    }

    /// - Throws: `ConnectionEnded`.
    private func receive() throws {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
        guard count > 0 else { throw ConnectionEnded() }
        received += buffer[..<count]
    }

    /// Reads until the server ends the connection, and answers whether it did within the half minute.
    func waitForEnd() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
            if count == 0 || (count < 0 && errno == ECONNRESET) { return true }
            if count < 0 { return false }
        }
    }

    /// Sends a byte now and then until the connection is over, and answers whether that was within the half minute.
    func trickleUntilEnd() -> Bool {
        for _ in 0..<300 {
            let count = unsafe Glibc.send(descriptor, "x", 1, Int32(MSG_NOSIGNAL))
            if count < 0 { return errno == ECONNRESET || errno == EPIPE }
            usleep(100_000)
        }
        return false
    }

    /// Whether the connection is over, found by sending rather than by reading.
    func waitForReset() -> Bool {
        for _ in 0..<3000 {
            let count = unsafe Glibc.send(descriptor, "x", 1, Int32(MSG_NOSIGNAL))
            if count < 0 { return errno == ECONNRESET || errno == EPIPE }
            usleep(10_000)
        }
        return false
    }
}
