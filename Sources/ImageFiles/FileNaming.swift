internal import CImageKernels
internal import Glibc
internal import ImageModel

extension FileCalls {
    /// Gives a file another name, and leaves what has that name already.
    ///
    /// The kernel's own call for it (`renameat2(2)`, `RENAME_NOREPLACE`) is refused by bindfs, sshfs, ntfs-3g, NFS, 9p and others.
    /// Then a second name is made (`link(2)` never replaces) and the first goes; and where there are no links either, the name is
    /// taken by an empty file, which the rename then replaces.
    ///
    /// - Parameters:
    ///   - from: with a NUL behind it, as `to`.
    ///   - rename: stands for the kernel's call in tests.
    ///   - link: likewise.
    /// - Returns: 0, or -1 with `errno`: `EEXIST` where the new name is taken.
    package static func renameWithoutReplacing(
        _ from: [CChar], in fromDirectory: Int32, to: [CChar], in toDirectory: Int32,
        rename: (Int32, [CChar], Int32, [CChar]) -> Int32 = { unsafe lathe_rename_noreplace_at($0, $1, $2, $3) },
        link: (Int32, [CChar], Int32, [CChar]) -> Int32 = { unsafe linkat($0, $1, $2, $3, 0) }
    ) -> Int32 {
        if rename(fromDirectory, from, toDirectory, to) == 0 { return 0 }
        guard [EINVAL, ENOSYS, EOPNOTSUPP].contains(errno) else { return -1 }
        if link(fromDirectory, from, toDirectory, to) == 0 {
            guard unsafe unlinkat(fromDirectory, from, 0) != 0, errno != ENOENT else { return 0 }
            // One name too many: the new one goes, so that what failed has changed nothing.
            let number = errno
            _ = unsafe unlinkat(toDirectory, to, 0)
            errno = number
            return -1
        }
        if errno == EEXIST { return -1 }
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW
        let place = unsafe openat(toDirectory, to, flags, mode_t(0o600))
        guard place >= 0 else { return -1 }
        Glibc.close(place)
        if unsafe renameat(fromDirectory, from, toDirectory, to) == 0 { return 0 }
        let number = errno
        _ = unsafe unlinkat(toDirectory, to, 0)
        errno = number
        return -1
    }
}

extension FileCalls {
    /// Has all that was written to a file, or the names in a directory, reach the disk.
    ///
    /// The kernel keeps what went wrong with the writing back until it is asked here, or forgets it with the file.
    ///
    /// - Returns: 0, or the error number; a file system that knows no flushing is no error.
    package static func flush(_ descriptor: Int32, _ calls: SystemCalls = .live) -> Int32 {
        var status: Int32
        repeat { status = calls.fsync(descriptor) } while status != 0 && errno == EINTR
        return status == 0 || [EINVAL, ENOSYS, EOPNOTSUPP, EROFS].contains(errno) ? 0 : errno
    }

    /// Has the file system tell what it tells of the last writes when a descriptor is closed, as network file systems and those of
    /// programs do (NFS, FUSE); the descriptor stays open.
    ///
    /// - Returns: 0, or the error number.
    package static func closeACopy(of descriptor: Int32, _ calls: SystemCalls = .live) -> Int32 {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { return errno }
        return calls.close(copy) == 0 || errno == EINTR ? 0 : errno
    }
}
