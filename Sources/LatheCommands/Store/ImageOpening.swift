internal import Glibc
internal import ImageFiles
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline
internal import ObjectStorage

/// Opens images that the user named, and nothing else.
extension StoreArguments {
    /// A file, a block device, an object in a store or, for `-`, standard input, which is spooled where it is a pipe.
    func source(_ path: String, _ cancellation: CancellationFlag? = nil) throws(ImageError) -> any ImageSource {
        if let location = try StoreLocation(object: path), let key = location.key {
            return try StoreSource(open(location, cancellation: cancellation), key)
        }
        guard path == "-" else { return try FileSource(path: path) }
        if let file = try? FileSource(duplicating: STDIN_FILENO, name: "standard input") { return file }
        return try PipeSpool.spool(STDIN_FILENO, name: "standard input") { () throws(ImageError) in
            try WorkOptions(cancellation: cancellation).requireGoingOn()
        }
    }

    /// An image in the format that the user names, or else in the one that its content shows.
    func image(_ path: String, format: ImageFormat?, _ cancellation: CancellationFlag? = nil) throws(ImageError)
        -> DiskImage
    {
        let source = try source(path, cancellation)
        if let format { return try DiskImage(source, format: format) }
        return try DiskImage(source, format: FormatDetection.detect(source, name: path))
    }
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
        images.contains { $0.source is StoreSource } ? overNetwork(flags) : self
    }
}
