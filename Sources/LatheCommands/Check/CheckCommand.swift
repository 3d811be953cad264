internal import ArgumentParser
internal import ImageFiles
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Look for what is wrong in an image's metadata, and make it right.",
        discussion: """
            Reads all metadata and no content; compare fingerprints to prove content. Each finding says where it is, what was \
            found, what was expected, and what follows. Files that the image names are never opened.

            --repair makes right what the image itself still tells, and never touches content: 'leaks' gives back space in \
            qcow2 that nothing uses; 'all' counts a qcow2 image's refcounts anew, copies a vhd's footer from the one that is \
            whole, and sets a vdi's number of blocks right. All is proved before anything is written: the image as it will be \
            is checked, its tables are held against those that are there, and all of its content is read before and after. \
            The repaired image is a copy, which appears under its name when it is whole and was read back; or the image \
            itself, with --in-place, in an order in which a stop at any point leaves it no worse. What can't be mended is \
            listed and left as it is.

            Exit codes, of what is left after a repair: 0 nothing found (warnings aside), 1 the check or the repair could not \
            be done, 2 corruptions, 3 leaks only.

            Examples:
              lathe check disk.qcow2
              lathe check --repair all disk.qcow2 repaired.qcow2
              lathe check --repair leaks --in-place disk.qcow2
            """)

    @Option(
        name: [.customShort("r"), .long],
        help: ArgumentHelp("Mend what is found: 'leaks', or 'all' that can be.", valueName: "what"))
    var repair: RepairScope?

    @Option(
        help: ArgumentHelp("With --repair: the repaired copy, the same as a second name.", valueName: "copy"),
        completion: .file())
    var into: String?

    @Flag(help: "With --repair: write to the image itself.")
    var inPlace = false

    @Flag(help: "With --repair: replace the copy if it exists.")
    var overwrite = false

    @OptionGroup var flags: WorkFlags

    @OptionGroup var flushing: FlushFlags

    @OptionGroup var arguments: ImageArguments

    @Argument(help: "With --repair: the repaired copy.", completion: .file())
    var copy: String?

    func validate() throws {
        let destinations = [into, copy].compactMap { $0 }.count + (inPlace ? 1 : 0)
        if repair == nil {
            guard destinations == 0, !overwrite else {
                throw ValidationError(
                    "A copy, --into, --in-place and --overwrite go with --repair leaks or --repair all.")
            }
        } else if destinations != 1 {
            throw ValidationError("--repair writes to one of these: a second name, --into a name, or --in-place.")
        }
        if overwrite, inPlace {
            throw ValidationError("--overwrite is for a copy; --in-place writes to the image itself.")
        }
    }

    func run() throws {
        guard let repair else {
            return try runCommand(failure: { _ in ExitStatus.checkIncomplete }) { try check() }
        }
        try runCommand(flags, failure: { _ in ExitStatus.checkIncomplete }) { work in try mend(repair, work) }
    }

    private func check() throws {
        let source = try arguments.store.source(arguments.image)
        let format = try arguments.format ?? FormatDetection.detect(source, name: arguments.image)
        let found = FormatCatalog.check(source, as: format)
        try finish(CheckPayload(found, format: format, path: arguments.image), found)
    }

    private func mend(_ scope: RepairScope, _ work: WorkOptions) throws {
        let image = arguments.image
        // Before the image is looked at: nobody else may write to it from then on.
        let patch = inPlace ? try patch(image) : nil
        let source =
            try patch?.writtenSource() ?? arguments.store.source(image, work.cancellation, role: "the image itself")
        let format = try arguments.format ?? FormatDetection.detect(source, name: image)
        let sink = try (copy ?? into).map { (path) throws(ImageError) in
            try CommandFiles.inUse.claim(path, "the repaired copy")
            let sink = try FileSink(path: path, replacing: overwrite, flushing: flushing.flushes)
            try sink.limitAccess(toThatOf: source.files)
            return sink
        }
        let prepared = try MetadataRepair(source, format: format, scope: scope, work: work).prepare {
            () throws(ImageError) in try ScratchSpool()
        }
        var result: String?
        if let patch, prepared.hasChanges {
            try prepared.apply(to: patch)
            try prepared.prove(patch.writtenSource())
            result = image
        } else if let sink, prepared.hasChanges || prepared.before.isSound {
            try prepared.copy(into: sink)
            try prepared.prove(sink.writtenSource())
            try CommandFiles.inUse.commit([sink])
            result = sink.path
        }
        var report = CheckPayload(prepared.after, format: format, path: image)
        report.take(prepared, result: result)
        if let refusal = prepared.refusal { Rendering.note("lathe: \(refusal.naming(image))") }
        try finish(report, prepared.after)
    }

    private func patch(_ image: String) throws(ImageError) -> FilePatch {
        guard image != "-", try StoreLocation(object: image) == nil else {
            throw ImageError(
                .invalidOption, "only a file can be repaired in place; name a file for the repaired copy", path: image)
        }
        return try FilePatch(path: image)
    }

    private func finish(_ report: CheckPayload, _ found: CheckReport) throws {
        try Rendering.render(report, as: arguments.output) { report.text }
        if let error = found.incomplete {
            Rendering.note("lathe: \(error.naming(arguments.image))")
            throw ExitStatus.checkIncomplete
        }
        if found.corruptions > 0 { throw ExitStatus.checkCorruptions }
        if found.leaks > 0 { throw ExitStatus.checkLeaks }
    }
}
