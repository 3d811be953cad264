internal import Hummingbird
internal import NIOCore

/// A request's body, piece by piece, held against the length that was announced.
///
/// What the network hands over is small; each piece here is big enough to be worth a change of threads.
struct BodyReader {
    /// A piece is this long, the last one excepted, or up to one network read longer.
    static let pieceLength = 512 << 10

    private var iterator: RequestBody.AsyncIterator
    private let announced: UInt64?
    private let limit: UInt64
    private(set) var received: UInt64 = 0
    private var isAtEnd = false

    /// - Parameters:
    ///   - announced: what `Content-Length` says, where it is there.
    ///   - limit: the most that is taken, in bytes.
    init(_ body: RequestBody, announced: UInt64?, limit: UInt64) throws(OSSFailure) {
        if let announced, announced > limit { throw Self.tooLarge(announced, limit) }
        iterator = body.makeAsyncIterator()
        self.announced = announced
        self.limit = limit
    }

    /// The next bytes, in the buffers that they arrived in; nil at the end.
    ///
    /// - Throws: `OSSFailure` where the body is shorter than announced or longer than the limit; `ConnectionLost`.
    @concurrent
    mutating func next() async throws -> [ByteBuffer]? {
        guard !isAtEnd else { return nil }
        var buffers: [ByteBuffer] = []
        var length = 0
        while length < Self.pieceLength {
            guard let buffer = try await nextBuffer() else {
                isAtEnd = true
                break
            }
            guard buffer.readableBytes > 0 else { continue }
            length += buffer.readableBytes
            received += UInt64(buffer.readableBytes)
            guard received <= limit else { throw Self.tooLarge(received, limit) }
            buffers.append(buffer)
        }
        if isAtEnd, let announced, received != announced {
            throw OSSFailure(
                400, "IncompleteBody",
                "The request has \(received) bytes of a body of which Content-Length announced \(announced).")
        }
        return buffers.isEmpty ? nil : buffers
    }

    @concurrent
    private mutating func nextBuffer() async throws -> ByteBuffer? {
        do { return try await iterator.next() } catch { throw ConnectionLost(cause: error) }
    }

    /// All of a body that is small.
    @concurrent
    mutating func collect() async throws -> [UInt8] {
        var bytes: [UInt8] = []
        while let buffers = try await next() {
            for buffer in buffers { bytes.append(contentsOf: buffer.readableBytesView) }
        }
        return bytes
    }

    private static func tooLarge(_ length: UInt64, _ limit: UInt64) -> OSSFailure {
        OSSFailure(
            400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.",
            details: [("MaxSizeAllowed", "\(limit)"), ("ProposedSize", "\(length)")])
    }
}
