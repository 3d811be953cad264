internal import Crypto
internal import NIOCore
internal import NIOPosix
internal import ObjectStorage
internal import Synchronization

/// What takes the bytes of an object or a part, one piece behind the other.
protocol PieceWriter: Sendable {
    var length: UInt64 { get }
    var crc64: UInt64 { get }
    func write(_ bytes: Span<UInt8>) throws(StoreError)
}

extension ObjectWriter: PieceWriter {}
extension PartWriter: PieceWriter {}

/// A body on its way into the store: while one piece is read from the network, the one before is written and digested.
struct Reception: Sendable {
    private let writer: any PieceWriter
    private let md5 = MD5Sum()
    private let pool: BlockingPool

    init(_ writer: any PieceWriter, _ pool: BlockingPool) {
        self.writer = writer
        self.pool = pool
    }

    /// Takes the whole body.
    ///
    /// - Returns: its MD5.
    /// - Throws: what the network or the store throws; nothing of the body is then under way any more.
    @concurrent
    func receive(_ reader: inout BodyReader) async throws -> [UInt8] {
        // No piece but these two is in memory, so a slow disk slows the client down.
        var underWay: PieceUnderWay?
        do {
            while let buffers = try await reader.next() {
                try await underWay?.finish()
                underWay = start(buffers)
            }
            try await underWay?.finish()
        } catch {
            try? await underWay?.finish()
            throw error
        }
        return md5.finish()
    }

    private func start(_ buffers: [ByteBuffer]) -> PieceUnderWay {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let (writer, md5) = (writer, md5)
        return PieceUnderWay(
            written: pool.start(loop) { for buffer in buffers { try writer.write(buffer.readableBytesUInt8Span) } },
            digested: pool.start(loop) { md5.update(buffers) })
    }
}

/// The two things that are done with one piece.
private struct PieceUnderWay: Sendable {
    let written: EventLoopFuture<Void>
    let digested: EventLoopFuture<Void>

    /// Waits for both, whatever becomes of the first.
    func finish() async throws {
        do {
            try await digested.get()
        } catch {
            try? await written.get()
            throw error
        }
        try await written.get()
    }
}

/// The MD5 of pieces that come in order, from whatever thread.
final class MD5Sum: Sendable {
    private let hash = Mutex(Insecure.MD5())

    func update(_ buffers: [ByteBuffer]) {
        hash.withLock { hash in
            for buffer in buffers {
                unsafe buffer.withUnsafeReadableBytes { bytes in unsafe hash.update(bufferPointer: bytes) }
            }
        }
    }

    func update(_ bytes: [UInt8]) { hash.withLock { $0.update(data: bytes) } }

    func finish() -> [UInt8] { hash.withLock { Array($0.finalize()) } }
}

/// The mark of an object or a part: its MD5 in capitals.
func tag(ofMD5 digest: [UInt8]) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    return String(decoding: digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}
