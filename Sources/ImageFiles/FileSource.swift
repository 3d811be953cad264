internal import CImageKernels
internal import Glibc
public import ImageModel

/// The bytes of a file or block device: lent from a mapping (compressed units are inflated in place), or copied (tables
/// and content).
///
/// Where the file can't be mapped, what is lent is copied too.
public final class FileSource: ImageSource {
    /// What a source is called that is no file of a name.
    public static let standardInputName = "standard input"

    public let name: String
    public let length: UInt64
    /// What the file takes of its disk, in bytes.
    public let allocatedLength: UInt64

    let descriptor: FileDescriptor
    private let mapping: GuardedMapping?
    private let modification: (seconds: Int, nanoseconds: Int)
    private let opened: stat
    /// Where in the file the source begins: more than 0 only where a descriptor was handed over that stood further on.
    let start: UInt64
    let isRegularFile: Bool
    private let runs: DataRuns
    private let sharing: FileSharing
    /// nil for a file.
    private let device: BlockDevice?
    /// How much had been written to the device; nil where that is not told, or does not matter.
    private let sectorsWritten: UInt64?

    /// Opens a path for reading.
    ///
    /// - Parameters:
    ///   - mapped: false reads into buffers even where mapping is possible.
    ///   - sharing: what others may do with it meanwhile.
    /// - Throws: `input-output` where it can't be opened, or is locked by somebody who writes to it; `unsupported` for a directory, a
    ///   pipe or a socket.
    public convenience init(path: String, mapped: Bool = true, sharing: FileSharing = .readers) throws(ImageError) {
        // Without O_NONBLOCK a named pipe would wait here for its writer.
        try self.init(
            FileDescriptor(path: path, flags: O_RDONLY | O_NONBLOCK), name: path, mapped: mapped, sharing: sharing,
            lock: .taken)
    }

    /// Reads from a descriptor that stays open elsewhere.
    public convenience init(duplicating number: Int32, name: String) throws(ImageError) {
        let copy = fcntl(number, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw systemError("dup", errno, path: name) }
        try self.init(FileDescriptor(owning: copy), name: name, mapped: true)
    }

    /// Reads from where a descriptor stands to the end, as a program reads its standard input; it stays open elsewhere, and stands
    /// there still.
    ///
    /// - Throws: as `init(path:mapped:)`.
    public convenience init(restOf number: Int32, name: String, sharing: FileSharing = .readers) throws(ImageError) {
        let copy = fcntl(number, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw systemError("dup", errno, path: name) }
        let position = lseek(copy, 0, SEEK_CUR)
        try self.init(
            FileDescriptor(owning: copy), name: name, mapped: true, from: UInt64(max(0, position)), sharing: sharing,
            lock: .asked)
    }

    /// - Parameters:
    ///   - start: where in the file the source begins.
    ///   - runs: stands for the file system's word about holes in tests.
    init(
        _ descriptor: consuming FileDescriptor, name: String, mapped: Bool, from start: UInt64 = 0,
        runs: DataRuns = .live, sharing: FileSharing = .readers, lock: ReaderLock = .none
    ) throws(ImageError) {
        self.runs = runs
        self.sharing = sharing
        let status = try descriptor.status(path: name)
        guard status.isRegularFile || status.isBlockDevice else {
            let what = status.isDirectory ? "a directory" : "neither a file nor a block device"
            throw ImageError(
                .unsupported, "this is \(what); name an image file, a block device, or '-' for standard input",
                path: name)
        }
        if sharing == .readers { try lock.apply(to: descriptor, path: name) }
        device = status.isBlockDevice ? BlockDevice(number: status.st_rdev) : nil
        // What was written before and is still on its way shall not count as written while it is read.
        if status.isBlockDevice, sharing == .readers { _ = fdatasync(descriptor.number) }
        sectorsWritten = sharing == .readers ? device?.sectorsWritten : nil
        let end = try descriptor.end(status, path: name)
        self.name = name
        self.start = min(start, end)
        length = end - self.start
        allocatedLength = UInt64(max(0, status.st_blocks)) * 512
        modification = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
        opened = status
        isRegularFile = status.isRegularFile
        mapping = mapped ? GuardedMapping(descriptor: descriptor, length: end) : nil
        self.descriptor = descriptor
    }

    /// A path by which other programs of the same user reach this file while it is open here, even one without a name.
    public var processPath: String { "/proc/\(getpid())/fd/\(descriptor.number)" }

    /// Waits until all that was written to the file is on its disk, so that what is measured next does not pay for it.
    public func flush() throws(ImageError) {
        guard fdatasync(descriptor.number) == 0 else { throw systemError("fdatasync", errno, path: name) }
    }

    /// Whether a path leads to this very file, by this name or another.
    public func isFile(at path: String) -> Bool {
        var there = stat()
        guard unsafe stat(PathText.terminated(path), &there) == 0, let here = try? descriptor.status(path: name) else {
            return false
        }
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
    }

    public func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result)
        throws(ImageError) -> Result
    {
        try requireHeld(range)
        guard let mapping else {
            let buffer = try readIntoBuffer(range)
            return try body(buffer.span)
        }
        let result: Result
        do throws(ImageError) {
            result = try mapping.withBytes(
                Int(start + range.start.bytes)..<Int(start + range.end.bytes), body)
        } catch {
            // What `body` says of zeros that stand for lost bytes is not what went wrong.
            throw faultOffset.map { unreadable(at: $0) } ?? error
        }
        if let fault = faultOffset { throw unreadable(at: fault) }
        return result
    }

    public func nextData(from place: FileOffset, limit: FileOffset) throws(ImageError) -> FileRange? {
        guard place < limit else { return nil }
        let run = runs.next(descriptor.number, from: start + place.bytes, limit: start + limit.bytes)
        guard let run else {
            // No data up to the end; but a file that became shorter answers the same.
            try requireUnchanged()
            return nil
        }
        return FileRange(run.lowerBound - start, length: run.upperBound - run.lowerBound)
    }

    /// Copied by `pread`, mapped or not: for large runs it takes less time than mapping them in and out again, and a
    /// file that is cut short meanwhile is a short count and no fault.
    ///
    /// `benchmarks/README.md` has the figures.
    public func read(_ range: FileRange, into buffer: inout [UInt8], at index: Int) throws(ImageError) {
        try requireHeld(range)
        var done = 0
        while done < Int(range.length) {
            let place = start + range.start.bytes + UInt64(done)
            let count = unsafe buffer.withUnsafeMutableBytes { bytes in
                let room = unsafe UnsafeMutableRawBufferPointer(
                    rebasing: bytes[index + done..<index + Int(range.length)])
                return unsafe pread(descriptor.number, room.baseAddress, room.count, off_t(place))
            }
            if count > 0 {
                done += count
            } else if count == 0 {
                throw ImageError(
                    .sourceChanged, "the file had \(start + length) bytes when it was opened and now ends sooner",
                    path: name,
                    offset: FileOffset(place), operation: "pread")
            } else if errno != EINTR {
                throw systemError("pread", errno, path: name, offset: place)
            }
        }
    }

    /// The time of the last change, in seconds and nanoseconds since 1970; nil for a device.
    public var revision: String? {
        isRegularFile ? "\(modification.seconds).\(modification.nanoseconds)" : nil
    }

    public var identity: FileIdentity? {
        guard isRegularFile, let status = try? descriptor.status(path: name) else { return nil }
        return FileIdentity(
            device: UInt64(status.st_dev), inode: UInt64(status.st_ino), modificationTime: Int64(modification.seconds))
    }

    public func requireUnchanged() throws(ImageError) {
        if let fault = faultOffset { throw unreadable(at: fault) }
        guard isRegularFile else { return try requireSameDevice() }
        let status = try descriptor.status(path: name)
        guard UInt64(max(0, status.st_size)) == start + length else {
            throw ImageError(
                .sourceChanged,
                "the file had \(start + length) bytes when it was opened and now has \(status.st_size); stop whatever writes to it "
                    + "and start again", path: name)
        }
        // Some file systems of programs have it move by reading alone.
        guard sharing == .readers else { return }
        guard (status.st_mtim.tv_sec, status.st_mtim.tv_nsec) == modification, !isTimePutBack(status) else {
            throw ImageError(
                .sourceChanged,
                "the file was written to while it was read; stop whatever writes to it and start again; where "
                    + "nobody does, and the file system moves the time by itself, pass --force-share (-U)", path: name)
        }
    }

    /// Who else has the block device for himself and may write to it, a mounted file system for one, in words; nil where nobody has,
    /// and for a file.
    public var deviceUser: String? { device.flatMap { $0.user(path: name) } }

    /// - Throws: `source-changed` where the device was written to, as far as the kernel counts.
    private func requireSameDevice() throws(ImageError) {
        guard let sectorsWritten, let now = device?.sectorsWritten, now != sectorsWritten else { return }
        throw ImageError(
            .sourceChanged,
            "\(now &- sectorsWritten) sectors of the device were written while it was read; stop whatever writes to it (a mounted "
                + "file system for one) and start again, or pass --force-share (-U)", path: name)
    }

    /// Where in the source the first page fault happened that could not be served.
    private var faultOffset: UInt64? { mapping?.faultOffset.map { $0 - min($0, start) } }

    /// Whether the file was changed otherwise than its time of modification says, which anybody who may write to it can set.
    ///
    /// The kernel's own time of change (`ctime`) moves with every write, and nobody sets it. It moves with another mode, owner
    /// or number of names too, and then says nothing.
    private func isTimePutBack(_ status: stat) -> Bool {
        (status.st_ctim.tv_sec, status.st_ctim.tv_nsec) != (opened.st_ctim.tv_sec, opened.st_ctim.tv_nsec)
            && (status.st_mode, status.st_uid, status.st_gid, status.st_nlink)
                == (opened.st_mode, opened.st_uid, opened.st_gid, opened.st_nlink)
    }

    /// The error of a page that could not be had: why, as far as the file still tells.
    private func unreadable(at offset: UInt64) -> ImageError {
        do throws(ImageError) {
            try requireSameLength()
            _ = try readIntoBuffer(FileRange(offset, length: min(length - offset, UInt64(GuardedMapping.pageSize))))
        } catch {
            return error
        }
        return ImageError(
            .inputOutput, "a part of the file could not be read", path: name, offset: FileOffset(offset),
            operation: "mmap")
    }

    private func requireSameLength() throws(ImageError) {
        guard isRegularFile else { return }
        let now = UInt64(max(0, try descriptor.status(path: name).st_size))
        guard now >= start + length else {
            throw ImageError(
                .sourceChanged,
                "the file had \(start + length) bytes when it was opened and was cut to \(now) while it was read",
                path: name, offset: FileOffset(now))
        }
    }

    private func readIntoBuffer(_ range: FileRange) throws(ImageError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(range.length))
        try read(range, into: &bytes, at: 0)
        return bytes
    }
}
