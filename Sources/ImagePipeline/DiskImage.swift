public import ImageFormats
public import ImageModel

/// A source with the reader of its format: a disk that can be read.
public struct DiskImage: Sendable {
    public let format: ImageFormat
    /// The file of the image that was asked for.
    public let file: any ImageSource
    /// All that its content is in: that file, or several files in one address space.
    public let source: any ImageSource
    public let reader: any ImageReader
    private let snapshot: SnapshotSelection?

    /// Reads and checks the headers.
    ///
    /// - Parameters:
    ///   - references: what opens the files that the image names, a backing file for one; by default none is opened.
    ///   - snapshot: the internal snapshot to read in place of the disk as it is now.
    /// - Throws: what `FormatCatalog.open` throws.
    public init(
        _ source: any ImageSource, format: ImageFormat, references: any ReferencedFiles = NoReferencedFiles(),
        snapshot: SnapshotSelection? = nil
    ) throws(ImageError) {
        self.format = format
        file = source
        self.snapshot = snapshot
        let opened = try FormatCatalog.open(source, as: format, references, snapshot: snapshot)
        self.source = opened.source
        reader = opened.reader
    }

    /// What tells this content from another state of the same files, or from another snapshot in them.
    public var revision: String? {
        guard let snapshot else { return source.revision }
        return "\(source.revision ?? "") snapshot \(snapshot)"
    }

    /// In bytes, a multiple of 512.
    public var virtualSize: UInt64 { reader.virtualSize }

    /// A chunk of `wanted` bytes, or more where a compressed unit would not lie in one chunk.
    func chunkSize(_ wanted: UInt64) -> UInt64 {
        max(wanted, min(reader.unitSize ?? 0, ImageLimits.inflatedUnitLength))
    }
}
