/// Header, table or footer bytes at a file offset.
public struct MetadataSegment: Hashable, Sendable {
    /// What the segment holds.
    public enum Content: Hashable, Sendable {
        case bytes([UInt8])
        /// `pattern`, `count` times over: a run of free table entries need not stand in memory.
        case repeating([UInt8], count: UInt64)
    }

    public var offset: FileOffset
    public var content: Content

    public init(at offset: FileOffset, _ bytes: [UInt8]) {
        self.offset = offset
        self.content = .bytes(bytes)
    }

    public init(at offset: FileOffset, repeating pattern: [UInt8], count: UInt64) {
        self.offset = offset
        self.content = .repeating(pattern, count: count)
    }

    /// In bytes.
    public var length: UInt64 {
        switch content {
        case .bytes(let bytes): UInt64(bytes.count)
        case .repeating(let pattern, let count): UInt64(pattern.count) * count
        }
    }

    /// Hands out the content in order, in pieces of at most about `pieceLength` bytes, each with its file offset.
    public func forEachPiece(
        ofAtMost pieceLength: Int = 64 << 10, _ body: ([UInt8], FileOffset) throws(ImageError) -> Void
    ) throws(ImageError) {
        switch content {
        case .bytes(let bytes):
            if !bytes.isEmpty { try body(bytes, offset) }
        case .repeating(let pattern, let count):
            guard !pattern.isEmpty else { return }
            let batch = UInt64(max(1, pieceLength / pattern.count))
            var piece: [UInt8] = []
            var done: UInt64 = 0
            while done < count {
                let step = min(batch, count - done)
                let wanted = Int(step) * pattern.count
                if piece.count != wanted {
                    piece = pattern
                    while piece.count < wanted { piece += piece.prefix(wanted - piece.count) }
                }
                try body(piece, offset + done * UInt64(pattern.count))
                done += step
            }
        }
    }
}

/// Where an image's bytes go.
///
/// Data comes from many threads at once, each byte once at most; what is never written reads as zero. Metadata and data
/// come apart, since a sink that can't go back (a pipe) learns the metadata in a pass of its own.
public protocol ImageSink: Sendable {
    /// Whether data must arrive in ascending file offsets, one call at a time.
    var isSequential: Bool { get }

    /// Takes content bytes for a file offset.
    func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError)

    /// Takes metadata bytes for a file offset.
    func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError)

    /// Settles the length in bytes, after the last write.
    func finish(length: UInt64) throws(ImageError)
}
