import Foundation
import Glibc
import LatheTestSupport
import OSSClient
import OSSWire
import ObjectStorage
import Synchronization

/// A server of HTTP that does what a test tells it, byte by byte: on a free port of 127.0.0.1, a thread a connection.
final class OddServer: Sendable {
    /// What arrived up to the end of the head.
    struct Request: Sendable {
        var method: String
        /// Path and query, escaped.
        var target: String
        var headers: [String: String]

        var length: Int { headers["content-length"].flatMap { Int($0) } ?? 0 }
    }

    let port: Int
    private let listener: Int32
    private let seen = Mutex<[Request]>([])
    private let react: @Sendable (Request, OddConnection) -> Void

    /// - Parameter react: called for every request; the connection is closed once it answers nothing more.
    init(_ react: @escaping @Sendable (Request, OddConnection) -> Void) throws {
        self.react = react
        port = try freePort()
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var on: Int32 = 1
        unsafe setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let bound = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(listener, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard bound == 0, listen(listener, 64) == 0 else { throw PeerError("listen: errno \(errno)") }
        Thread.detachNewThread { [self] in serve() }
    }

    /// Takes no more connections.
    func end() { shutdown(listener, Int32(SHUT_RDWR)) }

    /// All requests so far.
    var requests: [Request] { seen.withLock { $0 } }

    private func serve() {
        while true {
            let descriptor = accept(listener, nil, nil)
            guard descriptor >= 0 else {
                close(listener)
                return
            }
            Thread.detachNewThread { [self] in
                let connection = OddConnection(descriptor)
                while !connection.isEnded, let request = connection.request() {
                    seen.withLock { $0.append(request) }
                    react(request, connection)
                }
                connection.close()
            }
        }
    }

    func oss(
        _ signature: OSSConfiguration.SignatureVersion = .v4, md5: Bool = false, idleTimeout: Double = 5,
        token: String? = nil
    ) throws -> OSSBucket {
        let configuration = try OSSConfiguration(
            endpoint: "http://127.0.0.1:\(port)", region: "cn-hangzhou", signature: signature, sendsContentMD5: md5,
            connection: ConnectionOptions(connectTimeout: 5, idleTimeout: idleTimeout, completionTimeout: idleTimeout))
        return try OSSBucket(
            "lathe-test", configuration, Credentials(accessKeyID: "ak", accessKeySecret: "sk", securityToken: token))
    }

    func s3(idleTimeout: Double = 5) throws -> S3Bucket {
        let configuration = try S3Configuration(
            endpoint: "http://127.0.0.1:\(port)",
            connection: ConnectionOptions(idleTimeout: idleTimeout, completionTimeout: idleTimeout))
        return try S3Bucket("lathe-test", configuration, Credentials(accessKeyID: "ak", accessKeySecret: "sk"))
    }
}

/// One connection to an odd server, in the hands of one thread.
final class OddConnection: @unchecked Sendable {
    // One thread has it; it is Sendable only to be passed to that thread's closure.
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private(set) var isEnded = false

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    private func fill() -> Bool {
        var block = [UInt8](repeating: 0, count: 256 << 10)
        let count = unsafe recv(descriptor, &block, block.count, 0)
        guard count > 0 else { return false }
        buffer += block[..<count]
        return true
    }

    func request() -> OddServer.Request? {
        let end = Array("\r\n\r\n".utf8)
        while true {
            if let range = buffer.firstRange(of: end) {
                let lines = String(decoding: buffer[..<range.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
                buffer.removeSubrange(..<range.upperBound)
                let words = lines[0].split(separator: " ").map(String.init)
                var headers: [String: String] = [:]
                for line in lines.dropFirst() {
                    let halves = line.split(separator: ":", maxSplits: 1)
                    headers[halves[0].lowercased()] =
                        halves.count > 1 ? halves[1].trimmingCharacters(in: .whitespaces) : ""
                }
                return OddServer.Request(method: words[0], target: words[1], headers: headers)
            }
            guard fill() else { return nil }
        }
    }

    /// So many bytes of the body, or what there is of it.
    @discardableResult func body(_ length: Int) -> [UInt8] {
        while buffer.count < length, fill() {}
        let body = Array(buffer.prefix(length))
        buffer.removeFirst(body.count)
        return body
    }

    /// Waits until the other side closes, a minute at most, and reads nothing but that.
    func waitForEnd() {
        // POLLRDHUP, a macro that is not imported: the other side has closed, whatever is still to be read.
        var wanted = pollfd(fd: descriptor, events: 0x2000, revents: 0)
        _ = unsafe poll(&wanted, 1, 60_000)
        close()
    }

    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { all in
                unsafe Glibc.send(
                    descriptor, all.baseAddress?.advanced(by: sent), bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
    }

    func send(_ text: String) { send(Array(text.utf8)) }

    /// A whole answer.
    ///
    /// - Parameter length: what `Content-Length` says; that of the body by default.
    func answer(_ status: Int, _ headers: [String: String] = [:], _ body: String = "", length: Int? = nil) {
        var text = "HTTP/1.1 \(status) Odd\r\nContent-Length: \(length ?? body.utf8.count)\r\n"
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        send("\(text)\r\n\(body)")
    }

    /// A whole answer that is an error in XML.
    func refuse(_ status: Int, _ code: String, _ more: [OSSErrorBody.Detail] = [], _ headers: [String: String] = [:]) {
        let body = OSSErrorBody(code: code, message: "that is \(code)", requestID: "R1", details: more)
        answer(status, headers, String(decoding: body.xml, as: UTF8.self))
    }

    /// Closes it, so that the other side hears of it in the middle of what it does.
    func reset() {
        var value = linger(l_onoff: 1, l_linger: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    func close() {
        guard !isEnded else { return }
        isEnded = true
        _ = Glibc.close(descriptor)
    }
}
