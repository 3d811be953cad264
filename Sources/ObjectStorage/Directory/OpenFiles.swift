internal import Glibc
internal import ImageFiles
internal import Synchronization

func fileStatus(_ descriptor: Int32, path: String) throws(StoreError) -> stat {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw storeError("fstat", errno, path: path) }
    return status
}

func setLength(_ descriptor: Int32, _ length: UInt64, path: String) throws(StoreError) {
    guard uninterrupted({ ftruncate(descriptor, off_t(clamping: length)) }) == 0 else {
        throw storeError("ftruncate", errno, path: path)
    }
}

/// Has what was written to a file reach the disk, where that is wanted, and asks what became of it.
func settle(_ descriptor: Int32, flushing: Bool, path: String) throws(StoreError) {
    let number = flushing ? FileCalls.flush(descriptor) : 0
    guard number == 0 else { throw storeError("fsync", number, path: path) }
    let closing = FileCalls.closeACopy(of: descriptor)
    guard closing == 0 else { throw storeError("close", closing, path: path) }
}

/// Writes all of the bytes; what falls short goes on.
func writeAll(_ bytes: Span<UInt8>, to descriptor: Int32, at offset: UInt64, path: String) throws(StoreError) {
    var failure: StoreError?
    unsafe bytes.withUnsafeBytes { buffer in
        var done = 0
        while done < buffer.count {
            guard let base = buffer.baseAddress else { return }
            // The kernel takes long writes no faster, and makes larger pages for them (see `FileSink`).
            let step = min(buffer.count - done, 128 << 10)
            let count = uninterrupted {
                unsafe pwrite(descriptor, base + done, step, off_t(clamping: offset + UInt64(done)))
            }
            guard count > 0 else {
                failure = storeError("write", count == 0 ? EIO : errno, path: path)
                return
            }
            done += count
        }
    }
    if let failure { throw failure }
}

/// The bytes of a range of an open file.
///
/// - Parameter short: whether a file that ends sooner is no error.
func readBytes(_ descriptor: Int32, _ range: Range<UInt64>, path: String, short: Bool = false) throws(StoreError)
    -> [UInt8]
{
    guard let length = Int(exactly: range.upperBound - range.lowerBound) else {
        throw StoreError(.invalidRange, "\(range) is more than stands in memory", operation: "read \(path)")
    }
    var done = 0
    var failure: Int32 = 0
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
        while done < length {
            guard let base = buffer.baseAddress else { break }
            let got = uninterrupted {
                unsafe pread(descriptor, base + done, length - done, off_t(clamping: range.lowerBound + UInt64(done)))
            }
            if got < 0 { failure = errno }
            if got <= 0 { break }
            done += got
        }
        count = done
    }
    guard failure == 0 else { throw storeError("read", failure, path: path) }
    guard short || done == length else {
        throw StoreError(
            .inputOutput,
            "the file ends at byte \(range.lowerBound + UInt64(done)), but \(range) was asked for; it was cut short meanwhile",
            operation: "read \(path)")
    }
    return bytes
}

/// Calls `body` for each run within a range that may hold something other than zeros.
func forEachData(
    _ descriptor: Int32, _ range: Range<UInt64>, _ runs: DataRuns = .live,
    _ body: (Range<UInt64>) throws(StoreError) -> Void
) throws(StoreError) {
    var start = range.lowerBound
    while start < range.upperBound {
        guard let run = runs.next(descriptor, from: start, limit: range.upperBound) else { return }
        try body(run)
        start = run.upperBound
    }
}

/// Makes a range read as zeros, whatever was there.
func clear(_ descriptor: Int32, _ range: Range<UInt64>, path: String) throws(StoreError) {
    try forEachData(descriptor, range) { (run) throws(StoreError) in
        let length = run.upperBound - run.lowerBound
        if FileCalls.punchHole(descriptor, at: run.lowerBound, length: length) == 0 { return }
        let zeros = [UInt8](repeating: 0, count: 128 << 10)
        var start = run.lowerBound
        while start < run.upperBound {
            let step = min(run.upperBound - start, UInt64(zeros.count))
            try writeAll(zeros.span.extracting(0..<Int(step)), to: descriptor, at: start, path: path)
            start += step
        }
    }
}

/// Copies bytes from file to file, where the kernel can without touching them; holes stay holes if the target's range is one.
///
/// What the source does not have, because it ends sooner, is not written.
func copyBytes(
    from source: Int32, _ range: Range<UInt64>, to target: Int32, at place: UInt64, path: String
) throws(StoreError) {
    try forEachData(source, range) { (run) throws(StoreError) in
        var start = run.lowerBound
        while start < run.upperBound {
            let offset = place + (start - range.lowerBound)
            let step = min(run.upperBound - start, 64 << 20)
            let copied = uninterrupted {
                FileCalls.copy(from: source, at: start, to: target, at: offset, length: step)
            }
            if copied > 0 {
                start += UInt64(copied)
                continue
            }
            if copied < 0, errno == ENOSPC || errno == EDQUOT || errno == EIO {
                throw storeError("copy_file_range", errno, path: path)
            }
            let bytes = try readBytes(source, start..<start + min(step, 1 << 20), path: path, short: true)
            if bytes.isEmpty { return }
            try writeAll(bytes.span, to: target, at: offset, path: path)
            start += UInt64(bytes.count)
        }
    }
}

/// A file that is being made, and vanishes with its owner unless it is moved to where it shall be.
///
/// It has no name where the file system has such files, so that a killed process leaves nothing; else, and once it is about to
/// move, a name in `folder`, and a lock that tells `sweep` that somebody is at it.
final class StagedFile: Sendable {
    private let descriptor: FileDescriptor
    private let folder: Folder
    private let given: String
    private let hasName: Bool
    private let isKept = Mutex(false)

    var number: Int32 { descriptor.number }
    var path: String { folder.path(of: given) }

    /// - Parameter named: whether it has a name from the start.
    init(in folder: Folder, named: Bool = false, as name: String? = nil) throws(StoreError) {
        self.folder = folder
        let given = name ?? randomName()
        self.given = given
        if !named, unsafe access("/proc/self/fd", X_OK) == 0 {
            let number = uninterrupted {
                unsafe openat(folder.descriptor.number, ".", FileCalls.namelessFile, mode_t(0o666))
            }
            if number >= 0 {
                descriptor = FileDescriptor(owning: number)
                hasName = false
                _ = flock(number, LOCK_EX | LOCK_NB)
                return
            }
        }
        let number = uninterrupted {
            unsafe openat(
                folder.descriptor.number, given, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode_t(0o666))
        }
        guard number >= 0 else { throw storeError("create", errno, path: folder.path(of: given)) }
        descriptor = FileDescriptor(owning: number)
        hasName = true
        _ = flock(number, LOCK_EX | LOCK_NB)
    }

    deinit {
        // After a move the name is free, and nobody else has it.
        if hasName, !isKept.withLock({ $0 }) { unsafe unlinkat(folder.descriptor.number, given, 0) }
    }

    /// Lets the file stay where it is, under the name that it has from the start.
    func keep() { isKept.withLock { $0 = true } }

    /// Lets the file appear under a name; the caller looks at what went wrong.
    ///
    /// - Returns: 0, or the error number: `EEXIST` where the name is taken and may not be replaced, `ENOENT` where the target
    ///   directory is gone.
    func move(to target: Folder, as name: String, replacing: Bool) throws(StoreError) -> Int32 {
        if !hasName {
            let link = "/proc/self/fd/\(number)"
            let answer = unsafe linkat(AT_FDCWD, link, folder.descriptor.number, given, AT_SYMLINK_FOLLOW)
            guard answer == 0 else { throw storeError("link", errno, path: path) }
        }
        let answer = moveFile(given, in: folder, to: name, in: target, replacing: replacing)
        if !hasName, answer != 0 { unsafe unlinkat(folder.descriptor.number, given, 0) }
        return answer
    }
}

/// Gives a file another name; atomically, also where what is there may not be replaced.
///
/// - Returns: 0, or the error number.
func moveFile(_ name: String, in folder: Folder, to target: String, in targetFolder: Folder, replacing: Bool) -> Int32 {
    let (from, to) = (folder.descriptor.number, targetFolder.descriptor.number)
    if replacing { return unsafe renameat(from, name, to, target) == 0 ? 0 : errno }
    let status = FileCalls.renameWithoutReplacing(
        Array(name.utf8CString), in: from, to: Array(target.utf8CString), in: to)
    return status == 0 ? 0 : errno
}
