internal import ArgumentParser
internal import ImageExport
internal import ImageFiles
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Prove that images are what they should be, and locate or repair what is not.",
        discussion: """
            In this order of strength: the structure, as 'lathe check' has it; the manifest that 'lathe convert --manifest' \
            wrote: length, CRC-64 of the file and of each of its parts, of the content, and SHA-256 where the manifest has one; \
            the source itself, byte by byte. A CRC-64 finds accidents; against somebody who wants to deceive, only a SHA-256 in \
            a manifest from a hand that you trust proves anything, or the source.

            Damage is located: the parts of the file that have to be fetched again, and the guest bytes that they carry.

            --repair-from rewrites damaged parts in place, and nothing else, then verifies again. A part is taken from another \
            copy that has it whole, or made anew from a disk of the same content in any format, the raw source for one. \
            Nothing is written that does not have the part's CRC-64 by the manifest. Of an image of several files, one that is \
            missing is made anew, too.

            An object in a store (oss://BUCKET/KEY, s3://BUCKET/KEY) is held against the manifest beside it \
            (KEY.manifest.json): by what the store says, without reading it; with --deep by reading all of it and keeping \
            nothing; with --download by fetching it into a file, which then is checked and kept if nothing is wrong. A local \
            copy is repaired with --repair-from oss://BUCKET/KEY by fetching its bad parts alone.

            Of an image of several files (a vmdk with extents), the files that the manifest lists are opened beside the image, and \
            no others, in a store too; --download fetches all of them. Without a manifest, what '--allow-backing' allows.

            Exit codes: 0 every image is whole, 1 it can't be told of one, 2 one is damaged. Without manifest and source, whole \
            means that the structure is sound and all of the disk can be read.

            Examples:
              lathe verify --manifest disk.qcow2.json disk.qcow2
              lathe verify --source disk.raw disk.qcow2 disk.vhd disk.vmdk
              lathe verify --manifest disk.qcow2.json --repair-from disk.raw disk.qcow2
              lathe verify oss://images/disk.qcow2
              lathe verify --download disk.qcow2 oss://images/disk.qcow2
            """)

    @Option(
        name: .customShort("f"),
        help: ArgumentHelp(
            "The images' format; without it, the manifest says it, or else the content shows.", valueName: "fmt"))
    var format: ImageFormat?

    @Option(
        help: ArgumentHelp(
            "What 'convert --manifest' wrote; for several images as often as there are images, in their order.",
            valueName: "path"), completion: .file())
    var manifest: [String] = []

    @Option(
        help: ArgumentHelp(
            "An image of the disk that all the images should hold; a raw one, unless --source-format says otherwise.",
            valueName: "path"), completion: .file())
    var source: String?

    @Option(help: ArgumentHelp("The source's format.", valueName: "fmt"))
    var sourceFormat: ImageFormat = .raw

    @OptionGroup var references: ReferenceArguments

    @Option(
        help: ArgumentHelp(
            "Another copy of the image, or a disk of the same content, to repair from; several are tried in turn.",
            valueName: "path"), completion: .file())
    var repairFrom: [String] = []

    @Flag(help: "Read objects in a store, whole, rather than go by what the store says of them.")
    var deep = false

    @Option(
        help: ArgumentHelp("Fetch the object into this file, and keep it if nothing is wrong.", valueName: "path"),
        completion: .file())
    var download: String?

    @Flag(help: "With --download: replace the file if it exists; never one that is read.")
    var overwrite = false

    @OptionGroup var flushing: FlushFlags

    @Option(help: "For people or for programs.")
    var output: OutputFormat = .human

    @Flag(name: .customShort("q"), help: "Print nothing but errors.")
    var quiet = false

    @OptionGroup var flags: WorkFlags

    @OptionGroup(title: "Files and Object Store") var store: StoreArguments

    @Argument(
        help: "The images: files, oss://BUCKET/KEY or s3://BUCKET/KEY; '-' is standard input.", completion: .file())
    var images: [String]

    func validate() throws {
        if images.isEmpty { throw ValidationError("There is no image to verify; name one or more.") }
        if !manifest.isEmpty, manifest.count != images.count {
            throw ValidationError(
                "There are \(images.count) images and \(manifest.count) manifests; give one for each image, in their order."
            )
        }
        if !repairFrom.isEmpty, manifest.isEmpty {
            throw ValidationError("--repair-from needs --manifest: only a manifest says which parts are damaged.")
        }
        if !repairFrom.isEmpty, images.contains("-") {
            throw ValidationError("--repair-from mends a file where it is, and standard input is none: name the file.")
        }
        let readOnce = images + manifest + repairFrom + [source].compactMap { $0 }
        if readOnce.filter({ $0 == "-" }).count > 1 || (source == "-" && images.count > 1) {
            throw ValidationError(
                "'-' is named for two things, or is the source of several images, and standard input can be read once.")
        }
        if download != nil, images.count != 1 { throw ValidationError("--download is for one object at a time.") }
        if overwrite, download == nil { throw ValidationError("--overwrite goes with --download.") }
    }

    func run() throws {
        try runCommand(flags) { work in
            var results: [VerifyResult] = []
            for (index, path) in images.enumerated() {
                let result = try verify(path, manifest: manifest.isEmpty ? nil : manifest[index], work)
                results.append(result)
                if output == .human, !quiet { try Rendering.write(result.text + "\n") }
                if let error = result.error { Rendering.note("lathe: \(error)") }
            }
            let payload = VerifyPayload(results)
            if output == .json, !quiet { try Rendering.write(try Rendering.json(payload) + "\n") }
            switch payload.verdict {
            case .whole: return
            case .undecided: throw ExitStatus.verifyUndecided
            case .damaged: throw ExitStatus.verifyDamaged
            }
        }
    }

    private static let imageRole = "an image that is verified"

    /// Verifies one image, and repairs it where that was asked for; what keeps it from being known is in the result.
    private func verify(_ path: String, manifest manifestPath: String?, _ work: WorkOptions) throws(ImageError)
        -> VerifyResult
    {
        var result = VerifyResult(path: path, manifestPath: manifestPath)
        do throws(ImageError) {
            var manifest: Manifest?
            if let manifestPath { manifest = try Manifest(source: store.source(manifestPath, work.cancellation)) }
            if let location = try StoreLocation(object: path) {
                result.report = try examine(location, manifest, work)
                return result
            }
            guard download == nil else {
                throw ImageError(
                    .invalidOption,
                    "--download fetches an object from a store: name it as oss://BUCKET/KEY or s3://BUCKET/KEY")
            }
            result.report = try examine(try store.source(path, work.cancellation, role: Self.imageRole), manifest, work)
            if let manifest, !repairFrom.isEmpty, result.report?.needsRepair(manifest) ?? false {
                try repair(path, manifest, work, &result)
            }
        } catch {
            if error.code == .cancelled { throw error }
            result.error = error.naming(path)
        }
        return result
    }

    /// Verifies an object in a store, as deep as was asked for.
    private func examine(_ location: StoreLocation, _ given: Manifest?, _ work: WorkOptions) throws(ImageError)
        -> VerificationReport?
    {
        guard repairFrom.isEmpty else {
            throw ImageError(
                .invalidOption, "an object can't be repaired where it is: export it again, with --overwrite")
        }
        let remote = try RemoteImage(location, in: store, manifest: given, work.cancellation)
        if let download { return try fetch(remote, into: download, work) }
        if deep || source != nil || format != nil {
            let siblings = references.allowBacking == nil ? remote.siblings : nil
            return try examine(remote.source(), remote.manifest, files: siblings, work.overNetwork(flags))
        }
        return try remote.storesWord()
    }

    /// Fetches an object, and keeps the file if nothing is wrong with it.
    private func fetch(_ remote: RemoteImage, into path: String, _ work: WorkOptions) throws(ImageError)
        -> VerificationReport
    {
        if let manifest = remote.manifest, !manifest.files.isEmpty {
            return try fetch(remote, manifest, into: path, work)
        }
        try CommandFiles.inUse.claim(path, "the download")
        let sink = try FileSink(path: path, replacing: overwrite, flushing: flushing.flushes)
        let download = ObjectDownload(
            remote.key, in: remote.store, manifest: remote.manifest, parallel: max(4, work.threads),
            cancellation: work.cancellation)
        _ = try download.run(into: sink)
        let report = try examine(
            sink.writtenSource(fromDisk: flushing.flushes), remote.manifest, work)
        if report.verdict != .damaged { try CommandFiles.inUse.commit([sink]) }
        return report
    }

    /// Fetches the objects of an image of several files, which come to stand beside each other if nothing is wrong with any.
    private func fetch(_ remote: RemoteImage, _ manifest: Manifest, into path: String, _ work: WorkOptions)
        throws(ImageError) -> VerificationReport
    {
        let files = manifest.members
        for path in FileSetSink.paths(path, files) { try CommandFiles.inUse.claim(path, "a file of the download") }
        let sink = try FileSetSink(path: path, files: files, replacing: overwrite, flushing: flushing.flushes)
        for (index, file) in manifest.files.enumerated() {
            let download = ObjectDownload(
                try remote.key(of: file, index), in: remote.store, parallel: max(4, work.threads),
                cancellation: work.cancellation)
            _ = try download.run(into: MemberSink(files[index], in: sink))
        }
        try sink.finish(files: files)
        let written = try sink.writtenFiles(fromDisk: flushing.flushes)
        let report = try examine(written.sources[0], manifest, files: written, work)
        if report.verdict != .damaged { try CommandFiles.inUse.commit(sink.filesInOrder) }
        return report
    }

    /// - Parameter beside: what opens the files of an image of several, where the user does not say it.
    private func examine(
        _ image: any ImageSource, _ manifest: Manifest?, files beside: (any ReferencedFiles)? = nil,
        _ work: WorkOptions
    ) throws(ImageError) -> VerificationReport {
        var reference: DiskImage?
        if let source {
            reference = try store.image(
                source, format: sourceFormat, work.cancellation, references: references)
        }
        var verification = Verification(
            image, format: format, manifest: manifest, reference: reference, work: work)
        verification.references = if let beside { beside } else { try files(of: image, manifest, work) }
        return try verification.run()
    }

    /// What an image may be in beside its own file: what the manifest lists, or else what the user allows.
    private func files(
        of image: any ImageSource, _ manifest: Manifest?, _ work: WorkOptions, sharing: FileSharing? = nil
    ) throws(ImageError) -> any ReferencedFiles {
        guard let manifest, !manifest.files.isEmpty, references.allowBacking == nil else {
            return try store.files(references, work.cancellation)
        }
        return ListedFiles(
            manifest.files.map(\.name),
            in: try BeneathDirectory(of: image.name, sharing: sharing ?? store.shared.sharing))
    }

    private func repair(_ path: String, _ manifest: Manifest, _ work: WorkOptions, _ result: inout VerifyResult)
        throws(ImageError)
    {
        guard manifest.files.isEmpty || references.allowBacking == nil else {
            throw ImageError(
                .invalidOption, "--repair-from mends the files that are beside the image; leave '--allow-backing' out")
        }
        // The locks that count are those of who writes: they would stand in their own way.
        let image = try FileSource(path: path, sharing: .anybody)
        let paths = FileSetSink.paths(BeneathDirectory.realPath(path), manifest.members)
        result.repair = try Repair(manifest: manifest, work: work).run(
            result.report?.damagedParts ?? [], of: image, files(of: image, manifest, work, sharing: .anybody),
            from: donors(for: path, manifest, work)
        ) { (index) throws(ImageError) in
            try CommandFiles.inUse.requireOther(at: paths[index], than: Self.imageRole)
            // Over no link, as its files are read.
            return try index == 0 ? FilePatch(path: path) : FilePatch(creating: paths[index])
        } by: { () throws(ImageError) in
            try ScratchSpool()
        }
        result.report = try examine(try FileSource(path: path, sharing: store.shared.sharing), manifest, work)
    }

    private func donors(for path: String, _ manifest: Manifest, _ work: WorkOptions) throws(ImageError)
        -> [RepairDonor]
    {
        var donors: [RepairDonor] = []
        for donor in repairFrom {
            let source = try store.source(donor, work.cancellation)
            if let file = source as? FileSource, file.isFile(at: path) {
                throw ImageError(
                    .invalidOption, "an image can't be repaired from itself; name another copy", path: donor)
            }
            var files: any ReferencedFiles = NoReferencedFiles()
            if !manifest.files.isEmpty, donor != "-" {
                files = ListedFiles(manifest.files.map(\.name), in: try store.folder(of: donor, work.cancellation))
            }
            donors.append(RepairDonor(source, references: files))
        }
        return donors
    }
}

extension VerificationReport {
    /// Whether a file itself is not what the manifest says.
    fileprivate func needsRepair(_ manifest: Manifest) -> Bool {
        // A file of no bytes has no part that could be missing.
        !damagedParts.isEmpty || objectLength != manifest.objectLength
            || checks.contains { $0.subject == .object && $0.outcome == .failed }
    }
}
