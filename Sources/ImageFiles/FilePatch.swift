internal import Glibc
public import ImageModel

/// A file that is there already, and of which ranges are rewritten in place.
///
/// While it is open here, no other program that locks its files, as QEMU does, has it.
public final class FilePatch: PatchSink {
    public let isSequential = false
    private let path: String
    private let descriptor: FileDescriptor
    private let turn = SleepingLock()

    /// - Throws: `input-output` where the file is not there, may not be written, or is in use; `unsupported` for what is no
    ///   regular file.
    public convenience init(path: String) throws(ImageError) { try self.init(path, flags: 0) }

    /// A file that is made where it is missing, and that is not reached over a symbolic link.
    ///
    /// - Throws: as for one that is there.
    public convenience init(creating path: String) throws(ImageError) {
        try self.init(path, flags: O_CREAT | O_NOFOLLOW)
    }

    private init(_ path: String, flags: Int32) throws(ImageError) {
        self.path = path
        do throws(ImageError) {
            descriptor = try FileDescriptor(path: path, flags: O_RDWR | O_NONBLOCK | flags)
        } catch {
            if error.systemError == ELOOP {
                throw systemError("open", ELOOP, path: path, "it is a symbolic link; put the file itself there")
            }
            guard let number = error.systemError, [EACCES, EPERM, EROFS, ETXTBSY].contains(number) else { throw error }
            throw systemError("open", number, path: path, "it can't be repaired in place: repair onto a copy")
        }
        let status = try descriptor.status(path: path)
        guard status.isRegularFile else {
            let what =
                status.isBlockDevice ? "a block device" : status.isDirectory ? "a directory" : "neither file nor device"
            throw ImageError(
                .unsupported,
                "only a regular file can be repaired in place, and this is \(what); copy it to a file first",
                path: path)
        }
        // QEMU locks single bytes of its images (OFD locks), others the file as a whole (flock).
        guard FileCalls.lockRange(descriptor.number, at: 0, length: 0, locked: true) == 0 else {
            throw Self.inUse(errno, "fcntl F_OFD_SETLK", path)
        }
        guard flock(descriptor.number, LOCK_EX | LOCK_NB) == 0 else { throw Self.inUse(errno, "flock", path) }
    }

    private static func inUse(_ number: Int32, _ operation: String, _ path: String) -> ImageError {
        guard [EAGAIN, EACCES].contains(number) else { return systemError(operation, number, path: path) }
        return ImageError(
            .inputOutput,
            "another program has locked the file, a running machine for one; stop it, or repair onto a copy",
            path: path,
            operation: operation, systemError: number)
    }

    public func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try turn.withLock { () throws(ImageError) in
            try descriptor.writeAll(data, at: offset.bytes, path: path)
        }
    }

    public func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try write(data: metadata, at: offset)
    }

    public func extend(to length: UInt64) throws(ImageError) {
        let status = try descriptor.status(path: path)
        if UInt64(max(0, status.st_size)) < length { try finish(length: length) }
    }

    public func barrier() throws(ImageError) {
        guard fsync(descriptor.number) == 0 else { throw systemError("fsync", errno, path: path) }
    }

    /// What is in the file now, for reading it back.
    public func writtenSource() throws(ImageError) -> FileSource {
        try FileSource(duplicating: descriptor.number, name: path)
    }

    /// Settles the length, and waits until all is on the disk.
    public func finish(length: UInt64) throws(ImageError) {
        guard let size = off_t(exactly: length), ftruncate(descriptor.number, size) == 0 else {
            throw writeError("ftruncate", errno, path: path, offset: length)
        }
        try barrier()
    }
}
