import ImageCodecs
import ImageFormats
import ImageModel

/// One thread's share of a conversion: its chunk, and what it needs to turn it into bytes at file offsets.
struct ConversionWorker: ~Copyable {
    private(set) var totals = ConversionTotals()

    private let policy: SparsePolicy
    private let unitSize: UInt64
    /// Where the guest's bytes end: before the virtual size for a raw file that ends inside a sector.
    private let contentLength: UInt64
    private var content: ChunkContent
    private var compressor: UnitCompressor?
    private var pieces: [ContentPiece] = []
    private var plan: WritePlan
    private var segments: [MetadataSegment] = []

    /// How much is checksummed and then written at once: it must stay in a processor's own cache between the two.
    private static let writeLength: UInt64 = 256 << 10

    init(_ conversion: Conversion, unitSize: UInt64, storage: UnitStorage) throws(ImageError) {
        policy = conversion.sparsePolicy
        self.unitSize = unitSize
        contentLength = conversion.image.reader.contentLength
        content = ChunkContent(conversion.image)
        plan = WritePlan(unitSize: unitSize, contentLength: contentLength, writtenBelow: policy.writtenBelow)
        if case .compressed(let method, let level) = storage {
            compressor = try UnitCompressor(method, level: level, unitSize: unitSize)
        }
    }

    /// Loads a chunk, finds what is not zero in it, and compresses that where the format asks for it.
    mutating func scan(_ chunk: Chunk) throws(ImageError) {
        pieces = try ZeroScan.nonzero(content.load(chunk), in: content)
        for piece in pieces { totals.contentBytes += piece.length }
        if policy == .noHoles { fillWithZeros(chunk.range) }
        if compressor != nil { try compressUnits() }
    }

    /// Asks the encoder for the places of the chunk's units: the one ordered step, and a short one.
    mutating func place(with encoder: inout any ImageEncoder) throws(ImageError) {
        plan.removeAll()
        segments.removeAll(keepingCapacity: true)
        if compressor == nil {
            try plan.place(pieces, with: &encoder, metadata: &segments)
        } else {
            try compressor?.place(with: &encoder, metadata: &segments)
        }
    }

    /// Writes the chunk's bytes where they were placed, and counts them into the checksums.
    mutating func write(to sink: any ImageSink) throws(ImageError) {
        for segment in segments { try totals.write(segment, to: sink) }
        if compressor != nil {
            try compressor?.write(to: sink, &totals)
            return
        }
        var totals = totals
        for write in plan.writes {
            let isZero = write.piece.origin == .zeros
            try content.forEachRun(of: write.piece, limit: Self.writeLength) { (bytes, distance) throws(ImageError) in
                let end = distance + UInt64(bytes.count)
                if !isZero {
                    let remainder = CRC64Sum.remainder(bytes)
                    totals.content.add(remainder, endingAt: write.piece.guest + end)
                    totals.object.add(remainder, endingAt: write.place.bytes + end)
                }
                try sink.write(data: bytes, at: write.place + distance)
            }
        }
        self.totals = totals
    }

    func finish(_ chunk: Chunk) { content.unload(chunk) }

    /// Puts a piece of zeros wherever the chunk has no content.
    private mutating func fillWithZeros(_ range: GuestRange) {
        let end = min(range.end.bytes, contentLength)
        var filled: [ContentPiece] = []
        var position = range.start.bytes
        for piece in pieces + [ContentPiece(guest: max(position, end), length: 0, origin: .zeros)] {
            if piece.guest > position {
                filled.append(ContentPiece(guest: position, length: piece.guest - position, origin: .zeros))
            }
            if piece.length > 0 { filled.append(piece) }
            position = piece.end
        }
        pieces = filled
    }

    private mutating func compressUnits() throws(ImageError) {
        compressor?.begin()
        for piece in pieces {
            var totals = totals
            try content.forEachRun(of: piece, limit: unitSize) { (bytes, distance) throws(ImageError) in
                let guest = piece.guest + distance
                totals.content.add(CRC64Sum.remainder(bytes), endingAt: guest + UInt64(bytes.count))
                compressor?.take(bytes, at: guest)
            }
            self.totals = totals
        }
        compressor?.end()
    }
}
