public import ImageModel

/// A raw disk in a `.tar.gz`, `.gz` or `.zst`, which any program unpacks to the byte.
///
/// A gzip file is a series of members whose contents are taken together (RFC 1952, section 2.2), and a zstd file is one of frames
/// (RFC 8878, section 3). So each unit of the disk is one, compressed on its own: all cores compress at once, and nothing is known
/// later than it has to be written. Units of zeros are the same bytes each time, which no compressor is needed for. What stands
/// in front of each unit says how long it is, which makes the file a disk that can be read in any order: a field of the gzip header,
/// or a skippable frame. In a `.tar.gz` the tar header and the end of the archive are members as well; the others end with what
/// says the size of the disk, without which a file that was cut off behind a unit would be a shorter disk.
///
/// Options: `package`, `compression_level` (1 is ISA-L's and the rest libdeflate's, or zstd's scale) and for a `.tar.gz` `member`
/// (the file's name in the archive).
public struct RawPackageEncoder: ImageEncoder {
    /// Bytes of the disk in one unit.
    ///
    /// Over 200 MB of programs, libraries and texts, libdeflate's level 1 takes 0.4 % more bytes with units of 256 KiB and 0.1 % less
    /// with those of 4 MiB, in the same time; a reader inflates a whole one for any byte of it.
    static let unitLength: UInt64 = 1 << 20
    static let defaultMember = "disk.raw"

    public let unitSize = Self.unitLength
    public let storage: UnitStorage
    public let recordsIdentity = false
    public let goesForward = true
    public let options: [String: String]
    public let cutsLastUnit = true

    private let packaging: RawPackaging
    /// Of the disk in the package; a `.gz` or `.zst` has no use for name and time.
    private var header: TarHeader
    private let zeroUnit: [UInt8]
    /// Where the next unit goes.
    private var end = FileOffset(0)
    /// The first unit that has no place yet.
    private var nextUnit: UInt64 = 0

    /// - Throws: `invalid-option`.
    public init(_ packaging: RawPackaging, parameters: EncoderParameters, options: FormatOptions) throws(ImageError) {
        self.packaging = packaging
        var options = options
        _ = try options.take("package", oneOf: [packaging.rawValue])
        var member = Self.defaultMember
        if packaging == .tarGzip {
            member = try options.take(
                "member", default: Self.defaultMember,
                rule: "a file name of 1 to \(TarHeader.longestName) bytes without a path or control characters",
                where: TarHeader.isName)
            options.settle("timestamp", as: String(parameters.timestamp))
        }
        let level = try options.take(
            "compression_level", in: packaging.compressionLevels, default: packaging.defaultCompressionLevel)
        try options.requireAllTaken(by: packaging.format)
        self.options = options.settled
        storage = .compressed(packaging.compression(level: level))
        header = TarHeader(name: member, size: parameters.contentLength, timestamp: parameters.timestamp)
        zeroUnit = packaging.zeros(Self.unitLength)
    }

    /// An archive begins with the size of its file.
    public var takesSizeLast: Bool { packaging != .tarGzip }

    public mutating func settle(contentLength: UInt64, virtualSize: UInt64) { header.size = contentLength }

    /// The unit's own part is what the compressor makes; the header in front says how long that is.
    public mutating func place(unit: UInt64, storedLength: UInt64, metadata: inout [MetadataSegment])
        throws(ImageError) -> FileOffset
    {
        handOutZeros(upTo: unit, metadata: &metadata)
        guard let length = UInt32(exactly: packaging.headerLength + storedLength) else {
            throw ImageError(.limitExceeded, "a unit of \(storedLength) bytes is more than a frame's header can say")
        }
        handOut(packaging.header(length: length), metadata: &metadata)
        let place = end
        end = end + storedLength
        nextUnit = unit + 1
        return place
    }

    /// All behind the last unit: nothing waits for what is known later.
    public var unsettled: [FileRange] { [FileRange(from: end)] }

    public func greatestLength() throws(ImageError) -> UInt64 {
        let frame = packaging.headerLength + storage.greatestLength(ofUnit: Self.unitLength)
        let units = header.size.dividedRoundingUp(by: Self.unitLength)
        let around = packaging.head(header).count + packaging.tail(size: header.size).count
        let (length, overflow) = units.multipliedReportingOverflow(by: frame)
        guard !overflow, length <= UInt64(Int64.max) - UInt64(around) else {
            throw ImageError(
                .limitExceeded, "the package of a disk of \(header.size) bytes may be longer than any file can be")
        }
        return length + UInt64(around)
    }

    public mutating func finish(content: ContentIdentity, metadata: inout [MetadataSegment]) throws(ImageError)
        -> UInt64
    {
        let wholeUnits = header.size / Self.unitLength
        handOutZeros(upTo: wholeUnits, metadata: &metadata)
        let rest = header.size % Self.unitLength
        if rest > 0, nextUnit == wholeUnits { handOut(packaging.zeros(rest), metadata: &metadata) }
        handOut(packaging.tail(size: header.size), metadata: &metadata)
        return end.bytes
    }

    /// Hands out the head, if nothing has been yet, and the units that nothing was placed in.
    private mutating func handOutZeros(upTo unit: UInt64, metadata: inout [MetadataSegment]) {
        if end == FileOffset(0) { handOut(packaging.head(header), metadata: &metadata) }
        guard unit > nextUnit else { return }
        let segment = MetadataSegment(at: end, repeating: zeroUnit, count: unit - nextUnit)
        metadata.append(segment)
        end = end + segment.length
        nextUnit = unit
    }

    private mutating func handOut(_ bytes: [UInt8], metadata: inout [MetadataSegment]) {
        guard !bytes.isEmpty else { return }
        metadata.append(MetadataSegment(at: end, bytes))
        end = end + UInt64(bytes.count)
    }
}
