import ImageCodecs
import ImageFormats
import ImageModel

/// The bytes of one chunk, in a worker's own buffer: read once, so that what is scanned, what is checksummed and what is
/// written are the same bytes, whatever happens to the source meanwhile.
///
/// A guest byte stands at its distance from the start of the chunk. Only `pieces` are filled, unless `fillGaps` was called.
struct ChunkContent: ~Copyable {
    /// Zeros are looked for in steps of this many guest bytes, aligned, unless units are smaller: the block of common file
    /// systems, below which a hole saves nothing.
    private static let granule = 4096

    /// What the chunk has stored, or after `dropZeros` what of it is not zero: ascending, apart from each other.
    private(set) var pieces: [GuestRange] = []

    private let image: DiskImage
    private var start = GuestOffset(0)
    /// Empty until it is needed: a conversion that reads nothing needs none.
    private var buffer: [UInt8] = []
    private let bufferLength: Int
    /// The step in which zeros are looked for, in bytes.
    private let step: Int
    private var decompressor: Decompressor?
    /// The last unit of which only a part was needed: the rest of its range is another file's.
    private var partUnit: CompressedUnit?
    private var partContent: [UInt8] = []
    /// What it inflated to, in bytes.
    private var partLength: UInt64 = 0

    /// - Parameters:
    ///   - chunkSize: of every chunk that will be loaded; the buffer is this long, in bytes.
    ///   - unitSize: of the image that is written; nil where none is.
    init(_ image: DiskImage, chunkSize: UInt64, unitSize: UInt64? = nil) {
        self.image = image
        bufferLength = Int(chunkSize)
        step = min(Self.granule, unitSize.map { Int($0) } ?? Self.granule)
    }

    /// Reads, and inflates, what a chunk has stored.
    mutating func load(_ chunk: Chunk) throws(ImageError) {
        try allocate()
        note(chunk)
        for extent in chunk.extents { try read(extent) }
    }

    /// Takes a chunk's extents for its pieces, and reads nothing of them yet.
    mutating func note(_ chunk: Chunk) {
        start = chunk.range.start
        pieces.removeAll(keepingCapacity: true)
        for extent in chunk.extents where !extent.mapping.readsAsZero { append(extent.range) }
    }

    /// Lends the bytes of a range that were not loaded, in pieces that fit the buffer: what extents have stored, and zeros
    /// between them.
    ///
    /// The buffer then holds nothing else. Pieces end at multiples of the buffer's length, as chunks do, so that no
    /// compressed unit lies in two.
    mutating func withPieces(
        of range: GuestRange, storedIn extents: [MappedExtent],
        _ body: (Span<UInt8>, GuestOffset) throws(ImageError) -> Void
    ) throws(ImageError) {
        try allocate()
        var index = extents.partitioningIndex { $0.range.end > range.start }
        var position = range.start
        while position < range.end {
            start = GuestOffset(position.bytes.roundedDown(toMultipleOf: UInt64(bufferLength)))
            let end = min(range.end, start + UInt64(bufferLength))
            try fill(position, end, from: extents, &index)
            try body(buffer.span.extracting(Int(position - start)..<Int(end - start)), position)
            position = end
        }
    }

    /// Puts guest bytes into the buffer; `index` is that of the first extent that ends behind them.
    private mutating func fill(
        _ first: GuestOffset, _ end: GuestOffset, from extents: [MappedExtent], _ index: inout Int
    ) throws(ImageError) {
        var position = first
        while position < end {
            while index < extents.count, extents[index].range.end <= position { index += 1 }
            let next = index < extents.count ? min(max(extents[index].range.start, position), end) : end
            fillWithZeros(Int(position - start)..<Int(next - start))
            position = next
            guard position < end else { return }
            let part = extents[index].dropping(position - extents[index].range.start).prefix(end - position)
            try read(part)
            position = part.range.end
        }
    }

    private mutating func read(_ extent: MappedExtent) throws(ImageError) {
        switch extent.mapping {
        case .raw(let offset):
            let stored = FileRange(start: offset, length: extent.range.length)
            try image.source.read(stored, into: &buffer, at: Int(extent.range.start - start))
        case .compressed(let unit): try inflate(unit, needed: extent.range)
        case .zero, .hole: return
        }
    }

    private mutating func allocate() throws(ImageError) {
        guard buffer.isEmpty else { return }
        try AvailableMemory.require(bufferLength)
        buffer = [UInt8](repeating: 0, count: bufferLength)
    }

    /// Holds nothing, from a guest offset on: a chunk that is all zero.
    mutating func clear(from guest: GuestOffset) throws(ImageError) {
        start = guest
        pieces.removeAll(keepingCapacity: true)
        try allocate()
    }

    /// Lends the bytes of a guest range of the chunk.
    func withBytes<Result>(of range: GuestRange, _ body: (Span<UInt8>) throws(ImageError) -> Result)
        throws(ImageError) -> Result
    {
        let first = Int(range.start - start)
        return try body(buffer.span.extracting(first..<first + Int(range.length)))
    }

    /// Keeps of the pieces what is not zero.
    mutating func dropZeros() {
        let loaded = pieces
        pieces.removeAll(keepingCapacity: true)
        for piece in loaded {
            var place = Int(piece.start - start)
            let end = place + Int(piece.length)
            while place < end {
                let stop = min(end, (place / step + 1) * step)
                if !ZeroDetector.isZero(buffer.span.extracting(place..<stop)) {
                    append(GuestRange(start: start + UInt64(place), length: UInt64(stop - place)))
                }
                place = stop
            }
        }
    }

    /// Makes all of the buffer that is in no piece zero, to the end of the last unit of the disk and beyond.
    mutating func fillGaps() throws(ImageError) {
        try allocate()
        var place = 0
        for piece in pieces {
            fillWithZeros(place..<Int(piece.start - start))
            place = Int(piece.end - start)
        }
        fillWithZeros(place..<buffer.count)
    }

    /// Makes the whole front of the chunk, up to a guest offset, one piece, zeros and all; after `fillGaps`.
    mutating func keepAll(upTo end: GuestOffset) {
        pieces = [GuestRange(start: start, length: end - start)]
    }

    private mutating func fillWithZeros(_ range: Range<Int>) {
        guard !range.isEmpty else { return }
        unsafe buffer.withUnsafeMutableBytes { bytes in
            _ = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[range]).initializeMemory(
                as: UInt8.self, repeating: 0)
        }
    }

    private mutating func append(_ range: GuestRange) {
        if let last = pieces.indices.last, pieces[last].end == range.start {
            pieces[last].length += range.length
        } else {
            pieces.append(range)
        }
    }

    /// Inflates a unit to its place or, where only a part of it is needed, beside: the rest of its range may have been read from
    /// elsewhere, as under an overlay whose clusters are smaller.
    private mutating func inflate(_ unit: CompressedUnit, needed: GuestRange) throws(ImageError) {
        if decompressor == nil { decompressor = try Decompressor() }
        let isWhole =
            needed.start == unit.content.start
            && (needed.end == unit.content.end || needed.end.bytes == image.virtualSize)
        guard isWhole else { return try inflatePart(unit, needed: needed) }
        guard unit.content.start >= start, unit.content.end - start <= UInt64(buffer.count) else {
            throw tooLong(unit)
        }
        let first = Int(unit.content.start - start)
        let range = first..<first + Int(unit.content.length)
        let produced = try image.source.withBytes(of: unit.stored) { (bytes) throws(ImageError) in
            decompressor?.decompress(bytes, method: unit.method, into: &buffer, range)
        }
        guard let produced, UInt64(produced) >= needed.end - unit.content.start else { throw damaged(unit) }
    }

    /// Inflates a unit beside the chunk, unless it was the last one, and takes what is needed of it.
    private mutating func inflatePart(_ unit: CompressedUnit, needed: GuestRange) throws(ImageError) {
        if partUnit != unit {
            guard unit.content.length <= max(UInt64(buffer.count), ImageLimits.inflatedUnitLength) else {
                throw tooLong(unit)
            }
            partUnit = nil
            let length = Int(unit.content.length)
            if partContent.count < length {
                try AvailableMemory.require(length)
                partContent = [UInt8](repeating: 0, count: length)
            }
            let produced = try image.source.withBytes(of: unit.stored) { (bytes) throws(ImageError) in
                decompressor?.decompress(bytes, method: unit.method, into: &partContent, 0..<length)
            }
            guard let produced else { throw damaged(unit) }
            (partUnit, partLength) = (unit, UInt64(produced))
        }
        guard needed.end - unit.content.start <= partLength else { throw damaged(unit) }
        let first = Int(needed.start - unit.content.start)
        let place = Int(needed.start - start)
        let count = Int(needed.length)
        buffer.replaceSubrange(place..<place + count, with: partContent[first..<first + count])
    }

    private func tooLong(_ unit: CompressedUnit) -> ImageError {
        refusal(
            .limitExceeded, unit,
            "a compressed unit of \(unit.content.length) bytes is more than the \(ImageLimits.inflatedUnitLength) that Lathe "
                + "inflates at once")
    }

    private func damaged(_ unit: CompressedUnit) -> ImageError {
        refusal(
            .corrupt, unit,
            "the \(unit.method.rawValue) data of guest bytes \(unit.content.start.bytes) to \(unit.content.end.bytes) is "
                + "damaged")
    }

    private func refusal(_ code: ImageError.Code, _ unit: CompressedUnit, _ message: String) -> ImageError {
        let place = image.source.place(of: unit.stored.start)
        return ImageError(code, message, path: place.name, offset: place.offset)
    }
}

extension Array {
    /// The index of the first element for which the predicate holds, in an array where it holds for all behind that.
    fileprivate func partitioningIndex(where holds: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if holds(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
