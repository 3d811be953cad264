internal import CImageKernels
internal import Glibc
internal import ImageModel

/// What of others at work with a file its reader puts up with.
public enum FileSharing: Hashable, Sendable {
    /// Others may read it: who has it locked for writing is an error, and so is a change while it is read.
    case readers
    /// Others may do what they like, as the user said (`--force-share`): no lock is asked for, and no time of change.
    case anybody
}

/// The locks on single bytes by which QEMU keeps programs from reading an image that another one writes.
///
/// From QEMU's block/file-posix.c: a program holds the byte 100 + n for each permission n that it uses, and 200 + n for each that it
/// lets nobody else have, all of them as shared locks of the open file; then it asks whether others hold what contradicts it. Here as
/// there, who reads an image lets nobody write to it or change its length.
enum ReaderLock {
    case none
    /// Only asked, for a file that somebody else has opened for us: a lock would stay with them.
    case asked
    case taken

    private static let used: Int64 = 100
    private static let kept: Int64 = 200
    private static let reading: Int64 = 0
    private static let writing: Int64 = 1
    private static let resizing: Int64 = 3

    /// - Throws: `input-output` where somebody writes to the file.
    func apply(to descriptor: borrowing FileDescriptor, path: String) throws(ImageError) {
        let number = descriptor.number
        if self == .none { return }
        if self == .taken {
            for byte in [Self.used + Self.reading, Self.kept + Self.writing, Self.kept + Self.resizing]
            where lathe_share_range(number, byte, 1) != 0 && [EAGAIN, EACCES].contains(errno) {
                throw Self.inUse(errno, path)
            }
        }
        // Where there are no locks (some network file systems), nobody could have told us.
        for byte in [Self.used + Self.writing, Self.used + Self.resizing, Self.kept + Self.reading]
        where lathe_is_range_locked(number, byte, 1) == 1 {
            throw Self.inUse(EAGAIN, path)
        }
    }

    private static func inUse(_ number: Int32, _ path: String) -> ImageError {
        ImageError(
            .inputOutput,
            "another program has locked the file for writing, a running machine for one, so what is read of it may not belong "
                + "together. Is another process using the image? Stop it, or pass --force-share (-U) to read it all the same",
            path: path, operation: "fcntl F_OFD_SETLK", systemError: number)
    }
}
