internal import FoundationEssentials
internal import ImageFiles
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline
internal import ObjectStorage

/// What it takes to go on with an export that was cut short: `lathe.checkpoint/1`, a JSON file.
///
/// It says which upload it was, not what has been sent: that the store is asked.
struct Checkpoint: Codable, Hashable, Sendable {
    static let schema = "lathe.checkpoint/1"

    /// The bytes that the export makes come from these alone.
    struct Basis: Codable, Hashable, Sendable {
        var sourceLength: UInt64
        /// What tells one state of the source from another; nil where nothing does.
        var sourceRevision: String?
        var sourceFormat: String
        var format: String
        var options: [String: String]
        var virtualSize: UInt64
        /// Lathe's version and the compressor's.
        var encoder: [String: String]
    }

    /// All has been sent, and the store has been told to make it an object, or is about to be.
    struct Completion: Codable, Hashable, Sendable {
        var length: UInt64
        var crc64ecma: UInt64
        var fingerprint: UInt64
        /// The manifest's text.
        var manifest: String
        /// What the object was made of, for a store that keeps no CRC-64 of it; nil where it was put whole.
        var parts: [Part]?
    }

    /// How far an export of several files has come.
    struct Files: Codable, Hashable, Sendable {
        /// The tags of the objects that are whole, by the index of the file.
        var sent: [Int: String] = [:]
        /// The uploads of those that were begun and are not whole, by the index of the file; nil before the first.
        var begun: [Int: BegunFile]?
    }

    /// A file that is on its way.
    struct BegunFile: Codable, Hashable, Sendable {
        /// Empty before the upload is begun, and where the object is put whole.
        var uploadID: String
        /// In bytes.
        var partLength: UInt64
    }

    /// A part as the store has it.
    struct Part: Codable, Hashable, Sendable {
        var number: Int
        var length: UInt64
        var tag: String
    }

    var schema = Self.schema
    var store: String
    /// Where the store is: endpoints may have buckets of the same name.
    var location: String
    var key: String
    /// Empty where the object is put whole, and before the upload is begun.
    var uploadID: String
    /// When the upload was about to begin, in seconds since 1970-01-01 UTC.
    var begun: UInt64?
    /// In bytes.
    var partLength: UInt64
    var basis: Basis
    var completion: Completion?
    /// nil for an image of one file.
    var files: Files?

    /// - Parameter partLength: in bytes.
    init(of export: ObjectExport, _ basis: Basis, partLength: UInt64, files: Files? = nil) {
        store = export.store.name
        location = export.store.location
        key = export.key.description
        uploadID = ""
        begun = Self.now
        self.partLength = partLength
        self.basis = basis
        self.files = files
    }

    static var now: UInt64 { UInt64(max(0, Date().timeIntervalSince1970)) }

    /// Whether an upload may have been begun of which nobody wrote down the name.
    var hasUnnotedUpload: Bool { uploadID.isEmpty && completion == nil }
}

extension Checkpoint.Basis {
    init(_ conversion: Conversion) throws(ImageError) {
        let encoder = try conversion.makeEncoder()
        sourceLength = conversion.image.source.length
        sourceRevision = conversion.image.revision
        sourceFormat = conversion.image.format.rawValue
        format = conversion.format.rawValue
        options = encoder.options
        options["sparse_policy"] = "\(conversion.sparsePolicy)"
        virtualSize = encoder.writtenSize ?? conversion.image.virtualSize
        self.encoder = Manifest.encoder(of: encoder)
    }
}

/// The file of a checkpoint; it is replaced as a whole each time.
struct CheckpointFile: Sendable {
    let path: String

    /// A checkpoint that is longer is none, in bytes: the longest holds a manifest.
    private static let largestLength: UInt64 = 32 << 20

    /// Keeps other processes from going on with the same export: two would complete one upload under each other.
    ///
    /// - Throws: `invalid-option` where one is at it; what the body throws.
    func whileOurs<Result>(_ body: () throws(ImageError) -> Result) throws(ImageError) -> Result {
        guard let lock = try LockFile.take(path + ".lock") else {
            throw ImageError(
                .invalidOption, "another process is at work with this checkpoint; wait for it, or name another file",
                path: path)
        }
        let result = try body()
        lock.release()
        return result
    }

    /// - Returns: nil where there is no such file.
    /// - Throws: `corrupt` for what is no checkpoint; `input-output`.
    func read() throws(ImageError) -> Checkpoint? {
        let source: FileSource
        do throws(ImageError) { source = try FileSource(path: path, mapped: false) } catch {
            if error.isMissing { return nil }
            throw error
        }
        guard source.length <= Self.largestLength else { throw Self.none("it has \(source.length) bytes", path: path) }
        let bytes = try source.read(FileRange(0, length: source.length))
        let checkpoint: Checkpoint
        do { checkpoint = try JSONDecoder().decode(Checkpoint.self, from: Data(bytes)) } catch {
            throw Self.none("it is not the JSON of one", path: path)
        }
        guard checkpoint.schema == Checkpoint.schema else {
            throw Self.none("its schema is '\(checkpoint.schema)', expected '\(Checkpoint.schema)'", path: path)
        }
        return checkpoint
    }

    func write(_ checkpoint: Checkpoint) throws(ImageError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let bytes: [UInt8]
        do { bytes = try Array(encoder.encode(checkpoint)) } catch {
            throw ImageError(.unsupported, "the checkpoint can't be put into JSON", path: path, cause: error)
        }
        let sink = try FileSink(path: path, replacing: true)
        try sink.write(metadata: bytes.span, at: FileOffset(0))
        try sink.finish(length: UInt64(bytes.count))
        try sink.commit()
    }

    /// Writes down which upload was begun; nil for one that is about to be.
    func note(_ upload: MultipartUpload?, in checkpoint: Checkpoint) throws(StoreError) {
        var checkpoint = checkpoint
        checkpoint.uploadID = upload?.id ?? ""
        try keep(checkpoint)
    }

    /// Writes a checkpoint down in the midst of what talks to a store.
    func keep(_ checkpoint: Checkpoint) throws(StoreError) {
        do throws(ImageError) { try write(checkpoint) } catch {
            throw StoreError(.inputOutput, "the checkpoint can't be kept", cause: error)
        }
    }

    func remove() throws(ImageError) { try FileRemoval.remove(path) }

    static func none(_ what: String, path: String?) -> ImageError {
        ImageError(
            .corrupt, "this is no checkpoint of an export: \(what); name another file, or remove this one", path: path)
    }
}
