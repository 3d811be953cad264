internal import Glibc
internal import ImageFiles
internal import ImageModel
internal import ObjectStorage
internal import Synchronization

/// The files that this process's command reads and writes.
///
/// One for all: a process runs one command, and its standard streams are files as well. What the service does is not in it.
enum CommandFiles {
    static let inUse = FilesInUse()

    private static let hasStandardInput = Mutex(false)

    /// Notes what is read, and refuses standard streams that lead to it: what is printed would be written into it.
    ///
    /// - Throws: `destination-exists`.
    static func noteRead(_ source: any ImageSource, _ role: String) throws(ImageError) {
        inUse.noteRead(source, role)
        try requireStreamsElsewhere()
    }

    private static func requireStreamsElsewhere() throws(ImageError) {
        try inUse.requireOther(behind: STDOUT_FILENO, name: "standard output")
        do throws(ImageError) { try inUse.requireOther(behind: STDERR_FILENO, name: "standard error") } catch {
            // The error itself would be written into the image.
            let nowhere = unsafe open("/dev/null", O_WRONLY | O_CLOEXEC)
            if nowhere >= 0 { dup2(nowhere, STDERR_FILENO) }
            throw error
        }
    }

    /// Takes standard input for one of the things that are read.
    ///
    /// - Throws: `invalid-option` where another one has had it: what was read of a pipe can't be read again.
    static func takeStandardInput() throws(ImageError) {
        let isTaken = hasStandardInput.withLock { taken in
            defer { taken = true }
            return taken
        }
        guard isTaken else { return }
        throw ImageError(
            .invalidOption,
            "'-' is named for two things, or for several images, and standard input can be read once: name files for the others"
        )
    }

    // MARK: Side files

    /// Refuses to replace anything but a file of the same kind by a manifest or a plot: '--overwrite' is about the result.
    ///
    /// - Parameters:
    ///   - kind: what the file is to be, as in "a manifest".
    ///   - isKind: whether a file is one; what throws is none.
    /// - Throws: `destination-exists`.
    static func requireReplaceable(
        _ path: String, _ kind: String, _ isKind: (FileSource) throws(ImageError) -> Bool
    ) throws(ImageError) {
        var status = stat()
        // What can't be opened, or is no regular file, the sink refuses in its own words.
        guard unsafe lstat(PathText.terminated(path), &status) == 0, status.st_mode & mode_t(S_IFMT) == mode_t(S_IFREG)
        else { return }
        let source = try FileSource(path: path, mapped: false)
        // An empty file, as mktemp makes it, loses nothing.
        guard source.length > 0, (try? isKind(source)) != true else { return }
        throw ImageError(
            .destinationExists,
            "the file is there and is not \(kind), so \(kind) does not replace it, not even with --overwrite; name another file, "
                + "or remove this one", path: path)
    }

    // MARK: Objects that are files

    /// Notes the file that an object is.
    static func noteRead(_ key: ObjectKey, in bucket: DirectoryBucket) {
        guard let path = try? bucket.filePath(of: key) else { return }
        inUse.noteRead(path: path, "an object that is read")
    }

    /// Takes the place of an object's file.
    ///
    /// - Throws: as `FilesInUse.claim`.
    static func claim(_ key: ObjectKey, in bucket: DirectoryBucket, _ role: String) throws(ImageError) {
        guard let path = try? bucket.filePath(of: key) else { return }
        try inUse.claim(path, role)
    }
}
