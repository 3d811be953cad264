internal import Glibc
public import ImageModel

/// A file beside another one, by which a process tells others that it is at work with that one.
///
/// The lock is the kernel's (`flock(2)`): it ends with the process, however that ends. The file goes with its owner; one that a
/// killed process left is taken over.
public struct LockFile: ~Copyable, Sendable {
    private let descriptor: FileDescriptor
    private let path: String

    /// - Returns: nil where another process, or another owner in this one, holds it.
    /// - Throws: `input-output` where the file can't be made.
    public static func take(_ path: String) throws(ImageError) -> LockFile? {
        while true {
            let descriptor = try FileDescriptor(path: path, flags: O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
            guard flock(descriptor.number, LOCK_EX | LOCK_NB) == 0 else {
                if errno == EWOULDBLOCK { return nil }
                throw systemError("flock", errno, path: path)
            }
            // What is not ours would go with the lock.
            guard try descriptor.status(path: path).st_size == 0 else {
                throw ImageError(
                    .inputOutput,
                    "a file is to be made here while the work is on, and another one with something in it is there; move it away, "
                        + "or name another place", path: path)
            }
            // Whoever held it until now took the name away with it; then this is a lock on nothing.
            var named = stat()
            let held = try descriptor.status(path: path)
            guard unsafe lstat(PathText.terminated(path), &named) == 0, named.st_ino == held.st_ino,
                named.st_dev == held.st_dev
            else {
                continue
            }
            return LockFile(descriptor: descriptor, path: path)
        }
    }

    private init(descriptor: consuming FileDescriptor, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    /// Ends it; so does the end of its owner.
    public consuming func release() {}

    deinit {
        // Before the lock ends, so that nobody else's is taken away.
        _ = unsafe unlink(PathText.terminated(path))
    }
}
