internal import Glibc
public import ImageModel
internal import Synchronization

/// What a command reads and what it writes, so that nothing that it writes takes the place of anything else of that.
///
/// Files are told apart by device and inode, however they are reached: by another path, a link, or a descriptor. A block device
/// counts as itself, and a loop device as the file behind it, too. An entry stays until the command ends, since a manifest or a key is
/// closed long before the result has its name.
public final class FilesInUse: Sendable {
    private struct File: Hashable {
        var device: UInt64
        var inode: UInt64
        /// Then `inode` is the device's own number.
        var isBlockDevice: Bool

        init(_ status: stat) {
            isBlockDevice = status.isBlockDevice
            device = isBlockDevice ? 0 : UInt64(status.st_dev)
            inode = isBlockDevice ? UInt64(status.st_rdev) : UInt64(status.st_ino)
        }
    }

    /// Where a file is to appear: its name, and the directory that this is in.
    private struct Place: Hashable {
        var directory: File
        var name: [UInt8]
    }

    private struct State {
        /// What each is, in words that follow "is".
        var files: [File: String] = [:]
        var places: [Place: String] = [:]
    }

    private let state = Mutex(State())

    public init() {}

    // MARK: What is read

    /// Notes all files of a source; what is no file of this machine is none.
    ///
    /// - Parameter role: what it is, in words that follow "is".
    public func noteRead(_ source: any ImageSource, _ role: String) {
        for case let file as FileSource in source.files {
            guard let status = try? file.descriptor.status(path: file.name) else { continue }
            note(status, role)
        }
    }

    /// The same by a path, for what is read elsewhere; that there is no file is no error.
    public func noteRead(path: String, _ role: String) {
        guard let status = Self.status(path) else { return }
        note(status, role)
    }

    private func note(_ status: stat, _ role: String) {
        guard status.isRegularFile || status.isBlockDevice else { return }
        state.withLock { state in
            // What it was first is what it is named for.
            if state.files[File(status)] == nil { state.files[File(status)] = role }
        }
        if status.isBlockDevice, let path = Self.backingFile(of: status.st_rdev), let behind = Self.status(path),
            behind.isRegularFile
        {
            note(behind, "\(role), which a loop device shows")
        }
    }

    /// The file behind a loop device, by sysfs; nil for any other device.
    private static func backingFile(of device: dev_t) -> String? {
        // gnu_dev_major and gnu_dev_minor of the C library, which are macros.
        let number = UInt64(device)
        let major = number >> 8 & 0xFFF | number >> 32 & 0xFFFF_F000
        let minor = number & 0xFF | number >> 12 & 0xFFFF_FF00
        let path = "/sys/dev/block/\(major):\(minor)/loop/backing_file"
        guard let descriptor = try? FileDescriptor(path: path, flags: O_RDONLY) else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(descriptor.number, $0.baseAddress, $0.count) }
        guard count > 0 else { return nil }
        return PathText.text(of: bytes[..<count].prefix { $0 != UInt8(ascii: "\n") })
    }

    // MARK: What is written

    /// Takes a place for a file that is to be written; asked before anything is made there.
    ///
    /// - Parameter role: what it is, in words that follow "is".
    /// - Throws: `destination-exists` where a file stands there that is read; `invalid-option` where another one is to appear there.
    public func claim(_ path: String, _ role: String) throws(ImageError) {
        try requireOther(at: path)
        guard let folder = Self.status(PathText.directory(of: path)) else { return }
        let place = Place(directory: File(folder), name: PathText.bytes(of: PathText.lastComponent(path)))
        let other = state.withLock { state in
            defer { state.places[place] = state.places[place] ?? role }
            return state.places[place]
        }
        guard let other else { return }
        throw ImageError(
            .invalidOption, "\(role) can't go where \(other) goes; name a file of its own", path: path)
    }

    /// Refuses a path at which there is a file that is read, or that was written just now; asked again right before a file appears.
    ///
    /// - Parameter allowed: the role that a file there may have: an image that is repaired where it is was read before.
    /// - Throws: `destination-exists`.
    public func requireOther(at path: String, than allowed: String? = nil) throws(ImageError) {
        guard let status = Self.status(path), let role = role(of: status), role != allowed else { return }
        throw ImageError(.destinationExists, "this is \(role), which would be lost; name another file", path: path)
    }

    /// The same for an open descriptor that is written to, as standard output is.
    ///
    /// - Parameter name: what it is called.
    /// - Throws: `destination-exists`.
    public func requireOther(behind descriptor: Int32, name: String) throws(ImageError) {
        var status = stat()
        // What can't be written to does no harm.
        guard fcntl(descriptor, F_GETFL) & O_ACCMODE != O_RDONLY, unsafe fstat(descriptor, &status) == 0,
            let role = role(of: status)
        else { return }
        throw ImageError(
            .destinationExists, "it leads to \(role), which would be lost; redirect it elsewhere", path: name)
    }

    /// Lets files appear, as `FileSink.commit(_:)` does, if nothing that is read stands there by now.
    ///
    /// - Throws: `destination-exists`; what that throws.
    public func commit(_ sinks: [FileSink]) throws(ImageError) {
        for sink in sinks { try requireOther(at: sink.path) }
        try FileSink.commit(sinks)
    }

    private func role(of status: stat) -> String? { state.withLock { $0.files[File(status)] } }

    /// Of what a path leads to, over links.
    private static func status(_ path: String) -> stat? {
        var status = stat()
        return unsafe stat(PathText.terminated(path), &status) == 0 ? status : nil
    }
}
