/// `sha256-tree`: SHA-256 over the SHA-256 digests of the content's blocks of 64 KiB, in order; the last block may be shorter.
///
/// The digests go in as 32 bytes each, with nothing between and nothing behind them; empty content has no block. A block of
/// zeros has a digest that is known beforehand, and blocks can be hashed by any number of threads: so a sparse disk costs
/// the time of its data, and of its zeros 1 part in 2048. The construction is that of blkhash (Nir Soffer's library for
/// hashing disk images), without its further split into parallel streams. Another program computes it with few lines:
/// `split` into pieces of 65536 bytes, `sha256sum` of each, and `sha256sum` of those digests in binary.
public struct BlockTreeDigest: Sendable {
    /// In bytes.
    public static let blockSize = 64 << 10

    private static let zeroBlock = [UInt8](repeating: 0, count: blockSize)
    /// The digests of 1024 blocks of zeros, one behind the other.
    private static let zeroLeaves = [[UInt8]](repeating: leaf(zeroBlock.span), count: 1024).flatMap(\.self)
    private static let leafLength = 32

    private var outer = SHA256Digest()
    /// The block that has come in part, and how many of its bytes have.
    private var block = SHA256Digest()
    private var blockCount = 0

    public init() {}

    /// The SHA-256 of one block, in 32 bytes.
    public static func leaf(_ block: Span<UInt8>) -> [UInt8] {
        var digest = SHA256Digest()
        digest.update(block)
        return digest.bytes()
    }

    /// Adds bytes, however they are cut; for content that comes in order.
    public mutating func update(_ bytes: Span<UInt8>) {
        var done = 0
        while done < bytes.count {
            let count = min(bytes.count - done, Self.blockSize - blockCount)
            block.update(bytes.extracting(done..<done + count))
            done += count
            blockCount += count
            if blockCount == Self.blockSize { endBlock() }
        }
    }

    private mutating func endBlock() {
        outer.update(block.bytes().span)
        block = SHA256Digest()
        blockCount = 0
    }

    /// Adds the next block by its digest; not in the middle of another.
    public mutating func append(_ leaf: [UInt8]) { outer.update(leaf.span) }

    /// Adds so many bytes of zeros: whole blocks, but for the end of the content.
    public mutating func appendZeros(_ count: UInt64) {
        var blocks = count / UInt64(Self.blockSize)
        while blocks > 0 {
            let step = min(blocks, UInt64(Self.zeroLeaves.count / Self.leafLength))
            outer.update(Self.zeroLeaves.span.extracting(0..<Int(step) * Self.leafLength))
            blocks -= step
        }
        let rest = Int(count % UInt64(Self.blockSize))
        if rest > 0 { append(Self.leaf(Self.zeroBlock.span.extracting(0..<rest))) }
    }

    /// The digest of the content, which ends here, in lower-case hexadecimal.
    public func hexadecimal() -> String {
        guard blockCount > 0 else { return outer.hexadecimal() }
        var whole = self
        whole.endBlock()
        return whole.outer.hexadecimal()
    }
}
