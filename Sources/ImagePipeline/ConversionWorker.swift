import ImageCodecs
import ImageFormats
import ImageModel

/// One thread's share of a conversion: its chunk, and what it needs to turn it into bytes at file offsets.
struct ConversionWorker: ~Copyable {
    private(set) var totals = ConversionTotals()

    private let policy: SparsePolicy
    private let trustsHoles: Bool
    /// Whether nobody looks at the bytes that are cloned, so that only those are read which are written.
    private let readsLate: Bool

    /// Whether a conversion looks at no byte before it is placed.
    static func readsLate(_ conversion: Conversion, cloning: SourceCloning?) -> Bool {
        conversion.trustsHoles && conversion.checksums.isEmpty && cloning != nil
    }

    private let reader: any ImageReader
    private let cutsLastUnit: Bool
    private var content: ChunkContent
    private var compressor: UnitCompressor?
    private var plan: WritePlan
    /// nil where the sink can't share anything with the source.
    private var sharing: ClonePlan?
    private var extents: [MappedExtent] = []
    private var segments: [MetadataSegment] = []

    /// - Parameters:
    ///   - chunkSize: of the chunks that are read whole.
    ///   - cutsLastUnit: whether the last compressed unit ends with the content.
    ///   - cloning: nil where the sink can't clone.
    init(
        _ conversion: Conversion, chunkSize: UInt64, unitSize: UInt64, storage: UnitStorage, cutsLastUnit: Bool,
        cloning: SourceCloning?
    ) throws(ImageError) {
        policy = conversion.sparsePolicy
        trustsHoles = conversion.trustsHoles
        totals.isCounting = !conversion.checksums.isEmpty
        readsLate = Self.readsLate(conversion, cloning: cloning)
        reader = conversion.image.reader
        self.cutsLastUnit = cutsLastUnit
        content = ChunkContent(conversion.image, chunkSize: chunkSize, unitSize: unitSize)
        plan = WritePlan(unitSize: unitSize, writtenBelow: policy.writtenBelow)
        sharing = cloning.map { ClonePlan(blockSize: $0.blockSize, unitSize: unitSize) }
        if case .compressed(let compression) = storage {
            compressor = try UnitCompressor(compression, unitSize: unitSize)
        }
    }

    /// Loads a chunk, finds what is not zero in it, and compresses that where the format asks for it.
    mutating func scan(_ chunk: Chunk) throws(ImageError) {
        extents = chunk.extents
        if readsLate { content.note(chunk) } else { try content.load(chunk) }
        if !trustsHoles { content.dropZeros() }
        for piece in content.pieces { totals.contentBytes += piece.length }
        if !readsLate, policy != .allHoles || compressor != nil { try content.fillGaps() }
        if policy == .noHoles { content.keepAll(upTo: GuestOffset(min(chunk.range.end.bytes, contentLength))) }
        guard compressor != nil else { return }
        try countContent()
        let contentEnd = cutsLastUnit ? contentLength : nil
        try compressor?.compress(content, upTo: contentEnd)
    }

    /// Where the guest's bytes end: before the virtual size for a raw file that ends inside a sector.
    ///
    /// Where the source learns it while it is read, it is known with the last chunk that has content.
    private var contentLength: UInt64 { reader.contentLength }

    private mutating func countContent() throws(ImageError) {
        guard totals.isCounting else { return }
        var sum = totals.content
        for piece in content.pieces {
            try content.withBytes(of: piece) { (bytes) throws(ImageError) in
                sum.add(CRC64Sum.remainder(bytes), endingAt: piece.end.bytes)
            }
        }
        totals.content = sum
    }

    /// What of the chunk the sink is to clone, once it is placed.
    var clones: [ClonedRange] { sharing?.clones ?? [] }

    /// Divides what was placed into what is cloned and what is written.
    mutating func share(by cloning: SourceCloning) throws(ImageError) {
        guard cloning.isGoingOn else {
            sharing = nil
            return
        }
        sharing?.divide(plan.writes, storedIn: extents)
        if let sharing { try cloning.require(sharing) }
    }

    /// Asks the encoder for the places of the chunk's units: the one ordered step, and a short one.
    mutating func place(with encoder: inout any ImageEncoder) throws(ImageError) {
        plan.removeAll()
        segments.removeAll(keepingCapacity: true)
        if compressor == nil {
            try plan.place(content.pieces, upTo: reader.contentLength, with: &encoder, metadata: &segments)
        } else {
            try compressor?.place(with: &encoder, metadata: &segments)
        }
    }

    /// What `write` will write.
    mutating func expectedWrites() -> [FileRange] {
        var ranges = segments.map { FileRange(start: $0.offset, length: $0.length) }
        if compressor != nil {
            ranges += compressor?.places ?? []
        } else {
            ranges += (sharing?.writes ?? plan.writes).map { FileRange(start: $0.place, length: $0.guest.length) }
        }
        return ranges
    }

    /// Writes the chunk's bytes where they were placed, and counts them, cloned or written, into the checksums.
    mutating func write(to sink: any ImageSink) throws(ImageError) {
        var segments = PendingSegments(segments)
        if !sink.isSequential { try segments.writeAll(to: sink, &totals) }
        if compressor != nil {
            try compressor?.write(content, to: sink, &totals, &segments)
            return try segments.writeAll(to: sink, &totals)
        }
        let writes = sharing?.writes ?? plan.writes
        if readsLate { return try readAndWrite(writes, to: sink) }
        var totals = totals
        for write in writes {
            try segments.write(before: write.place, to: sink, &totals)
            try content.withBytes(of: write.guest) { (bytes) throws(ImageError) in
                totals.count(bytes, guest: write.guest.start, at: write.place)
                try sink.write(data: bytes, at: write.place)
            }
        }
        for clone in clones {
            try content.withBytes(of: clone.guest) { (bytes) throws(ImageError) in
                totals.count(bytes, guest: clone.guest.start, at: clone.place)
            }
        }
        try segments.writeAll(to: sink, &totals)
        self.totals = totals
    }

    /// Writes what was not read before it was placed.
    private mutating func readAndWrite(_ writes: [PlacedRange], to sink: any ImageSink) throws(ImageError) {
        for write in writes {
            try content.withPieces(of: write.guest, storedIn: extents) { (bytes, start) throws(ImageError) in
                try sink.write(data: bytes, at: write.place + (start - write.guest.start))
            }
        }
    }

    /// Hashes the chunk, once all chunks before it are hashed.
    mutating func digest(_ chunk: Chunk, into digests: OrderedDigests) throws(ImageError) {
        try content.fillGaps()
        try digests.add(chunk, content)
    }
}

/// The metadata of a chunk on their way to a sink: one that can't go back takes them between the bytes of the units.
struct PendingSegments {
    private var rest: ArraySlice<MetadataSegment>

    init(_ segments: [MetadataSegment]) { rest = segments[...] }

    /// Writes those that stand in front of a place.
    mutating func write(before place: FileOffset, to sink: any ImageSink, _ totals: inout ConversionTotals)
        throws(ImageError)
    {
        while let next = rest.first, next.offset < place {
            try totals.write(next, to: sink)
            rest.removeFirst()
        }
    }

    /// Writes all that are left.
    mutating func writeAll(to sink: any ImageSink, _ totals: inout ConversionTotals) throws(ImageError) {
        for segment in rest { try totals.write(segment, to: sink) }
        rest = []
    }
}
