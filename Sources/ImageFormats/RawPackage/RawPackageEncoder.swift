public import ImageModel

/// A raw disk as the one file of a `.tar.gz`, which any `tar -xzf` unpacks to the byte.
///
/// A gzip file is a series of members whose contents are taken together (RFC 1952, section 2.2). So the tar header is a
/// member, each unit of the disk is one, compressed on its own, and the end of the archive is one: all cores compress at
/// once, and nothing is known later than it has to be written. Units of zeros are the same bytes each time, which no
/// compressor is needed for. What a unit's member says of its own length makes it a disk that can be read in any order.
///
/// Options: `package`, `member` (the file's name in the archive) and `compression_level` (libdeflate's scale).
public struct RawPackageEncoder: ImageEncoder {
    /// Bytes of the disk in one member.
    ///
    /// Over 200 MB of programs, libraries and texts, level 1 takes 0.4 % more bytes with units of 256 KiB and 0.1 % less with
    /// those of 4 MiB, in the same time; a reader inflates a whole one for any byte of it.
    static let unitLength: UInt64 = 1 << 20
    /// The `compression_level` where none is given.
    ///
    /// The package is there for the way into a store and out again. Over the same bytes level 1 leaves 41.0 % of them at
    /// 200 MB/s and core, level 2 38.8 % at 149, level 6 37.3 % at 93.
    static let defaultCompressionLevel = 1
    static let compressionLevels = 1...12
    static let defaultMember = "disk.raw"
    /// What `package` can be.
    static let package = "tar.gz"

    public let unitSize = Self.unitLength
    public let storage: UnitStorage
    public let recordsIdentity = false
    public let goesForward = true
    public let options: [String: String]
    public let contentEnd: UInt64?

    private let header: TarHeader
    private let zeroUnit: [UInt8]
    /// Where the next member goes.
    private var end = FileOffset(0)
    /// The first unit that has no member yet.
    private var nextUnit: UInt64 = 0

    /// - Throws: `invalid-option`.
    public init(parameters: EncoderParameters, options: FormatOptions) throws(ImageError) {
        var options = options
        _ = try options.take("package", oneOf: [Self.package])
        let member = try options.take(
            "member", default: Self.defaultMember,
            rule: "a file name of 1 to \(TarHeader.longestName) bytes without a path or control characters",
            where: TarHeader.isName)
        let level = try options.take(
            "compression_level", in: Self.compressionLevels, default: Self.defaultCompressionLevel)
        try options.requireAllTaken(by: .rawPackage)
        options.settle("timestamp", as: String(parameters.timestamp))
        self.options = options.settled
        storage = .compressed(UnitCompression(.gzip, by: .libdeflate, level: level))
        contentEnd = parameters.contentLength
        header = TarHeader(name: member, size: parameters.contentLength, timestamp: parameters.timestamp)
        zeroUnit = GzipMember.zeros(Self.unitLength)
    }

    /// The unit's own part is the deflate stream and the trailer; the header in front says how long they are.
    public mutating func place(unit: UInt64, storedLength: UInt64, metadata: inout [MetadataSegment])
        throws(ImageError) -> FileOffset
    {
        handOutZeros(upTo: unit, metadata: &metadata)
        guard let length = UInt32(exactly: GzipMember.headerLength + storedLength) else {
            throw ImageError(.limitExceeded, "a unit of \(storedLength) bytes is more than a member's header can say")
        }
        handOut(GzipMember(length: length).header, metadata: &metadata)
        let place = end
        end = end + storedLength
        nextUnit = unit + 1
        return place
    }

    /// All behind the last member: nothing waits for what is known later.
    public var unsettled: [FileRange] { [FileRange(from: end)] }

    public mutating func finish(content: ContentIdentity, metadata: inout [MetadataSegment]) throws(ImageError)
        -> UInt64
    {
        let wholeUnits = header.size / Self.unitLength
        handOutZeros(upTo: wholeUnits, metadata: &metadata)
        let rest = header.size % Self.unitLength
        if rest > 0, nextUnit == wholeUnits { handOut(GzipMember.zeros(rest), metadata: &metadata) }
        handOut(GzipMember.zeros(TarHeader.tailLength(fileSize: header.size)), metadata: &metadata)
        return end.bytes
    }

    /// Hands out the archive's head, if nothing has been yet, and the units that nothing was placed in.
    private mutating func handOutZeros(upTo unit: UInt64, metadata: inout [MetadataSegment]) {
        if end == FileOffset(0) { handOut(GzipMember.storing(header.encoded()), metadata: &metadata) }
        guard unit > nextUnit else { return }
        let segment = MetadataSegment(at: end, repeating: zeroUnit, count: unit - nextUnit)
        metadata.append(segment)
        end = end + segment.length
        nextUnit = unit
    }

    private mutating func handOut(_ bytes: [UInt8], metadata: inout [MetadataSegment]) {
        metadata.append(MetadataSegment(at: end, bytes))
        end = end + UInt64(bytes.count)
    }
}
