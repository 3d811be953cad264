internal import ExportService
internal import ImageExport
internal import ImageFiles
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline
internal import ObjectStorage

/// What the service has done to disks, done by the engine as `lathe export` and `lathe verify` do it.
struct ImageWorker: DiskWorker {
    /// How many threads work at one disk; the result never depends on it.
    var threads = WorkerThreads.processorCount
    /// The length of a part in bytes; nil chooses by what the object may come to.
    var partLength: UInt64?

    let formats = ["raw", "vhd", "qcow2", "vmdk", "vdi"]
    /// What says of an object which task made it.
    private static let ownerName = "lathe-task"

    func examine(_ path: String) throws(ImageError) -> DiskFacts {
        let source = try FileSource(path: path)
        return DiskFacts(try DiskImage(source, format: FormatDetection.detect(source, name: path)))
    }

    func examine(_ path: String, as format: String) throws(ImageError) -> DiskFacts {
        DiskFacts(try DiskImage(FileSource(path: path), format: Self.format(format)))
    }

    // MARK: Exports

    func export(_ job: DiskExportJob, _ monitor: WorkMonitor) throws(ImageError) -> ExportedDisk {
        try WatchedWork.run(monitor, threads: threads) { (work) throws(ImageError) in
            let image = try DiskImage(FileSource(path: job.path), format: Self.format(job.sourceFormat))
            var options = FormatOptions()
            if job.isPackaged {
                try options.imply("package", "tar.gz", because: "the package")
                try options.imply("member", job.memberName, because: "the package")
            }
            let export = ObjectExport(
                Conversion(image, to: try Self.format(job.format), options: options, work: work), to: job.store,
                as: job.key, attributes: ObjectAttributes(userMetadata: [Self.ownerName: job.owner]),
                transfer: TransferOptions(partLength: partLength, greatestLength: job.greatestLength),
                checkpointPath: job.checkpointPath)
            return ExportedDisk(try export.run().manifest)
        }
    }

    func made(by job: DiskExportJob) throws(ImageError) -> ExportedDisk? {
        guard let object = try Self.head(job.key, in: job.store), Self.isObject(object, of: job),
            let manifest = try Self.manifest(of: job.key, in: job.store)
        else { return nil }
        guard manifest.objectLength == object.length,
            object.crc64 == nil || object.crc64 == manifest.object.crc64ecma
        else { return nil }
        return ExportedDisk(manifest)
    }

    func discard(_ job: DiskExportJob) throws(ImageError) {
        try ObjectExport.discard(checkpointPath: job.checkpointPath, store: job.store, key: job.key) {
            Self.isObject($0, of: job)
        }
    }

    private static func isObject(_ object: ObjectSummary, of job: DiskExportJob) -> Bool {
        object.attributes.userMetadata[ownerName] == job.owner
    }

    // MARK: Imports and verifications

    func fetch(
        _ key: ObjectKey, from store: any ObjectStore, format: String?, to path: String, _ monitor: WorkMonitor
    ) throws(ImageError) -> DiskFacts {
        try WatchedWork.run(monitor, threads: threads) { (work) throws(ImageError) in
            let sink = try FileSink(path: path, replacing: true)
            let download = ObjectDownload(
                key, in: store, manifest: try Self.manifest(of: key, in: store), cancellation: work.cancellation)
            _ = try download.run(into: sink)
            let source = try sink.writtenSource()
            let found: ImageFormat
            if let format {
                found = try Self.format(format)
            } else {
                found = try FormatDetection.detect(source, name: key.description)
            }
            let facts = DiskFacts(try DiskImage(source, format: found))
            try sink.commit()
            return facts
        }
    }

    func verify(_ key: ObjectKey, in store: any ObjectStore, _ monitor: WorkMonitor) throws(ImageError)
        -> ExportedDisk
    {
        try WatchedWork.run(monitor, threads: threads) { (work) throws(ImageError) in
            guard let manifest = try Self.manifest(of: key, in: store) else {
                throw ImageError(
                    .mismatch,
                    "there is no manifest beside the object, so nothing says what it must be; export it again",
                    path: key.description)
            }
            let report = try Verification(StoreSource(store, key), manifest: manifest, work: work).run()
            guard report.verdict == .whole else {
                let finding = report.checks.first { $0.outcome == .failed || $0.outcome == .undecided }
                throw ImageError(
                    .verificationFailed,
                    "the object is not what its manifest says: \(finding?.message ?? "nothing proves it")",
                    path: key.description)
            }
            return ExportedDisk(manifest)
        }
    }

    // MARK: What all of them ask

    private static func format(_ name: String) throws(ImageError) -> ImageFormat {
        guard let format = ImageFormat(name: name) else {
            throw ImageError(.invalidOption, "'\(name)' is no format of an image that Lathe knows")
        }
        return format
    }

    /// - Returns: nil where there is no such object.
    private static func head(_ key: ObjectKey, in store: any ObjectStore) throws(ImageError) -> ObjectSummary? {
        do throws(StoreError) { return try store.head(key) } catch {
            if error.code == .noSuchObject { return nil }
            throw error.imageError
        }
    }

    /// - Returns: nil where there is none beside the object.
    private static func manifest(of key: ObjectKey, in store: any ObjectStore) throws(ImageError) -> Manifest? {
        let manifestKey = try ExportName.manifest(of: key)
        guard try head(manifestKey, in: store) != nil else { return nil }
        return try Manifest(source: StoreSource(store, manifestKey))
    }
}

extension DiskFacts {
    init(_ image: DiskImage) { self.init(format: image.format.rawValue, virtualSize: image.virtualSize) }
}

extension ExportedDisk {
    init(_ manifest: Manifest) {
        self.init(
            length: manifest.objectLength, crc64: manifest.object.crc64ecma, fingerprint: manifest.content.crc64ecma)
    }
}
