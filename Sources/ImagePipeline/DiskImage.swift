public import ImageFormats
public import ImageModel

/// A source with the reader of its format: a disk that can be read.
public struct DiskImage: Sendable {
    public let format: ImageFormat
    public let source: any ImageSource
    public let reader: any ImageReader

    /// Reads and checks the header.
    ///
    /// - Throws: what the format's reader throws.
    public init(_ source: any ImageSource, format: ImageFormat) throws(ImageError) {
        self.format = format
        self.source = source
        reader = try FormatCatalog.reader(for: format, source: source)
    }

    /// In bytes, a multiple of 512.
    public var virtualSize: UInt64 { reader.virtualSize }

    /// A chunk of `wanted` bytes, or more where a compressed unit would not lie in one chunk.
    func chunkSize(_ wanted: UInt64) -> UInt64 {
        max(wanted, min(reader.unitSize ?? 0, ChunkContent.largestCompressedUnit))
    }
}
