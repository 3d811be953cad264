public import ArgumentParser
internal import Glibc
internal import ImageExport
internal import ImageFiles
public import ImageFormats
internal import ImageModel
internal import ImagePipeline
internal import ObjectStorage

/// Opens images that the user named, and nothing else.
extension StoreArguments {
    /// A file, a block device, an object in a store or, for `-`, standard input.
    ///
    /// - Parameters:
    ///   - isReadOnce: whether a pipe is read in order, each byte once, and its length may be known last; else it is spooled.
    ///   - role: what it is, in words that follow "is".
    func source(
        _ path: String, _ cancellation: CancellationFlag? = nil, isReadOnce: Bool = false,
        role: String = "a file that this command reads"
    ) throws(ImageError) -> any ImageSource {
        let source = try opened(path, cancellation, isReadOnce: isReadOnce)
        try CommandFiles.noteRead(source, role)
        return source
    }

    private func opened(_ path: String, _ cancellation: CancellationFlag?, isReadOnce: Bool) throws(ImageError)
        -> any ImageSource
    {
        if let location = try StoreLocation(object: path), let key = location.key {
            if let bucket = try directoryBucket(location) { CommandFiles.noteRead(key, in: bucket) }
            return try StoreSource(open(location, cancellation: cancellation), key)
        }
        guard path == "-" else { return Self.noting(try FileSource(path: path, sharing: shared.sharing)) }
        try CommandFiles.takeStandardInput()
        if let file = try standardInputFile() { return file }
        let goOn = { @Sendable () throws(ImageError) in
            try WorkOptions(cancellation: cancellation).requireGoingOn()
        }
        guard !isReadOnce else {
            return PipeSource(
                STDIN_FILENO, name: FileSource.standardInputName, greatestLength: ImageLimits.rawLength, goOn: goOn)
        }
        return try PipeSpool.spool(STDIN_FILENO, name: FileSource.standardInputName, goOn: goOn)
    }

    /// Says who else has a block device: a copy of what is written to meanwhile need not belong together.
    private static func noting(_ source: FileSource) -> FileSource {
        if let user = source.deviceUser {
            Rendering.note(
                "lathe: note: \(source.name): \(user), and what is written there while it is read need not belong together"
            )
        }
        return source
    }

    /// Standard input where it is a file or a block device; nil for a pipe.
    private func standardInputFile() throws(ImageError) -> FileSource? {
        do throws(ImageError) {
            return try FileSource(
                restOf: STDIN_FILENO, name: FileSource.standardInputName, sharing: shared.sharing)
        } catch {
            // What can't be a file has no such error: somebody writes to it.
            if error.systemError == EAGAIN { throw error }
            return nil
        }
    }

    /// A source, and the format that the user names, or else the one that its content shows.
    ///
    /// - Parameter isReadOnce: whether a disk that is named raw is read in order, each byte once.
    func formattedSource(
        _ path: String, format: ImageFormat?, _ cancellation: CancellationFlag? = nil, isReadOnce: Bool = false
    ) throws(ImageError) -> (source: any ImageSource, format: ImageFormat) {
        // Other formats have tables, and what no format is named for is looked at from both ends.
        let source = try source(
            path, cancellation, isReadOnce: isReadOnce && format == .raw, role: "the source itself")
        if let format { return (source, format) }
        return (source, try FormatDetection.detect(source, name: path))
    }

    /// An image, to be read whole.
    ///
    /// - Parameters:
    ///   - references: where the files that it names may be; by default none is opened.
    ///   - snapshot: the internal snapshot to read in place of the disk as it is now.
    ///   - isReadOnce: whether the disk is read in order, each byte once, and its size may be known last.
    func image(
        _ path: String, format: ImageFormat?, _ cancellation: CancellationFlag? = nil,
        references: ReferenceArguments? = nil, snapshot: SnapshotSelection? = nil, isReadOnce: Bool = false
    ) throws(ImageError) -> DiskImage {
        let opened = try formattedSource(path, format: format, cancellation, isReadOnce: isReadOnce)
        let files: any ReferencedFiles =
            if let references { try self.files(references, cancellation) } else { NoReferencedFiles() }
        let image = try DiskImage(opened.source, format: opened.format, references: files, snapshot: snapshot)
        try CommandFiles.noteRead(image.source, "a file that the source consists of")
        return image
    }

    /// What opens the files that an image names: nothing, unless the user said where they may be.
    func files(_ references: ReferenceArguments, _ cancellation: CancellationFlag?) throws(ImageError)
        -> any ReferencedFiles
    {
        guard let allowed = references.allowBacking else { return NoReferencedFiles() }
        let files: any ReferencedFiles =
            if let folder = try StoreLocation.folder(allowed) {
                BeneathPrefix(folder.prefix, in: try open(folder.bucket, cancellation: cancellation))
            } else {
                try BeneathDirectory(path: allowed, sharing: shared.sharing)
            }
        guard let format = references.backingFormat else { return files }
        return FilesOfFormat(files, undeclared: format.rawValue)
    }

    /// What opens the files beside an image, or the objects beside one in a store.
    ///
    /// Whoever writes to them: what is taken from there is held against checksums, and they may be the files that are mended.
    func folder(of path: String, _ cancellation: CancellationFlag?) throws(ImageError) -> any ReferencedFiles {
        guard let location = try StoreLocation(object: path), let key = location.key else {
            return try BeneathDirectory(of: path, sharing: .anybody)
        }
        return BeneathPrefix(ExportName.folder(of: key), in: try open(location, cancellation: cancellation))
    }
}

/// What every verb takes that reads files which others may have open.
struct SharingArguments: ParsableArguments {
    @Flag(
        name: [.customShort("U"), .long],
        help: ArgumentHelp(
            "Read files that another program has locked for writing, as a running machine has its disks, and that change "
                + "meanwhile: what is read may not belong together."))
    var forceShare = false

    var sharing: FileSharing { forceShare ? .anybody : .readers }
}

/// What every verb takes that reads a disk whose content may be in several files.
struct ReferenceArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Open what an image names (a backing file, a data file, a parent, extents), but only regular files that end, links "
                + "followed, beneath this directory, or objects beneath a folder of a store (oss://BUCKET/FOLDER). A relative name is "
                + "looked for where the image is. Without it, nothing that an image names is opened.", valueName: "dir"),
        completion: .directory)
    var allowBacking: String?

    @Option(
        help: ArgumentHelp(
            "With --allow-backing: the format of backing files of which the image does not say it.", valueName: "fmt"))
    var backingFormat: ImageFormat?

    func validate() throws {
        if backingFormat != nil, allowBacking == nil {
            throw ValidationError("--backing-format is of what --allow-backing opens: give both.")
        }
    }
}

/// What every verb takes that reads one disk, in whatever state of it.
struct SnapshotArguments: ParsableArguments {
    @Option(
        name: .customShort("l"),
        help: ArgumentHelp(
            "Read an internal snapshot of the (qcow2) image: its ID or name, or snapshot.id=ID, snapshot.name=NAME. The disk has "
                + "the size that it had then; qemu-img gives it the present one.",
            valueName: "snapshot"))
    var snapshot: SnapshotSelection?
}

extension SnapshotSelection: ExpressibleByArgument {
    public init?(argument: String) { self.init(parsing: argument) }
}

extension WorkOptions {
    /// The same work over an object in a store: requests wait for the network, so more of them are on their way than there are
    /// processors, unless the user says how many.
    func overNetwork(_ flags: WorkFlags) -> WorkOptions {
        var work = self
        if flags.threads == nil { work.threads = max(work.threads, 8) }
        return work
    }

    /// The same work over images of which any may be in a store.
    func reading(_ images: DiskImage..., flags: WorkFlags) -> WorkOptions {
        images.contains { $0.file is StoreSource } ? overNetwork(flags) : self
    }
}
