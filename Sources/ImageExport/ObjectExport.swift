internal import ImageFormats
public import ImageModel
public import ImagePipeline
public import ObjectStorage

/// A disk on its way into an object store: converted, sent, completed and proved, in one pass over the source.
///
/// An image of several files becomes an object for each, and goes through a temporary file.
public struct ObjectExport: Sendable {
    public var conversion: Conversion
    public var store: any ObjectStore
    public var key: ObjectKey
    /// What the object gets beside what Lathe says of it.
    public var attributes: ObjectAttributes
    /// Whether an object and a manifest of these names may be replaced.
    public var replacing: Bool
    public var transfer: TransferOptions
    /// Where it is kept what it takes to go on after an end before the end; nil keeps nothing.
    public var checkpointPath: String?
    public var progress: TransferProgress
    /// Is told in a sentence what a person would like to know at once.
    public var onNote: @Sendable (String) -> Void

    /// - Parameter store: with retries around it.
    public init(
        _ conversion: Conversion, to store: any ObjectStore, as key: ObjectKey, attributes: ObjectAttributes = .init(),
        replacing: Bool = false, transfer: TransferOptions = .init(), checkpointPath: String? = nil,
        progress: TransferProgress = .init(), onNote: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.conversion = conversion
        self.conversion.fileName = ExportName.lastComponent(of: key)
        self.store = store
        self.key = key
        self.attributes = attributes
        self.replacing = replacing
        self.transfer = transfer
        self.checkpointPath = checkpointPath
        self.progress = progress
        self.onNote = onNote
    }

    /// Exports, and blocks until the store has all and said so; call it from a thread that may wait.
    ///
    /// An export that fails or is cancelled is aborted, and leaves nothing, unless a checkpoint is kept.
    ///
    /// - Throws: `destination-exists`; `source-changed`; `store`; `output-too-long`; what the conversion throws.
    public func run() throws(ImageError) -> ExportResult {
        let files = try conversion.makeEncoder().files
        return files.isEmpty ? try ExportRun(self).run() : try FileSetExport(self, files).run()
    }
}

/// How an export uses the network.
public struct TransferOptions: Sendable {
    /// Parts that are on their way at the same time, 1 to 64.
    public var parallel: Int
    /// Of every part but the last, in bytes; nil chooses by what the object may come to.
    public var partLength: UInt64?
    public var limit: BandwidthLimit?
    /// The most that the object may have, in bytes, at which an export that comes to more ends; nil for any.
    public var greatestLength: UInt64?

    public static let parallelCounts = 1...64

    /// Parts that are being filled, at most; what stands at the head of an image takes a few pages besides.
    private static let fillingCount = 2
    /// What parts that are being filled may take beside those that are on their way, in bytes: of the 64 MiB that an export
    /// takes whatever its parts, about a third is used otherwise.
    private static let fillingLimit: UInt64 = 40 << 20

    /// How many complete parts may stand in memory, those on their way among them.
    ///
    /// Where parts are long, those that are being filled are among the `parallel` ones; one at least goes.
    func completeParts(ofLength partLength: UInt64) -> Int {
        let isLong = partLength > Self.fillingLimit / UInt64(Self.fillingCount)
        return isLong ? max(1, parallel - Self.fillingCount) : parallel
    }

    public init(
        parallel: Int = 4, partLength: UInt64? = nil, limit: BandwidthLimit? = nil, greatestLength: UInt64? = nil
    ) {
        self.parallel = parallel
        self.partLength = partLength
        self.limit = limit
        self.greatestLength = greatestLength
    }

    /// The same sink, which takes no more than the object may have.
    func limiting(_ sink: any ImageSink) -> any ImageSink {
        greatestLength.map { LimitedSink(sink, greatestLength: $0) } ?? sink
    }
}

/// What an export made.
public struct ExportResult: Hashable, Sendable {
    public var key: ObjectKey
    public var manifestKey: ObjectKey
    public var manifest: Manifest
    /// What the store says of the object; of several, of the one that is opened.
    public var summary: ObjectSummary
    /// False where the store can't give an object of this size the metadata that were known last.
    public var hasAttributes: Bool
    /// Whether it went on from a checkpoint.
    public var wasResumed: Bool
}
