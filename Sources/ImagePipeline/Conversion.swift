internal import ImageCodecs
public import ImageFormats
public import ImageModel
internal import Synchronization

/// Turns a disk into an image of some format, in one pass over the source.
public struct Conversion: Sendable {
    public var image: DiskImage
    public var format: ImageFormat
    public var options: FormatOptions
    /// Zeros that are written out rather than left as holes: see `SparsePolicy`.
    public var sparsePolicy: SparsePolicy
    /// In seconds since 1970-01-01 UTC, for the formats that record a time.
    public var timestamp: UInt64
    public var reflink: ReflinkPolicy
    /// Takes the source's word for what is a hole, and all else for data: no zeros are looked for, and zeros that the source has
    /// stored are allocated.
    ///
    /// The result then depends on how the source is allocated, and not on its content alone.
    public var trustsHoles: Bool
    /// What is computed of the content: CRC-64 with anything else, or nothing at all (`.none`).
    public var checksums: ChecksumSelection
    /// What the image's file is called, without a directory; only an image of several files depends on it.
    public var fileName = EncoderParameters.defaultFileName
    public var work: WorkOptions
    /// What the content is known to come to; where it turns out otherwise, the conversion fails.
    var identity: ContentIdentity?

    public init(
        _ image: DiskImage, to format: ImageFormat, options: FormatOptions = .init(),
        sparsePolicy: SparsePolicy = .allHoles, timestamp: UInt64 = EncoderParameters.defaultTimestamp,
        reflink: ReflinkPolicy = .auto, trustsHoles: Bool = false, checksums: ChecksumSelection = .crc64ecma,
        work: WorkOptions = .init()
    ) {
        self.image = image
        self.format = format
        self.options = options
        self.sparsePolicy = sparsePolicy
        self.timestamp = timestamp
        self.reflink = reflink
        self.trustsHoles = trustsHoles
        self.checksums = checksums
        self.work = work
    }

    /// An encoder for this conversion, with every option checked; nothing has been read or written for it.
    ///
    /// - Throws: `invalid-option` or `limit-exceeded`.
    public func makeEncoder() throws(ImageError) -> any ImageEncoder {
        try work.validate()
        let parameters = EncoderParameters(
            contentLength: image.reader.contentLength, virtualSize: image.virtualSize,
            isSizeKnown: image.source.isLengthKnown, timestamp: timestamp, identity: identity, fileName: fileName)
        let mayBegin = parameters.isSizeKnown ? true : try FormatCatalog.takesSizeLast(format, options: options)
        guard mayBegin else {
            throw ImageError(
                .unsupported,
                "the size of the disk is not known yet, and a \(format.rawValue) of these options begins with it; save the "
                    + "source to a file first", path: image.file.name)
        }
        let encoder = try FormatCatalog.encoder(for: format, parameters: parameters, options: options)
        guard !checksums.isEmpty || !encoder.recordsIdentity else {
            throw ImageError(
                .invalidOption,
                "a \(format.rawValue) holds identifiers that are made of the content's fingerprint, so it can't be written "
                    + "without checksums; compute them, or write raw or qcow2")
        }
        return encoder
    }

    /// The length in bytes that the image has at most, whatever turns out to be zero or to compress well.
    ///
    /// The encoder is run over all that the source has stored, and no data are read; of a whole disk it is arithmetic.
    ///
    /// - Parameter full: over the whole disk, whatever the source has stored of it.
    /// - Throws: what the source's tables and the encoder throw.
    public func greatestLength(ofWholeDisk full: Bool = false) throws(ImageError) -> UInt64 {
        var encoder = try makeEncoder()
        guard !full, sparsePolicy != .noHoles else { return try encoder.greatestLength() }
        let unitSize = encoder.unitSize
        let storedLength = encoder.storage.greatestLength(ofUnit: unitSize)
        var dispenser = ChunkDispenser(
            image, chunkSize: max(WorkOptions.defaultChunkSize, unitSize), skippingZeros: true)
        var metadata: [MetadataSegment] = []
        var next: UInt64 = 0
        while let chunk = try dispenser.next() {
            try work.requireGoingOn()
            for range in chunk.extents.map(\.range) where !range.isEmpty {
                let last = (range.end.bytes - 1) / unitSize
                for unit in max(next, range.start.bytes / unitSize)...max(next, last) where unit <= last {
                    _ = try encoder.place(unit: unit, storedLength: storedLength, metadata: &metadata)
                    next = unit + 1
                }
                metadata.removeAll(keepingCapacity: true)
            }
        }
        let length = try encoder.finish(
            content: ContentIdentity(fingerprint: 0, virtualSize: image.virtualSize), metadata: &metadata)
        return encoder.files.isEmpty ? length : encoder.files.reduce(0) { $0 + $1.range.length }
    }

    /// What the result has to be read as: not `format` where its options put it into a package.
    public var writtenFormat: ImageFormat { FormatCatalog.writtenFormat(of: format, options: options) }

    /// Converts into a sink, and blocks until all is written; call it from a thread that may wait.
    ///
    /// - Throws: what the source, the encoder and the sink throw; `cancelled`. The sink then holds a part of an image.
    public func run(into sink: any ImageSink) throws(ImageError) -> ConversionResult {
        let encoder = try makeEncoder()
        if !(sink is any MemberFilesSink) { try Self.requireOneFile(encoder) }
        let cloning = try SourceCloning(reflink, encoder.storage, source: image.source, sink: sink)
        let run = ConversionRun(self, encoder: encoder, sink: sink, cloning: cloning)
        WorkerThreads.run(work.threads) { run.work() }
        return try run.complete()
    }
}

/// Which zeros of an allocated unit are left as holes.
///
/// Units that are all zero are never stored, unless nothing is a hole.
public enum SparsePolicy: Hashable, Sendable {
    /// Every run of zeros, from one file-system block (4096 bytes) on.
    case allHoles
    /// Only runs of so many bytes and more; shorter ones between data of one allocation unit are written out.
    case holesOfAtLeast(UInt64)
    /// None: every unit is stored, and every byte written.
    case noHoles

    /// Runs inside a unit that are shorter than this are written out, in bytes.
    var writtenBelow: UInt64 {
        switch self {
        case .allHoles: 0
        case .holesOfAtLeast(let size): size
        case .noHoles: .max
        }
    }
}

/// What a conversion made.
public struct ConversionResult: Hashable, Sendable {
    /// Of the image, in bytes: the source's, or what an option rounded it up to.
    public var virtualSize: UInt64
    /// Of the whole guest content, to the virtual size of the image; nil where no checksum was asked for.
    public var content: Checksums?
    /// The length of the image in bytes; of several files, of all one behind the other.
    public var objectLength: UInt64
    /// CRC-64/XZ of the whole image, or of all its files one behind the other; nil where no checksum was asked for.
    public var objectCRC64: UInt64?
    /// The files of an image of several, in the order in which they count as one; none for an image of one file.
    public var files: [WrittenFile]
    /// CRC-64/XZ of each part of the image, where each file begins a part; nil where no checksum was asked for.
    public var parts: PartChecksums?
    /// Guest bytes that were not zero, in steps of 4096 or of the image's units, if these are smaller; where holes are trusted, those that were no hole.
    public var contentBytes: UInt64
    /// Bytes of the image that share their blocks with the source: how it was made, not what it is.
    public var clonedBytes: UInt64

    /// CRC-64/XZ of the whole guest content; nil where no checksum was asked for.
    // Inlined, it ends the optimizer of Swift 6.3.1 ("outside of lifetime use").
    @inline(never) public var fingerprint: UInt64? { content?.crc64ecma }
}

/// What the workers of one conversion share.
private final class ConversionRun: Sendable {
    let conversion: Conversion
    let sink: any ImageSink
    let chunkSize: UInt64
    let unitSize: UInt64
    let storage: UnitStorage
    private let cutsLastUnit: Bool
    /// nil where nothing is shared with the source.
    private let cloning: SourceCloning?
    private let dispenser: Mutex<ChunkDispenser>
    private let encoder: Mutex<any ImageEncoder>
    private let totals = Mutex(ConversionTotals())
    private let turnstile = Turnstile()
    private let digests: OrderedDigests?
    private let failure = SharedFailure()

    init(_ conversion: Conversion, encoder: any ImageEncoder, sink: any ImageSink, cloning: SourceCloning?) {
        self.conversion = conversion
        self.sink = sink
        self.cloning = cloning
        unitSize = encoder.unitSize
        storage = encoder.storage
        cutsLastUnit = encoder.cutsLastUnit
        chunkSize = max(conversion.image.chunkSize(conversion.work.chunkSize), encoder.unitSize)
        // A chunk of which nothing is read costs only its turn: the fewer, the better.
        let chunks = ConversionWorker.readsLate(conversion, cloning: cloning) ? max(1, (64 << 20) / chunkSize) : 1
        dispenser = Mutex(
            ChunkDispenser(
                conversion.image, chunkSize: chunkSize * chunks, skippingZeros: conversion.sparsePolicy != .noHoles))
        self.encoder = Mutex(encoder)
        digests = OrderedDigests(
            conversion.checksums, length: encoder.writtenSize ?? conversion.image.virtualSize)
        conversion.work.progress?.begin(
            total: conversion.image.source.isLengthKnown ? conversion.image.virtualSize : nil)
    }

    /// One worker's life: take a chunk, scan it, wait for its turn to place it, write it; until there are no more.
    func work() {
        do throws(ImageError) {
            var worker = try ConversionWorker(
                conversion, chunkSize: chunkSize, unitSize: unitSize, storage: storage,
                cutsLastUnit: cutsLastUnit, cloning: cloning)
            while !failure.isSet, let chunk = try dispenser.withLock({ (it) throws(ImageError) in try it.next() }) {
                try conversion.work.requireGoingOn()
                try worker.scan(chunk)
                guard turnstile.enter(chunk.ticket) else { return }
                let unsettled = try encoder.withLock { (encoder) throws(ImageError) in
                    try worker.place(with: &encoder)
                    return sink.followsLayout ? encoder.unsettled : []
                }
                if sink.followsLayout { try sink.expect(worker.expectedWrites(), unsettled: unsettled) }
                if let cloning { try worker.share(by: cloning) }
                let endedRuns = cloning?.add(worker.clones) ?? []
                if sink.isSequential {
                    // A stream has one place to write: the turn lasts until the chunk is through.
                    try worker.write(to: sink)
                    turnstile.pass()
                } else {
                    turnstile.pass()
                    try worker.write(to: sink)
                    try cloning?.perform(endedRuns)
                }
                if let digests { try worker.digest(chunk, into: digests) }
                conversion.work.progress?.reach(chunk.range.end)
            }
            totals.withLock { $0.add(worker.totals) }
        } catch {
            failure.set(error)
            turnstile.stop()
            digests?.stop()
            conversion.image.source.abandon()
        }
    }

    /// Writes what is only known when all is placed.
    func complete() throws(ImageError) -> ConversionResult {
        do throws(ImageError) {
            try failure.rethrow()
            try cloning?.finish()
        } catch {
            // A write that met a fault in the source names the destination; the source knows better what became of it.
            if error.code == .sourceChanged { try conversion.image.source.requireUnchanged() }
            throw error
        }
        try conversion.image.source.requireUnchanged()
        let image = conversion.image
        let virtualSize = try encoder.withLock { (encoder) throws(ImageError) in
            try encoder.settle(contentLength: image.reader.contentLength, virtualSize: image.virtualSize)
            return encoder.writtenSize ?? image.virtualSize
        }
        var totals = totals.withLock { $0 }
        totals.isCounting = !conversion.checksums.isEmpty
        let fingerprint = totals.content.checksum(length: virtualSize)
        try conversion.requireIdentity(ContentIdentity(fingerprint: fingerprint, virtualSize: virtualSize))
        var content = Checksums(crc64ecma: fingerprint)
        digests?.finish(&content, length: virtualSize)
        var segments: [MetadataSegment] = []
        let length = try encoder.withLock { (encoder) throws(ImageError) in
            try encoder.finish(
                content: ContentIdentity(fingerprint: fingerprint, virtualSize: virtualSize), metadata: &segments)
        }
        if sink.followsLayout {
            let writes = segments.map { FileRange(start: $0.offset, length: $0.length) }
            try sink.expect(writes, unsettled: [FileRange(from: FileOffset(length))])
        }
        for segment in segments { try totals.write(segment, to: sink) }
        let files = encoder.withLock { $0.files }
        if !files.isEmpty, let sink = sink as? any MemberFilesSink {
            try sink.finish(files: files)
        } else {
            try sink.finish(length: length)
        }
        conversion.work.progress?.end(total: image.virtualSize)
        return result(totals, content, virtualSize: virtualSize, length: length, files)
    }

    /// What all comes to.
    ///
    /// - Parameter length: of the image where it is one file.
    private func result(
        _ totals: ConversionTotals, _ content: Checksums, virtualSize: UInt64, length: UInt64, _ files: [MemberFile]
    ) -> ConversionResult {
        let object =
            files.isEmpty
            ? FileSums(totals.object.checksums(length: length), length: length) : totals.object.checksums(files: files)
        let isCounting = totals.isCounting
        return ConversionResult(
            virtualSize: virtualSize, content: isCounting ? content : nil, objectLength: object.length,
            objectCRC64: isCounting ? object.crc64ecma : nil,
            files: zip(files, object.files).map { file, crc in
                WrittenFile(
                    name: file.name, length: file.range.length, checksums: isCounting ? Checksums(crc64ecma: crc) : nil)
            }, parts: isCounting ? object.parts : nil, contentBytes: totals.contentBytes,
            clonedBytes: cloning?.clonedBytes ?? 0)
    }
}

/// Sums over what has been written; those of all workers add up to those of the whole.
struct ConversionTotals: Sendable {
    var content = CRC64Sum()
    var object = PartSums()
    var contentBytes: UInt64 = 0
    /// False leaves all sums alone: nobody asked for them.
    var isCounting = true

    mutating func add(_ other: ConversionTotals) {
        content.add(other.content)
        object.add(other.object)
        contentBytes += other.contentBytes
    }

    /// Counts guest bytes that are stored as they are: one remainder of a piece serves the content and the object.
    mutating func count(_ bytes: Span<UInt8>, guest: GuestOffset, at place: FileOffset) {
        guard isCounting else { return }
        var content = content
        object.add(bytes, at: place) { remainder, end in content.add(remainder, endingAt: guest.bytes + UInt64(end)) }
        self.content = content
    }

    /// Counts bytes that only the object has.
    mutating func count(stored bytes: Span<UInt8>, at place: FileOffset) {
        if isCounting { object.add(bytes, at: place) }
    }

    /// Writes a metadata segment and counts it into the object.
    mutating func write(_ segment: MetadataSegment, to sink: any ImageSink) throws(ImageError) {
        try segment.forEachPiece { (bytes, offset) throws(ImageError) in
            count(stored: bytes.span, at: offset)
            try sink.write(metadata: bytes.span, at: offset)
        }
    }
}
