import ImageModel

/// A piece of the disk for one worker: at most a chunk long, within one chunk's bounds.
struct Chunk: Sendable {
    /// Chunks are numbered in guest order, without a gap.
    let ticket: UInt64
    let range: GuestRange
    /// What is stored, in guest order; the rest of the range is zero.
    var extents: [MappedExtent]
}

/// Cuts a disk into chunks, and passes over what is known to be zero.
struct ChunkDispenser: Sendable {
    private var walk: ExtentWalk
    private var current: MappedExtent?
    private let chunkSize: UInt64
    private let image: DiskImage
    private let skippingZeros: Bool
    private var position: UInt64 = 0
    private var ticket: UInt64 = 0

    /// - Parameters:
    ///   - chunkSize: in bytes; a multiple of every allocation unit, so that no unit lies in two chunks.
    ///   - skippingZeros: false hands out every chunk, zero or not.
    init(_ image: DiskImage, chunkSize: UInt64, skippingZeros: Bool = true) {
        walk = ExtentWalk(image)
        self.chunkSize = chunkSize
        self.image = image
        self.skippingZeros = skippingZeros
    }

    /// The next chunk that holds anything; nil when the disk is through.
    mutating func next() throws(ImageError) -> Chunk? {
        if skippingZeros {
            guard let first = try nextStored() else { return nil }
            position = first.range.start.bytes.roundedDown(toMultipleOf: chunkSize)
        }
        guard position < image.virtualSize else { return nil }
        let range = GuestRange(position, length: min(chunkSize, image.virtualSize - position))
        var extents: [MappedExtent] = []
        while let extent = try nextStored(), extent.range.start < range.end {
            let inside = extent.prefix(range.end - extent.range.start)
            extents.append(inside)
            current = inside.range.length < extent.range.length ? extent.dropping(inside.range.length) : nil
        }
        // The walk has gone beyond the chunk: where the disk's size is learned on the way, it is known now if this is the last one.
        guard position < image.virtualSize else { return nil }
        let length = min(range.length, image.virtualSize - position)
        let chunk = Chunk(ticket: ticket, range: GuestRange(position, length: length), extents: extents)
        ticket += 1
        position = chunk.range.end.bytes
        return chunk
    }

    /// The extent that the walk stands at, zeros passed over; it stays current.
    private mutating func nextStored() throws(ImageError) -> MappedExtent? {
        while current?.mapping.readsAsZero ?? true {
            guard let extent = try walk.next() else {
                current = nil
                return nil
            }
            current = extent
        }
        return current
    }
}
