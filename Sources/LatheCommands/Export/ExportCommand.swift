internal import ArgumentParser
internal import Glibc
internal import ImageExport
internal import ImageFiles
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline
internal import ObjectStorage

struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a disk into an object store, in one pass and checked end to end.",
        discussion: """
            The disk is converted while it is read, and goes up in parts while it is converted: there is no temporary file. \
            Every part is checked by the store, and the whole object when it is there; beside it goes its manifest \
            (<object>.manifest.json), by which 'lathe verify' checks it later. The object appears whole or not at all.

            The object's name is [<prefix>_]<name>.<ext>, where <name> is the source's without its extension.

            '-' is standard input. A disk that '-f raw' names goes from a pipe into raw, its .gz and .zst and a fixed vhd as it \
            comes, in parts of 64 MiB, of which 10000 are 625 GiB: give --part-size for more. For all else, and for a \
            checkpoint, a pipe goes through a temporary file.

            A vmdk of several files becomes an object for each, the descriptor last. It takes a temporary file (in TMPDIR, or \
            /var/tmp); --overwrite removes the old descriptor before the first extent is replaced.

            \(StoreArguments.explanation)

            Examples:
              lathe export --bucket images --image-format qcow2 disk.raw
              lathe export --endpoint /srv/store --bucket images --prefix nightly disk.raw
              lathe export --bucket s3://images --region eu-central-1 --resume disk.raw
              lathe export --bucket images --package tar.gz disk.raw
              lathe export --bucket images --abort-stale
            """)

    @Option(help: ArgumentHelp("The bucket: a name, oss://NAME or s3://NAME.", valueName: "bucket"))
    var bucket: String

    @Option(help: ArgumentHelp("1 to 30 letters and digits in front of the name.", valueName: "text"))
    var prefix: String?

    @Option(
        help: ArgumentHelp("What the image is called; without it, the source's name says it.", valueName: "name"))
    var name: String?

    @Option(
        help: ArgumentHelp("The object's whole key, in place of prefix, name and extension.", valueName: "key"))
    var object: String?

    @Option(
        name: [.customShort("O"), .customLong("image-format")],
        help: ArgumentHelp("The format to write: raw, vhd, qcow2, vmdk or vdi.", valueName: "fmt"))
    var format: ImageFormat = .raw

    @Option(
        name: .customLong("package"),
        help: ArgumentHelp(
            "Pack a raw image: tar.gz as ECS ExportImage does, or gz or zst without an archive around it.",
            valueName: "how"))
    var package: RawPackaging?

    @OptionGroup var conversion: ConversionArguments

    @Flag(help: "Replace the object and its manifest if they exist.")
    var overwrite = false

    @Option(
        help: ArgumentHelp(
            "What to compute of the content: crc64ecma always, sha256 or sha256-tree too.", valueName: "list"))
    var checksum = ChecksumList(selection: .crc64ecma)

    @Option(
        help: ArgumentHelp(
            "Keep in this file what it takes to go on: after a crash or a lost network the same command goes on where it was. "
                + "Nothing is aborted then.", valueName: "file"),
        completion: .file())
    var checkpoint: String?

    @Flag(help: "The same, with a file that Lathe keeps for this object.")
    var resume = false

    @OptionGroup var flushing: FlushFlags
    @OptionGroup var attributes: AttributeArguments
    @OptionGroup var transfer: TransferArguments
    @OptionGroup(title: "Files and Object Store") var store: StoreArguments

    @Flag(help: "Remove what uploads left that were begun and never ended, in place of an export.")
    var abortStale = false

    @Option(
        help: ArgumentHelp(
            "With --abort-stale: only what was begun so long ago, in hours.", valueName: "hours"))
    var olderThan: UInt64 = 24

    @Flag(help: "With --abort-stale: only list them.")
    var dryRun = false

    @Option(help: "What to print when done.")
    var output: OutputFormat = .human

    @Flag(name: .customShort("q"), help: "Print nothing but errors.")
    var quiet = false

    @OptionGroup var flags: WorkFlags

    @Argument(help: "The image to read.", completion: .file())
    var source: String?

    func validate() throws {
        if abortStale {
            if source != nil { throw ValidationError("--abort-stale exports nothing: leave the source out.") }
        } else if source == nil {
            throw ValidationError("Name the image to export.")
        }
        if dryRun, !abortStale { throw ValidationError("--dry-run goes with --abort-stale.") }
        if object != nil, prefix != nil || name != nil {
            throw ValidationError("--object is the whole key: leave --prefix and --name out.")
        }
        if checkpoint != nil, resume { throw ValidationError("--checkpoint and --resume are one thing: give one.") }
        // The option alone would leave the name of a plain disk to what is none.
        if object == nil,
            conversion.options.contains(where: { $0.split(separator: ",").contains { $0.hasPrefix("package=") } })
        {
            throw ValidationError(
                "-o package=… leaves the object without a name for it: use --package, or name it by --object.")
        }
        if package != nil, format != .raw { throw ValidationError("--package is for raw.") }
    }

    func run() throws {
        let progress = TransferProgress()
        // To take back what was sent takes the store's answer, and that its time.
        try runCommand(flags, transfer: progress, patienceSeconds: 20) { work, reporter in
            let location = try StoreLocation(bucket: bucket)
            let store = try store.open(
                location, creating: !abortStale, flushing: flushing.flushes, cancellation: work.cancellation
            ) { error in
                progress.retry()
                reporter.tell(.retry, "\(error); trying again")
            }
            if abortStale {
                if !dryRun { try self.store.sweep(location, olderThan: min(olderThan, 1 << 32) * 3600) }
                return try removeStale(in: store, work)
            }
            guard let source else { return }
            let start = ContinuousClock.now
            var export = try makeExport(of: source, to: store, work)
            try claimPlaces(of: export, at: location)
            export.progress = progress
            export.onNote = { reporter.tell(.note, $0) }
            let result = try export.run()
            guard !quiet else { return }
            let report = ExportReport(
                source: source, store: store.name, result: result, progress: progress,
                seconds: (ContinuousClock.now - start).seconds)
            try Rendering.render(report, as: output) { report.sentence }
        }
    }

    private func makeExport(of source: String, to store: any ObjectStore, _ work: WorkOptions) throws(ImageError)
        -> ObjectExport
    {
        guard !checksum.selection.isEmpty else {
            throw ImageError(.invalidOption, "an export is checked by checksums: '--checksum none' is not for it")
        }
        let name = try imageName(source)
        var options = try conversion.formatOptions(format)
        if let package {
            try options.imply("package", package.rawValue, because: "--package")
            if package == .tarGzip { try options.imply("member", "\(name).raw", because: "--package") }
        }
        let key = try objectKey(name)
        let checkpointPath = try checkpointPath(store, key)
        let takesSizeLast = try FormatCatalog.takesSizeLast(format, options: options)
        // To go on with it, the source is read again.
        let image = try conversion.image(
            source, in: self.store, work.cancellation, isReadOnce: takesSizeLast && checkpointPath == nil)
        let made = Conversion(
            image, to: format, options: options, sparsePolicy: try conversion.sparsePolicy(),
            timestamp: try conversion.timestamp(), checksums: checksum.selection,
            work: work.reading(image, flags: flags))
        return ObjectExport(
            made, to: store, as: key, attributes: try attributes.attributes(), replacing: overwrite,
            transfer: transfer.options(work.cancellation), checkpointPath: checkpointPath)
    }

    /// Takes the places of all files that the export makes, of those in a store that is a directory too.
    private func claimPlaces(of export: ObjectExport, at location: StoreLocation) throws(ImageError) {
        if let bucket = try store.directoryBucket(location) {
            let manifest = try ExportName.manifest(of: export.key)
            try CommandFiles.claim(export.key, in: bucket, "the object")
            try CommandFiles.claim(manifest, in: bucket, "the object's manifest")
            for file in try export.conversion.makeEncoder().files.dropFirst() {
                let key = try ExportName.sibling(of: export.key, named: file.name)
                try CommandFiles.claim(key, in: bucket, "an extent of the object")
            }
        }
        guard let path = export.checkpointPath else { return }
        try CommandFiles.inUse.claim(path, "the checkpoint")
        try CommandFiles.inUse.claim(path + ".lock", "the checkpoint's lock")
    }

    private func objectKey(_ name: String) throws(ImageError) -> ObjectKey {
        if let object { return try ObjectKey.checked(object) }
        return try ExportName.key(prefix: prefix, name: name, suffix: suffix)
    }

    /// What stands behind the image's name in a key of ours.
    private var suffix: String { format.rawValue + (package.map { "." + $0.rawValue } ?? "") }

    /// What the image is to be called, or else what the source is called, or a pipe's object.
    private func imageName(_ source: String) throws(ImageError) -> String {
        if let name { return name }
        guard source == "-" else { return PathText.stem(of: source) }
        guard let object else {
            throw ImageError(.invalidOption, "standard input has no name: give one with '--name' or '--object'")
        }
        let last = PathText.lastComponent(object)
        return last.hasSuffix("." + suffix) ? String(last.dropLast(suffix.count + 1)) : PathText.stem(of: object)
    }

    private func checkpointPath(_ store: any ObjectStore, _ key: ObjectKey) throws(ImageError) -> String? {
        guard resume else { return checkpoint }
        let name = StateDirectory.fileName(for: "\(store.location)/\(key)")
        return try StateDirectory.path(of: "checkpoints/\(name).json")
    }

    // MARK: What others left

    private func removeStale(in store: any ObjectStore, _ work: WorkOptions) throws {
        let begin = prefix.map { $0 + "_" } ?? object ?? ""
        let now = UInt64(max(0, time(nil)))
        var report = StaleReport(store: store.name, removed: !dryRun, uploads: [])
        do throws(StoreError) {
            for upload in try store.uploads(prefix: begin) {
                let age = now - min(now, upload.initiated ?? now)
                guard age / 3600 >= olderThan else { continue }
                if work.cancellation?.isCancelled ?? false { throw StoreError(.cancelled, "stopped on request") }
                // One that was completed or aborted meanwhile is no longer left over.
                let isThere = dryRun ? true : try abort(upload, in: store)
                guard isThere else { continue }
                report.uploads.append(.init(key: upload.key.description, uploadID: upload.id, ageSeconds: age))
            }
        } catch {
            throw error.imageError
        }
        guard !quiet else { return }
        try Rendering.render(report, as: output) { report.text }
    }

    /// - Returns: false where there is no such upload any more.
    private func abort(_ upload: MultipartUpload, in store: any ObjectStore) throws(StoreError) -> Bool {
        do throws(StoreError) {
            try store.abort(upload)
            return true
        } catch {
            if error.code == .noSuchUpload { return false }
            throw error
        }
    }
}
