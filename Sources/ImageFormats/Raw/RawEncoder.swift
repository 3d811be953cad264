public import ImageModel

/// A raw image: every byte at its guest offset, zeros as holes, as long as the source to the byte.
public struct RawEncoder: ImageEncoder {
    /// Raw allocates nothing; the unit only bounds the window in which short runs of zeros are looked for.
    public let unitSize: UInt64 = 2 << 20
    public let storage = UnitStorage.plain
    public let recordsIdentity = false
    public let goesForward = true
    public let takesSizeLast = true
    public let options: [String: String] = [:]

    private var length: UInt64
    private var passedUnits: PassedUnits

    /// - Throws: `invalid-option`: a raw file has no options; one in a package is `RawPackageEncoder`'s.
    public init(parameters: EncoderParameters, options: FormatOptions) throws(ImageError) {
        var options = options
        _ = try options.take("package", oneOf: ["none"] + RawPackaging.allCases.map(\.rawValue))
        try options.requireAllTaken(by: .raw)
        length = parameters.contentLength
        passedUnits = PassedUnits(of: unitSize, isSizeKnown: parameters.isSizeKnown)
    }

    public mutating func place(unit: UInt64, storedLength: UInt64, metadata: inout [MetadataSegment])
        throws(ImageError) -> FileOffset
    {
        passedUnits.pass(unit)
        return FileOffset(unit * unitSize)
    }

    public mutating func settle(contentLength: UInt64, virtualSize: UInt64) {
        length = contentLength
        passedUnits.settle()
    }

    public var unsettled: [FileRange] { [FileRange(from: FileOffset(passedUnits.end(size: length)))] }

    public func greatestLength() throws(ImageError) -> UInt64 { length }

    public mutating func finish(content: ContentIdentity, metadata: inout [MetadataSegment]) throws(ImageError)
        -> UInt64
    {
        length
    }
}
