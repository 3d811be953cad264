internal import ArgumentParser
internal import Glibc
internal import ImageFiles
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

struct ConvertCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert",
        abstract: "Convert a disk image to another format.",
        discussion: """
            Formats: raw, vhd (also called vpc), qcow2, vmdk, vdi, raw.tar.gz, raw.gz, raw.zst.

            Options of the formats (-o KEY=VALUE, several joined by commas):
              raw    package=none|tar.gz|gz|zst (the same as -O raw.tar.gz and so on)
                     compression_level=1...12 (tar.gz, gz), 1...19 (zst)
                     member=NAME (tar.gz: the file's name in the archive)
              vhd    subformat=dynamic|fixed  block_size=512k...8M (dynamic; 2M)
                     align=SIZE (rounds the size of the disk up with zeros; Azure takes
                     whole MiB: align=1M. The fingerprint is that of the larger disk.)
              qcow2  compat=1.1|0.10  cluster_size=512...2M  refcount_bits=1|2|4|8|16|32|64
                     extended_l2=off|on  compress=off|on (the same as -c)
                     compression_type=zlib|zstd (of -c; alone it compresses nothing)
                     compression_level=1...9 for zlib: 1 and 2 fast, 3 between, 4 to 6 as
                     small as qemu-img's, 7 to 9 smaller; 1...19 for zstd, of which 3 is
                     qemu-img's; to give a level is to ask for -c
              vmdk   subformat=monolithicSparse|streamOptimized, or several files:
                     monolithicFlat|twoGbMaxExtentSparse|twoGbMaxExtentFlat
                     adapter_type=ide|lsilogic|buslogic|legacyESX  hwversion=N
                     compression_level=1...12 (streamOptimized)
                     align=SIZE (as for vhd; VMware wants whole grains: align=64k)
              vdi    static=off|on, or subformat=dynamic|static

            A vmdk of several files is the destination, a descriptor, and extents beside it that are named after it \
            (disk-flat.vmdk, disk-f001.vmdk, disk-s001.vmdk and on); the descriptor's bytes depend on that name.

            A pipe as the source is kept in a temporary file first (in TMPDIR, or /var/tmp), unless it is named raw (-f raw) \
            and becomes raw, raw.gz, raw.zst or a fixed vhd.

            SOURCE_DATE_EPOCH (seconds since 1970) is the time that a vhd or a tar.gz records; without it, 2000-01-01.

            Examples:
              lathe convert -O qcow2 disk.raw disk.qcow2
              lathe convert -c -O qcow2 -o compression_type=zstd disk.raw disk.qcow2
              lathe convert --verify -O vmdk -c disk.raw disk.vmdk
              curl … | lathe convert -f raw -O vhd - disk.vhd
              lathe convert -O raw.tar.gz -o member=disk.raw disk.qcow2 disk.raw.tar.gz
              lathe convert -O vhd -o subformat=fixed,align=1M disk.raw azure.vhd
              lathe convert -O raw.zst disk.raw - | ssh host 'zstd -d > disk.raw'
              lathe convert -O qcow2 disk.raw - | ssh host 'cat > disk.qcow2'
            """)

    @Option(name: .customShort("O"), help: ArgumentHelp("The format to write.", valueName: "fmt"))
    var format: ImageFormat

    @OptionGroup var conversion: ConversionArguments

    @Option(
        help: ArgumentHelp(
            "Whether data shares its blocks with the source where the file system can (XFS, btrfs): auto shares what it can, "
                + "always fails where a whole block of data can't be shared, never writes all; the result's bytes are the "
                + "same.", valueName: "when"))
    var reflink: ReflinkPolicy = .auto

    @Flag(
        help: ArgumentHelp(
            "Take the file system's word for what of the source is a hole, and all else for data: zeros that are stored are "
                + "allocated in the result, which then depends on how the source is allocated. With '--checksum none' and "
                + "reflinks, no data is read."))
    var trustHoles = false

    @Flag(
        help: ArgumentHelp(
            "Replace the destination if it exists, and where '--manifest' says, a manifest of an earlier run; never anything else, "
                + "and nothing that is read."))
    var overwrite = false

    @Flag(
        help:
            "Read the result back, from the disk where the system can, and compare fingerprints before it appears under its name."
    )
    var verify = false

    @OptionGroup var flushing: FlushFlags

    @Option(
        help: ArgumentHelp(
            "What to compute of the content and of the file: crc64ecma always, sha256 or sha256-tree too (see 'lathe digest "
                + "--help'). none is for raw and qcow2: nothing then shows damage, now or later.", valueName: "list"))
    var checksum = ChecksumList(selection: .crc64ecma)

    @Option(
        help: ArgumentHelp(
            "Write what the result must be, as JSON, to a file: 'lathe verify' takes it.", valueName: "path"),
        completion: .file())
    var manifest: String?

    @Option(help: "What to print when done.")
    var output: OutputFormat = .human

    @Flag(name: .customShort("q"), help: "Print nothing but errors.")
    var quiet = false

    @OptionGroup var flags: WorkFlags

    @OptionGroup(title: "Files and Object Store") var store: StoreArguments

    @Argument(help: "The image to read; '-' is standard input.", completion: .file())
    var source: String

    @Argument(help: "The file to write; '-' is standard output.", completion: .file())
    var destination: String

    func run() throws {
        try runCommand(flags) { work in
            let start = ContinuousClock.now
            let conversion = try makeConversion(work)
            // Options are checked before anything is made.
            let files = try conversion.makeEncoder().files
            if destination != "-" {
                for path in FileSetSink.paths(destination, files) {
                    try CommandFiles.inUse.claim(
                        path, path == destination ? "the destination" : "an extent of the result")
                }
            }
            let manifestFile = try ManifestFile(path: manifest, replacing: overwrite, flushing: flushing.flushes)
            let made: ConvertedObject
            let sinks: [FileSink]
            if destination == "-" {
                (made, sinks) = (try convertToStandardOutput(conversion), [])
            } else if files.isEmpty {
                (made, sinks) = try convertToFile(conversion, work)
            } else {
                (made, sinks) = try convertToFiles(conversion, files, work)
            }
            if let object = made.object {
                let files = made.files.isEmpty ? nil : made.files
                try manifestFile?.write(Manifest(conversion, made.result, object: object, files: files))
            }
            if destination != "-" { try work.requireGoingOn() }
            try CommandFiles.inUse.commit(sinks + [manifestFile?.sink].compactMap { $0 })
            let report = ConvertReport(
                source: source, destination: destination, conversion: conversion, made: made, verified: verify,
                seconds: (ContinuousClock.now - start).seconds)
            guard !quiet else { return }
            if destination == "-" {
                Rendering.note(output == .json ? try Rendering.json(report) : report.sentence)
            } else {
                try Rendering.render(report, as: output) { report.sentence }
            }
        }
    }

    /// Refuses what would need checksums that are not computed, before anything is read.
    private func requireChecksums() throws(ImageError) {
        guard manifest == nil || !trustHoles else {
            throw ImageError(
                .invalidOption,
                "--manifest says what a disk's content comes to, and with '--trust-holes' the result also depends on how the "
                    + "source is allocated: leave one of them out")
        }
        guard checksum.selection.isEmpty else { return }
        for (option, isGiven) in [("--verify", verify), ("--manifest", manifest != nil)] where isGiven {
            throw ImageError(
                .invalidOption,
                "\(option) goes by checksums, and '--checksum none' computes none: leave one of them out")
        }
    }

    private func makeConversion(_ work: WorkOptions) throws(ImageError) -> Conversion {
        try requireChecksums()
        let options = try conversion.formatOptions(format)
        // A pipe has no holes of its own: those that could be trusted are the spool's.
        let isReadOnce = try FormatCatalog.takesSizeLast(format, options: options) && !trustHoles
        let image = try conversion.image(source, in: store, work.cancellation, isReadOnce: isReadOnce)
        var made = Conversion(
            image, to: format, options: options, sparsePolicy: try conversion.sparsePolicy(),
            timestamp: try conversion.timestamp(), reflink: reflink, trustsHoles: trustHoles,
            checksums: checksum.selection, work: work.reading(image, flags: flags))
        if destination != "-" { made.fileName = PathText.lastComponent(destination) }
        return made
    }

    /// - Returns: what was made, and the file that has no name yet.
    private func convertToFile(_ conversion: Conversion, _ work: WorkOptions) throws(ImageError)
        -> (ConvertedObject, [FileSink])
    {
        let sink = try FileSink(path: destination, replacing: overwrite, flushing: flushing.flushes)
        try sink.limitAccess(toThatOf: conversion.image.source.files)
        let result = try conversion.run(into: sink)
        if verify {
            let written = try DiskImage(
                sink.writtenSource(fromDisk: flushing.flushes), format: conversion.writtenFormat)
            try ConvertReport.requireSame(result, try written.fingerprint(work), written, path: destination)
        }
        let object = try objectChecksums(of: sink, result, work)
        return (ConvertedObject(result: result, object: object), [sink])
    }

    /// The same for an image of several files.
    private func convertToFiles(_ conversion: Conversion, _ files: [MemberFile], _ work: WorkOptions) throws(ImageError)
        -> (ConvertedObject, [FileSink])
    {
        let sink = try FileSetSink(path: destination, files: files, replacing: overwrite, flushing: flushing.flushes)
        try sink.limitAccess(toThatOf: conversion.image.source.files)
        let result = try conversion.run(into: sink)
        let written = try sink.writtenFiles(fromDisk: verify && flushing.flushes)
        if verify {
            let image = try DiskImage(written.sources[0], format: conversion.writtenFormat, references: written)
            try ConvertReport.requireSame(result, try image.fingerprint(work), image, path: destination)
        }
        var made = ConvertedObject(result: result, object: result.objectCRC64.map { Checksums(crc64ecma: $0) })
        made.files = result.files
        if checksum.selection != .crc64ecma, result.objectCRC64 != nil {
            for (index, source) in written.sources.enumerated() {
                let found = try DiskImage.checksums(ofBytesOf: source, checksum.selection, work)
                try ConvertReport.requireWritten(made.files[index].checksums, found, path: sink.paths[index])
                made.files[index].checksums = found
            }
        }
        return (made, sink.filesInOrder)
    }

    /// What was asked for of the file: a SHA-256 goes in order, and the file was not written so; hence it is read again.
    private func objectChecksums(of sink: FileSink, _ result: ConversionResult, _ work: WorkOptions) throws(ImageError)
        -> Checksums?
    {
        guard let written = result.objectCRC64 else { return nil }
        guard checksum.selection != .crc64ecma else { return Checksums(crc64ecma: written) }
        let found = try DiskImage.checksums(ofBytesOf: sink.writtenSource(), checksum.selection, work)
        try ConvertReport.requireWritten(Checksums(crc64ecma: written), found, path: destination)
        return found
    }

    /// A stream can't go back: a format whose header is known last is made twice, first for the metadata, then for the data.
    private func convertToStandardOutput(_ conversion: Conversion) throws(ImageError) -> ConvertedObject {
        guard !verify else {
            throw ImageError(
                .invalidOption, "--verify reads the result back, and standard output can't be: leave it out")
        }
        guard reflink != .always else {
            throw ImageError(
                .invalidOption, "--reflink always: standard output shares no data with a file; name a destination file")
        }
        guard isatty(STDOUT_FILENO) == 0 else {
            throw ImageError(
                .invalidOption, "an image is nothing for a terminal: redirect standard output, or name a file")
        }
        let digester = ObjectDigester(checksum.selection)
        func stream(_ metadata: FileSource?) -> StreamSink {
            StreamSink(descriptor: STDOUT_FILENO, name: "standard output", metadata: metadata) { digester.update($0) }
        }
        let written: ConversionResult
        if let forward = try conversion.goingForward() {
            written = try forward.run(into: stream(nil))
        } else {
            let spool = try MetadataSpool()
            let planned = try conversion.run(into: spool)
            written = try conversion.run(into: stream(spool.spooled()))
            guard planned == written else {
                throw ImageError(
                    .sourceChanged,
                    "the source gave other content when it was read again; what was written is not whole", path: source)
            }
        }
        return ConvertedObject(result: written, object: written.objectCRC64.map { digester.checksums(crc64ecma: $0) })
    }
}
