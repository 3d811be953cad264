internal import CImageKernels
internal import Glibc
internal import ImageModel

/// The calls that change a file, as values, so that a test can make any of them fail, fall short or be interrupted.
@safe package struct SystemCalls: Sendable {
    /// `pwrite(2)`: descriptor, bytes, count, offset; the count written, or -1 with `errno`.
    package var pwrite: @Sendable (Int32, UnsafeRawPointer, Int, Int) -> Int
    /// `write(2)`.
    package var write: @Sendable (Int32, UnsafeRawPointer, Int) -> Int
    /// `ftruncate(2)`.
    package var ftruncate: @Sendable (Int32, Int) -> Int32
    /// `rename(2)`, or one that refuses an existing target (`FileCalls.renameWithoutReplacing`).
    package var rename: @Sendable (_ from: String, _ to: String, _ replacing: Bool) -> Int32
    /// `fsync(2)`.
    package var fsync: @Sendable (Int32) -> Int32
    /// `close(2)`.
    package var close: @Sendable (Int32) -> Int32
    /// `ioctl(2)` with `FICLONERANGE`: descriptor, offset and length of the source, descriptor and offset of the copy.
    package var clone: @Sendable (_ from: Int32, Int, _ length: Int, _ to: Int32, Int) -> Int32

    package init(
        pwrite: @escaping @Sendable (Int32, UnsafeRawPointer, Int, Int) -> Int,
        write: @escaping @Sendable (Int32, UnsafeRawPointer, Int) -> Int,
        ftruncate: @escaping @Sendable (Int32, Int) -> Int32,
        rename: @escaping @Sendable (String, String, Bool) -> Int32,
        fsync: @escaping @Sendable (Int32) -> Int32 = { Glibc.fsync($0) },
        close: @escaping @Sendable (Int32) -> Int32 = { Glibc.close($0) },
        clone: @escaping @Sendable (Int32, Int, Int, Int32, Int) -> Int32 = liveClone
    ) {
        unsafe self.pwrite = pwrite
        unsafe self.write = write
        self.ftruncate = ftruncate
        self.rename = rename
        self.fsync = fsync
        self.close = close
        self.clone = clone
    }

    package static let liveClone: @Sendable (Int32, Int, Int, Int32, Int) -> Int32 = {
        lathe_clone_range($0, Int64($1), Int64($2), $3, Int64($4))
    }

    /// The kernel's own.
    package static let live = unsafe SystemCalls(
        pwrite: { descriptor, bytes, count, offset in unsafe Glibc.pwrite(descriptor, bytes, count, off_t(offset)) },
        write: { descriptor, bytes, count in unsafe Glibc.write(descriptor, bytes, count) },
        ftruncate: { descriptor, length in Glibc.ftruncate(descriptor, off_t(length)) },
        rename: { from, to, replacing in
            replacing
                ? unsafe Glibc.rename(PathText.terminated(from), PathText.terminated(to))
                : FileCalls.renameWithoutReplacing(
                    PathText.terminated(from), in: AT_FDCWD, to: PathText.terminated(to), in: AT_FDCWD)
        })
}

/// The kernel's sentence for an error number.
func errorText(_ number: Int32) -> String { unsafe String(cString: strerror(number)) }

/// What a failed call on `path` becomes.
func systemError(
    _ operation: String, _ number: Int32, path: String, offset: UInt64? = nil, _ advice: String = ""
) -> ImageError {
    ImageError(
        .inputOutput, errorText(number) + (advice.isEmpty ? "" : "; " + advice), path: path,
        offset: offset.map { FileOffset($0) }, operation: operation, systemError: number)
}

/// What a failed write becomes: the common causes with what to do about them.
///
/// - Parameter offset: of the file; nil for what failed for all of it.
func writeError(_ operation: String, _ number: Int32, path: String, offset: UInt64?) -> ImageError {
    switch number {
    case ENOSPC, EDQUOT:
        systemError(operation, number, path: path, offset: offset, "free some space or choose another destination")
    case EFBIG:
        systemError(
            operation, number, path: path, offset: offset,
            "the file system or a limit of this process does not allow a file this long")
    case EFAULT:
        // The kernel met the fault while it read the mapped source on our behalf.
        ImageError(
            .sourceChanged, "the source can't be read any more: it was cut short or its disk failed", path: path,
            offset: offset.map { FileOffset($0) }, operation: operation, systemError: number)
    case EIO:
        systemError(
            operation, number, path: path, offset: offset,
            "the disk, or what stands for one, did not take what was written; nothing was put in its place")
    default: systemError(operation, number, path: path, offset: offset)
    }
}
