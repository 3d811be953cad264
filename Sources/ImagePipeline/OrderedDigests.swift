import ImageCodecs
import ImageModel
import Synchronization

/// The digests of content that must go in order, fed by many threads: what can be hashed apart from the rest is hashed at
/// once, and each thread's chunk then waits for its turn.
final class OrderedDigests: Sendable {
    private struct State {
        var plain: SHA256Digest?
        var tree: BlockTreeDigest?
        /// How far the content is hashed, in bytes.
        var position: UInt64 = 0

        mutating func skipZeros(upTo end: UInt64) {
            guard end > position else { return }
            plain?.updateZeros(end - position)
            tree?.appendZeros(end - position)
            position = end
        }
    }

    private let state: Mutex<State>
    private let turnstile = Turnstile()
    private let hashesBlocks: Bool
    /// In bytes; what a chunk has beyond does not count.
    private let length: UInt64

    /// - Returns: nil where none of the selected checksums needs an order.
    init?(_ selection: ChecksumSelection, length: UInt64) {
        guard !selection.isDisjoint(with: .ordered) else { return nil }
        hashesBlocks = selection.contains(.sha256Tree)
        state = Mutex(
            State(
                plain: selection.contains(.sha256) ? SHA256Digest() : nil,
                tree: hashesBlocks ? BlockTreeDigest() : nil))
        self.length = length
    }

    /// Takes a chunk, whose gaps have been filled with zeros, once all chunks before it have been taken.
    ///
    /// Chunks that are not given are zero; the tickets have no gap.
    func add(_ chunk: Chunk, _ content: borrowing ChunkContent) throws(ImageError) {
        let start = chunk.range.start.bytes
        let end = min(chunk.range.end.bytes, length)
        var leaves: [[UInt8]?] = []
        if hashesBlocks { leaves = try Self.leaves(of: start..<max(start, end), content) }
        guard turnstile.enter(chunk.ticket) else { return }
        defer { turnstile.pass() }
        guard end > start else { return }
        try state.withLock { (state) throws(ImageError) in
            state.skipZeros(upTo: start)
            if state.plain != nil {
                try content.withBytes(of: GuestRange(start, length: end - start)) { (bytes) throws(ImageError) in
                    state.plain?.update(bytes)
                }
            }
            for (index, leaf) in leaves.enumerated() {
                let place = start + UInt64(index * BlockTreeDigest.blockSize)
                if let leaf {
                    state.tree?.append(leaf)
                } else {
                    state.tree?.appendZeros(min(end - place, UInt64(BlockTreeDigest.blockSize)))
                }
            }
            state.position = end
        }
    }

    /// Sends away whoever waits; the digests are then of no use.
    func stop() { turnstile.stop() }

    /// Puts what was asked for into `checksums`, when all chunks have been taken.
    ///
    /// - Parameter length: of the content in bytes; at the beginning, the most that it may be could be known.
    func finish(_ checksums: inout Checksums, length: UInt64) {
        state.withLock { state in
            state.skipZeros(upTo: length)
            checksums.sha256 = state.plain?.hexadecimal()
            checksums.sha256Tree = state.tree?.hexadecimal()
        }
    }

    /// The digests of the blocks of a chunk; nil for those that no piece of content touches.
    private static func leaves(of range: Range<UInt64>, _ content: borrowing ChunkContent) throws(ImageError)
        -> [[UInt8]?]
    {
        let size = UInt64(BlockTreeDigest.blockSize)
        var leaves: [[UInt8]?] = []
        var piece = 0
        for start in stride(from: range.lowerBound, to: range.upperBound, by: BlockTreeDigest.blockSize) {
            let end = min(start + size, range.upperBound)
            while piece < content.pieces.count, content.pieces[piece].end.bytes <= start { piece += 1 }
            guard piece < content.pieces.count, content.pieces[piece].start.bytes < end else {
                leaves.append(nil)
                continue
            }
            let block = GuestRange(start, length: end - start)
            leaves.append(
                try content.withBytes(of: block) { (bytes) throws(ImageError) in BlockTreeDigest.leaf(bytes) })
        }
        return leaves
    }
}
