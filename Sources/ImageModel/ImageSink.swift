/// Header, table or footer bytes at a file offset.
public struct MetadataSegment: Hashable, Sendable {
    /// What the segment holds.
    public enum Content: Hashable, Sendable {
        case bytes([UInt8])
        /// The first `prefix` bytes, up to 16, of two integers, each least significant byte first: what stands in front of
        /// every unit is not worth memory of its own.
        case littleEndian(UInt64, UInt64, prefix: UInt8)
        /// `pattern`, `count` times over: a run of free table entries need not stand in memory.
        case repeating([UInt8], count: UInt64)
        /// 32-bit little-endian numbers at even steps: a directory of preallocated tables need not stand in memory either.
        case ascending(from: UInt32, by: UInt32, count: UInt64)
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

    public init(at offset: FileOffset, littleEndian first: UInt64, _ second: UInt64, prefix: UInt8) {
        self.offset = offset
        self.content = .littleEndian(first, second, prefix: prefix)
    }

    /// - Parameters:
    ///   - first: the first number; the last must fit 32 bits too.
    ///   - step: how much each is greater than the one before.
    public init(at offset: FileOffset, ascendingFrom first: UInt32, by step: UInt32, count: UInt64) {
        self.offset = offset
        self.content = .ascending(from: first, by: step, count: count)
    }

    /// In bytes.
    public var length: UInt64 {
        switch content {
        case .bytes(let bytes): UInt64(bytes.count)
        case .littleEndian(_, _, let prefix): UInt64(prefix)
        case .repeating(let pattern, let count): UInt64(pattern.count) * count
        case .ascending(_, _, let count): 4 * count
        }
    }

    /// Hands out the content in order, in pieces of at most about `pieceLength` bytes, each with its file offset.
    public func forEachPiece(
        ofAtMost pieceLength: Int = 64 << 10, _ body: ([UInt8], FileOffset) throws(ImageError) -> Void
    ) throws(ImageError) {
        switch content {
        case .bytes(let bytes):
            if !bytes.isEmpty { try body(bytes, offset) }
        case .littleEndian(let first, let second, let prefix):
            var bytes = [UInt8](repeating: 0, count: 16)
            bytes.storeLittleEndian(first, at: 0)
            bytes.storeLittleEndian(second, at: 8)
            try body(Array(bytes.prefix(Int(prefix))), offset)
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
        case .ascending(let first, let step, let count):
            let batch = UInt64(max(1, pieceLength / 4))
            var done: UInt64 = 0
            while done < count {
                let end = min(done + batch, count)
                try body(Self.numbers(done..<end, from: first, by: step), offset + done * 4)
                done = end
            }
        }
    }

    /// The bytes of some of the numbers of an ascending run.
    private static func numbers(_ indices: Range<UInt64>, from first: UInt32, by step: UInt32) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(indices.count * 4)
        for index in indices {
            let value = first + UInt32(index) * step
            for shift: UInt32 in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
        }
        return bytes
    }
}

/// Where an image's bytes go.
///
/// Data comes from many threads at once, each byte once at most; what is never written reads as zero. Metadata and data
/// come apart, since a sink that can't go back (a pipe) learns the metadata in a pass of its own.
public protocol ImageSink: Sendable {
    /// Whether data must arrive in the order of the disk, one call at a time, and each behind the metadata that was handed out
    /// before it.
    ///
    /// File offsets then ascend, but where a format fills room that it left before.
    var isSequential: Bool { get }

    /// Whether it wants to be told by `expect` what comes.
    var followsLayout: Bool { get }

    /// Is told, in guest order and before any of it is written, what will be written next, and what of the file is still open.
    ///
    /// - Parameters:
    ///   - writes: each byte of them is written once, from now on and by any thread, in calls that each stay within one.
    ///   - unsettled: the ranges to which something else may be written later, in ascending order; what is neither in them nor
    ///     expected has its bytes for good.
    /// - Throws: what keeps the sink from taking any more.
    func expect(_ writes: [FileRange], unsettled: [FileRange]) throws(ImageError)

    /// Takes content bytes for a file offset.
    func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError)

    /// Takes metadata bytes for a file offset.
    func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError)

    /// Settles the length in bytes, after the last write.
    func finish(length: UInt64) throws(ImageError)

    /// Whether ranges of a source can become ranges of the image without a byte being moved.
    ///
    /// Asked once, before the first write.
    func cloning(of source: any ImageSource) -> CloningSupport

    /// Makes a range of a source a range of the image: both share what is stored, until one of them is written to.
    ///
    /// Offsets and length are multiples of what `cloning(of:)` answered. Where the source changes meanwhile, it is not said
    /// which of its bytes the image has.
    ///
    /// - Returns: false where this can't be done after all, and nothing was.
    func clone(_ range: FileRange, of source: any ImageSource, to offset: FileOffset) throws(ImageError) -> Bool
}

extension ImageSink {
    public var followsLayout: Bool { false }

    public func expect(_ writes: [FileRange], unsettled: [FileRange]) throws(ImageError) {}

    public func cloning(of source: any ImageSource) -> CloningSupport { .unavailable("the destination is not a file") }

    public func clone(_ range: FileRange, of source: any ImageSource, to offset: FileOffset) throws(ImageError) -> Bool
    {
        false
    }
}

/// Whether a sink can share what a source has stored.
public enum CloningSupport: Hashable, Sendable {
    /// In whole blocks of so many bytes: offsets in source and image, and lengths.
    case blocks(of: UInt64)
    /// It can't, for this reason: a clause without a full stop.
    case unavailable(String)
}

/// A sink whose bytes can be read back before they go anywhere else.
public protocol ImageSpool: ImageSink {
    /// What was written so far, with zeros where nothing was.
    func spooled() throws(ImageError) -> any ImageSource
}

/// A file that is there already, and of which ranges are written anew in an order that counts.
public protocol PatchSink: ImageSink {
    /// Makes the file longer by a hole, and waits until it is; never shorter.
    func extend(to length: UInt64) throws(ImageError)

    /// Waits until all that was written is on the disk: nothing that is written later gets there before.
    func barrier() throws(ImageError)
}
