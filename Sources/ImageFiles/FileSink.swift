internal import CImageKernels
internal import Glibc
public import ImageModel

/// A destination file that appears under its name whole or not at all.
///
/// It is written without a name (`O_TMPFILE`), so that even a killed process leaves nothing behind; where the file system
/// has no such files, under a hidden name beside the destination that `deinit` removes. `commit` has it written out to the disk,
/// then links and renames it.
public final class FileSink: ImageSink {
    public let isSequential = false
    public let path: String

    let descriptor: FileDescriptor
    let calls: SystemCalls
    let replacing: Bool
    /// Whether bytes and names reach the disk before the sink says that they stand.
    let flushes: Bool
    /// The name under which the unfinished file can be seen; nil for one without a name.
    private let temporaryPath: String?
    /// Whether the file system has blocks to book.
    private let reservesBlocks: Bool

    /// - Parameters:
    ///   - path: where the file shall appear.
    ///   - replacing: whether a file that is there already is replaced; anything but a regular file never is. The new one has its
    ///     mode, owners and access list, as far as this process may give them.
    ///   - flushing: whether the file is on its disk before it appears; false leaves that to the kernel, which can't tell anybody
    ///     any more that it failed.
    /// - Throws: `destination-exists`; `input-output` where the directory can't be written to.
    public convenience init(path: String, replacing: Bool, flushing: Bool = true) throws(ImageError) {
        try self.init(path: path, replacing: replacing, flushing: flushing, calls: .live)
    }

    package init(
        path: String, replacing: Bool, flushing: Bool = true, calls: SystemCalls, unnamed: Bool = true
    ) throws(ImageError) {
        try Self.requireFree(path, replacing: replacing)
        self.path = path
        self.replacing = replacing
        self.calls = calls
        flushes = flushing
        // What replaces a private file is never seen with the rights that a new one has.
        let mode: mode_t = replacing && FileAccess(path: path) != nil ? 0o600 : 0o666
        // A nameless file gets its name by way of /proc; without that the work would fail at its end.
        if unnamed, unsafe access("/proc/self/fd", X_OK) == 0,
            let descriptor = try? FileDescriptor(
                path: PathText.directory(of: path), flags: O_RDWR | lathe_O_TMPFILE, mode: mode)
        {
            self.descriptor = descriptor
            temporaryPath = nil
        } else {
            let temporary = Self.temporaryName(beside: path)
            do throws(ImageError) {
                descriptor = try FileDescriptor(path: temporary, flags: O_RDWR | O_CREAT | O_EXCL, mode: mode)
            } catch {
                throw ImageError(
                    error.code, "\(error.message), so nothing can be written beside the destination", path: path,
                    operation: error.operation, systemError: error.systemError)
            }
            temporaryPath = temporary
        }
        reservesBlocks = !lathe_is_on_tmpfs(descriptor.number)
    }

    deinit {
        if let temporaryPath { try? FileRemoval.remove(temporaryPath) }
    }

    /// The kernel lets one thread at a time write to a file, and makes the others spin; here they sleep, which leaves the
    /// processor to those that read and checksum.
    let turn = SleepingLock()

    public func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try turn.withLock { () throws(ImageError) in
            if reservesBlocks, data.count >= Self.reservedFrom {
                // Only a hint: where it is refused, the write itself says why, if there is a reason.
                _ = lathe_reserve(descriptor.number, Int64(offset.bytes), Int64(data.count))
            }
            try writeAll(data, at: offset)
        }
    }

    /// Writes of so many bytes and more have their blocks reserved in one call before.
    ///
    /// ext4 else books every block by itself as it is written: of a conversion to disk that took a third of the time.
    /// On tmpfs, where nothing is booked, the call makes every page twice over: there it is left out.
    private static let reservedFrom = 256 << 10

    /// No call writes more bytes than this.
    ///
    /// Of a longer one the kernel makes page-cache folios of up to 2 MiB, and those come from memory that a virtual machine may
    /// have handed back to its host: to have it again took ten times as long as the write. Shorter ones gain nothing.
    private static let longestWrite = 128 << 10

    private func writeAll(_ data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        var failure: ImageError?
        unsafe data.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                guard let base = bytes.baseAddress else { return }
                let place = offset.bytes + UInt64(done)
                let step = min(bytes.count - done, Self.longestWrite)
                let count = unsafe calls.pwrite(descriptor.number, base + done, step, Int(place))
                if count > 0 {
                    done += count
                } else if count == 0 {
                    failure = systemError("pwrite", EIO, path: path, offset: place, "no byte was taken")
                    return
                } else if errno != EINTR {
                    failure = writeError("pwrite", errno, path: path, offset: place)
                    return
                }
            }
        }
        if let failure { throw failure }
    }

    public func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try write(data: metadata, at: offset)
    }

    public func finish(length: UInt64) throws(ImageError) {
        guard let size = Int(exactly: length) else {
            throw ImageError(.limitExceeded, "a file of \(length) bytes is more than the system allows", path: path)
        }
        var status: Int32
        repeat { status = calls.ftruncate(descriptor.number, size) } while status != 0 && errno == EINTR
        guard status == 0 else {
            throw writeError("ftruncate", errno, path: path, offset: length)
        }
    }

    /// What has been written so far, for reading it back.
    public func writtenSource() throws(ImageError) -> FileSource { try writtenSource(fromDisk: false) }

    /// The same.
    ///
    /// - Parameter fromDisk: whether it is written out first and read from the disk, and not from memory, where the system can.
    /// - Throws: `input-output`.
    public func writtenSource(fromDisk: Bool) throws(ImageError) -> FileSource {
        if fromDisk {
            try flush()
            // Only a hint, and the only one there is: pages that are mapped or locked somewhere stay.
            _ = posix_fadvise(descriptor.number, 0, 0, POSIX_FADV_DONTNEED)
        }
        return try FileSource(duplicating: descriptor.number, name: path)
    }

    private func flush() throws(ImageError) {
        let number = FileCalls.flush(descriptor.number, calls)
        guard number == 0 else { throw writeError("fsync", number, path: path, offset: nil) }
    }

    /// Everything that can fail before the file has its name: its access, and what is not yet on the disk.
    func settle() throws(ImageError) {
        // First of all: a file system that writes back at any other call would tell of it there.
        if flushes { try flush() }
        if replacing, let access = FileAccess(path: path) {
            try access.give(to: descriptor.number, path: path)
            if flushes { try flush() }
        }
        let number = FileCalls.closeACopy(of: descriptor.number, calls)
        guard number == 0 else { throw writeError("close", number, path: path, offset: nil) }
    }

    /// Has the names in the file's directory reach the disk.
    func settleName() throws(ImageError) {
        guard flushes else { return }
        let directory = PathText.directory(of: path)
        // A directory that may be written to and not read can't be opened; then there is no call for it.
        guard let descriptor = try? FileDescriptor(path: directory, flags: O_RDONLY | O_DIRECTORY) else { return }
        let number = FileCalls.flush(descriptor.number, calls)
        guard number == 0 else {
            throw systemError(
                "fsync", number, path: directory,
                "'\(path)' stands under its name, but may be gone after a loss of power: write it again")
        }
    }

    /// Lets the file appear under its name.
    ///
    /// Without a call the file vanishes with the sink.
    ///
    /// - Throws: `destination-exists` where somebody else was there first; `input-output`.
    public func commit() throws(ImageError) { try Self.commit([self]) }

    /// The hidden name beside the destination that the finished file has before it appears; whoever calls removes it in the end.
    ///
    /// - Throws: `input-output`.
    func staged() throws(ImageError) -> String {
        if let temporaryPath { return temporaryPath }
        let name = Self.temporaryName(beside: path)
        let link = "/proc/self/fd/\(descriptor.number)"
        guard unsafe linkat(AT_FDCWD, link, AT_FDCWD, PathText.terminated(name), AT_SYMLINK_FOLLOW) == 0 else {
            throw systemError("linkat", errno, path: path)
        }
        return name
    }

    /// Gives the file that has a hidden name its own.
    ///
    /// - Throws: `destination-exists` where somebody else was there first; `input-output`.
    func appear(from staged: String, replacing: Bool) throws(ImageError) {
        guard calls.rename(staged, path, replacing) != 0 else { return }
        if errno == EEXIST { throw Self.exists(path) }
        throw systemError("rename", errno, path: path)
    }

    // MARK: Names

    /// Refuses a destination that is there, unless it may be replaced and is a regular file.
    static func requireFree(_ path: String, replacing: Bool) throws(ImageError) {
        guard !path.isEmpty else {
            throw ImageError(.invalidOption, "the destination has no name; name a file to write")
        }
        var status = stat()
        guard unsafe lstat(PathText.terminated(path), &status) == 0 else {
            if errno == ENOENT { return }
            throw systemError("lstat", errno, path: path)
        }
        guard status.isRegularFile else {
            throw ImageError(
                .destinationExists,
                "the destination is there and is not a regular file (a link is not followed); name a file that can be made anew",
                path: path)
        }
        guard replacing else { throw exists(path) }
    }

    private static func exists(_ path: String) -> ImageError {
        ImageError(
            .destinationExists, "the destination exists; remove it, name another, or pass --overwrite", path: path)
    }

    /// A hidden name in the destination's directory that no other run uses.
    static func temporaryName(beside path: String, ending: String = "part") -> String {
        var generator = SystemRandomNumberGenerator()
        let suffix = String(UInt64.random(in: 0...UInt64.max, using: &generator), radix: 36)
        return PathText.directory(of: path) + "/.lathe-\(getpid())-\(suffix).\(ending)"
    }
}
