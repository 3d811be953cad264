internal import Glibc
internal import ImageFiles
internal import ImageModel

/// A directory that is open, by which everything in it is reached: whoever moves it or puts a link in its place changes
/// nothing of where the calls go.
///
/// No call follows a symbolic link, and none takes a name that leads elsewhere.
final class Folder: Sendable {
    let descriptor: FileDescriptor
    /// Where it was opened; for messages only.
    let path: String
    /// Whether what is made in it is on the disk before it counts.
    let flushes: Bool

    private init(_ descriptor: consuming FileDescriptor, path: String, flushes: Bool) {
        self.descriptor = descriptor
        self.path = path
        self.flushes = flushes
    }

    /// Opens a directory by its path, links in which are followed: whoever names it means it.
    static func open(path: String, flushing: Bool) throws(StoreError) -> Folder? {
        let number = uninterrupted { unsafe Glibc.open(PathText.terminated(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        if number < 0, errno == ENOENT { return nil }
        guard number >= 0 else { throw storeError("open", errno, path: path) }
        return Folder(FileDescriptor(owning: number), path: path, flushes: flushing)
    }

    func path(of name: String) -> String { "\(path)/\(name)" }

    // MARK: What is in it

    /// Opens a file or directory; nil where there is none of that name, or one of another kind.
    func open(_ name: String, _ flags: Int32) throws(StoreError) -> FileDescriptor? {
        let number = uninterrupted {
            unsafe openat(descriptor.number, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, mode_t(0o666))
        }
        if number >= 0 { return FileDescriptor(owning: number) }
        switch errno {
        case ENOENT, ENOTDIR, ELOOP, ENXIO: return nil
        default: throw storeError("open", errno, path: path(of: name))
        }
    }

    /// A directory in it; nil where there is none, or something else.
    func folder(_ name: String) throws(StoreError) -> Folder? {
        guard let inner = try open(name, O_RDONLY | O_DIRECTORY) else { return nil }
        return Folder(inner, path: path(of: name), flushes: flushes)
    }

    /// A directory in it, which is made where nothing of that name is there; nil where something else is.
    func madeFolder(_ name: String) throws(StoreError) -> Folder? {
        while true {
            if let inner = try folder(name) { return inner }
            let answer = unsafe mkdirat(descriptor.number, name, mode_t(0o777))
            if answer == 0 {
                try settleNames()
                continue
            }
            guard errno == EEXIST else { throw storeError("mkdir", errno, path: path(of: name)) }
            // Made by somebody else in between, or it is no directory, or it went again.
            if let status = try status(name), !status.isFolder { return nil }
        }
    }

    /// The status of what has a name, be it a link; nil where there is nothing.
    func status(_ name: String) throws(StoreError) -> stat? {
        var status = stat()
        if unsafe fstatat(descriptor.number, name, &status, AT_SYMLINK_NOFOLLOW) == 0 { return status }
        if errno == ENOENT { return nil }
        throw storeError("stat", errno, path: path(of: name))
    }

    /// Hands out the names of all that is in it, in no order; names that are not UTF-8 are left out.
    func forEachName(_ body: (_ name: String, _ type: UInt8) throws(StoreError) -> Void) throws(StoreError) {
        guard let copy = try open(".", O_RDONLY | O_DIRECTORY) else { return }
        // The stream owns the descriptor that it is given.
        let number = dup3ForStream(copy)
        guard number >= 0 else { throw storeError("dup", errno, path: path) }
        guard let stream = unsafe fdopendir(number) else {
            let failure = storeError("opendir", errno, path: path)
            close(number)
            throw failure
        }
        defer { unsafe closedir(stream) }
        while true {
            errno = 0
            guard let entry = unsafe readdir(stream) else {
                if errno != 0 { throw storeError("readdir", errno, path: path) }
                return
            }
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe String(validatingCString: UnsafeRawPointer(pointer).assumingMemoryBound(to: CChar.self))
            }
            guard let name, name != ".", name != ".." else { continue }
            try body(name, unsafe entry.pointee.d_type)
        }
    }

    private func dup3ForStream(_ descriptor: borrowing FileDescriptor) -> Int32 {
        fcntl(descriptor.number, F_DUPFD_CLOEXEC, 0)
    }

    /// All names in it that `include` takes.
    func names(where include: (String) -> Bool = { _ in true }) throws(StoreError) -> [String] {
        var names: [String] = []
        try forEachName { (name, _) throws(StoreError) in if include(name) { names.append(name) } }
        return names
    }

    // MARK: Changes

    /// Has the names in it reach the disk, where the store wants that.
    func settleNames() throws(StoreError) {
        let number = flushes ? FileCalls.flush(descriptor.number) : 0
        guard number == 0 else { throw storeError("fsync", number, path: path) }
    }

    /// Removes a file; that there is none is no error.
    func remove(_ name: String) throws(StoreError) {
        guard unsafe unlinkat(descriptor.number, name, 0) != 0, errno != ENOENT else { return }
        throw storeError("unlink", errno, path: path(of: name))
    }

    /// Removes a directory if it is empty, and says whether it is gone.
    @discardableResult
    func removeEmptyFolder(_ name: String) -> Bool {
        unsafe unlinkat(descriptor.number, name, AT_REMOVEDIR) == 0 || errno == ENOENT
    }

    /// Removes a directory of the store's own with the files in it.
    func removeFolder(_ name: String) throws(StoreError) {
        if let inner = try folder(name) {
            for file in try inner.names() { try inner.remove(file) }
        }
        guard removeEmptyFolder(name) else { throw storeError("rmdir", errno, path: path(of: name)) }
    }

    // MARK: Small files

    /// The bytes of a file; nil where there is none, or one that is longer than any of the store's own records.
    func contents(of name: String) throws(StoreError) -> [UInt8]? {
        guard let file = try open(name, O_RDONLY) else { return nil }
        let status = try fileStatus(file.number, path: path(of: name))
        guard status.isFile, status.length <= Self.greatestRecordLength else { return nil }
        return try readBytes(file.number, 0..<status.length, path: path(of: name), short: true)
    }

    private static let greatestRecordLength: UInt64 = 16 << 20

    /// Gives a file new content, whole or not at all.
    ///
    /// - Parameter staging: a directory of the same file system where it is written first.
    func write(_ bytes: [UInt8], to name: String, staging: Folder) throws(StoreError) {
        let staged = try StagedFile(in: staging, named: true)
        try writeAll(bytes.span, to: staged.number, at: 0, path: path(of: name))
        try settle(staged.number, flushing: flushes, path: path(of: name))
        let number = try staged.move(to: self, as: name, replacing: true)
        guard number == 0 else { throw storeError("rename", number, path: path(of: name)) }
    }

    // MARK: Locks

    /// Keeps everybody else who asks for this out, threads and processes, until `body` ends; a killed process's lock is free.
    ///
    /// - Parameter shared: whether others may come in that share it too.
    func withLock<Result>(shared: Bool = false, _ body: () throws(StoreError) -> Result) throws(StoreError) -> Result {
        // A lock belongs to the open file: one that is opened anew is another, be it by the same process.
        guard let own = try open(".", O_RDONLY | O_DIRECTORY) else { throw storeError("open", ENOENT, path: path) }
        let answer = uninterrupted { flock(own.number, shared ? LOCK_SH : LOCK_EX) }
        guard answer == 0 else { throw storeError("flock", errno, path: path) }
        let result = try body()
        _ = own.number
        return result
    }
}
