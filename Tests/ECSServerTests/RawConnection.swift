import Foundation
import Glibc
import LatheTestSupport
import OSSWire
import Testing

/// An answer as it came over the wire.
struct RawAnswer: Sendable, CustomTestStringConvertible {
    var status: Int
    var headers: [HeaderField]
    var body: [UInt8]

    func header(_ name: String) -> String? { headers.first { $0.name.lowercased() == name.lowercased() }?.value }

    /// What the API calls the failure, in either format.
    var code: String? { field("Code") }

    /// A field of an answer.
    func field(_ name: String) -> String? {
        if let tree = try? XMLTree(parsing: body) { return tree[name]?.text }
        let object = try? JSONSerialization.jsonObject(with: Data(body)) as? [String: Any]
        return object?[name] as? String
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

    /// - Parameters:
    ///   - host: four numbers with dots between them.
    ///   - source: the address that it comes from, as the host is; nil for any.
    init(port: Int, host: String = "127.0.0.1", from source: String? = nil, receiveBuffer: Int32? = nil) throws {
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
        unsafe inet_pton(AF_INET, host, &address.sin_addr)
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

    /// Whether all of it went out; the server may have closed already, and what it said is still to be read.
    @discardableResult
    func send(_ bytes: [UInt8]) throws -> Bool {
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.send(
                    descriptor, buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            done += count
        }
        return true
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

    /// Whether bytes have come that no answer was made of.
    var hasMore: Bool { !received.isEmpty }

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
}
