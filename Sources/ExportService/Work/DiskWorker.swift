public import ImageModel
public import ObjectStorage

/// What the service has done to disks by the engine, whose formats it does not know.
///
/// Calls block and come from threads that may wait.
public protocol DiskWorker: Sendable {
    /// What `ImageFormat` may be: `raw`, `vhd`, `qcow2`, `vmdk`, `vdi`.
    var formats: [String] { get }

    /// Looks at an image file: its format by its content and its name.
    func examine(_ path: String) throws(ImageError) -> DiskFacts

    /// Looks at an image file of a format that is known.
    func examine(_ path: String, as format: String) throws(ImageError) -> DiskFacts

    /// Writes a disk into a bucket; goes on from the checkpoint where there is one.
    ///
    /// Where it throws, the checkpoint stays and so does what was sent, to go on from or for `discard`.
    ///
    /// - Throws: `cancelled` where `monitor` says so; `output-too-long`; `destination-exists`; `source-changed`; `store`.
    func export(_ job: DiskExportJob, _ monitor: WorkMonitor) throws(ImageError) -> ExportedDisk

    /// What the job has made, as the manifest beside the object says; nil where the object is not there or not its owner's.
    func made(by job: DiskExportJob) throws(ImageError) -> ExportedDisk?

    /// Removes whatever the job has made: its upload, its object and manifest, its checkpoint.
    ///
    /// An object that is not marked as its owner's is left alone.
    func discard(_ job: DiskExportJob) throws(ImageError)

    /// Fetches an object that is an image in any readable format into a file, and examines it.
    func fetch(
        _ key: ObjectKey, from store: any ObjectStore, format: String?, to path: String, _ monitor: WorkMonitor
    ) throws(ImageError) -> DiskFacts

    /// Whether an object is what the manifest beside it says, read whole.
    ///
    /// - Throws: `verification-failed` where it is not; `store`.
    func verify(_ key: ObjectKey, in store: any ObjectStore, _ monitor: WorkMonitor) throws(ImageError) -> ExportedDisk
}

public struct DiskFacts: Hashable, Sendable {
    /// As `qcow2`.
    public var format: String
    /// In bytes.
    public var virtualSize: UInt64

    public init(format: String, virtualSize: UInt64) {
        self.format = format
        self.virtualSize = virtualSize
    }
}

public struct DiskExportJob: Sendable {
    public var path: String
    /// That of the file.
    public var sourceFormat: String
    public var format: String
    /// Whether a raw disk is packed as the one member of a tar.gz, as ECS does.
    public var isPackaged: Bool
    /// What that member is called.
    public var memberName: String
    public var store: any ObjectStore
    public var key: ObjectKey
    public var checkpointPath: String
    /// The most that the object may have, in bytes.
    public var greatestLength: UInt64
    /// What the object is marked with, so that it is known again: the task's ID.
    public var owner: String

    public init(
        path: String, sourceFormat: String, format: String, isPackaged: Bool, memberName: String,
        store: any ObjectStore, key: ObjectKey, greatestLength: UInt64, checkpointPath: String, owner: String
    ) {
        self.path = path
        self.sourceFormat = sourceFormat
        self.format = format
        self.isPackaged = isPackaged
        self.memberName = memberName
        self.store = store
        self.key = key
        self.greatestLength = greatestLength
        self.checkpointPath = checkpointPath
        self.owner = owner
    }
}

/// What an export made, or a verification read.
public struct ExportedDisk: Hashable, Sendable {
    public var length: UInt64
    /// CRC-64/XZ of the object.
    public var crc64: UInt64
    /// That of the disk's content.
    public var fingerprint: UInt64

    public init(length: UInt64, crc64: UInt64, fingerprint: UInt64) {
        self.length = length
        self.crc64 = crc64
        self.fingerprint = fingerprint
    }
}

/// How work is watched and stopped.
public struct WorkMonitor: Sendable {
    /// Is told now and then how far the work is, from 0 to 1.
    public var onProgress: @Sendable (Double) -> Void
    /// Is asked several times a second.
    public var isCancelled: @Sendable () -> Bool

    public init(
        onProgress: @escaping @Sendable (Double) -> Void = { _ in },
        isCancelled: @escaping @Sendable () -> Bool = { false }
    ) {
        self.onProgress = onProgress
        self.isCancelled = isCancelled
    }
}
