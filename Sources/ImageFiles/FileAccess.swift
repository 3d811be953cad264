internal import CImageKernels
internal import Glibc
public import ImageModel

/// Who may do what with a file: its mode, its owners, and its access list (`acl(5)`).
package struct FileAccess: Sendable {
    private static let listName = "system.posix_acl_access"
    private static let greatestListLength = 64 << 10

    private let mode: mode_t
    private let owner: uid_t
    private let group: gid_t
    /// The list as the kernel keeps it; empty where the mode says all.
    private let list: [UInt8]

    package init(of descriptor: borrowing FileDescriptor, path: String) throws(ImageError) {
        let status = try descriptor.status(path: path)
        let number = descriptor.number
        unsafe self.init(status) { unsafe fgetxattr(number, Self.listName, $0, $1) }
    }

    /// Of the file that stands under a name.
    ///
    /// - Returns: nil where there is none, or no regular file.
    init?(path: String) {
        var status = stat()
        let name = PathText.terminated(path)
        guard unsafe lstat(name, &status) == 0, status.isRegularFile else { return nil }
        unsafe self.init(status) { unsafe lgetxattr(name, Self.listName, $0, $1) }
    }

    private init(_ status: stat, _ read: (UnsafeMutableRawPointer?, Int) -> Int) {
        (mode, owner, group) = (status.st_mode & 0o777, status.st_uid, status.st_gid)
        list = unsafe [UInt8](unsafeUninitializedCapacity: Self.greatestListLength) { buffer, count in
            count = max(0, unsafe read(buffer.baseAddress, buffer.count))
        }
    }

    // MARK: A file that takes another's place

    /// Lets another file have the same access, as far as this process may give it; where it may not, less and never more.
    ///
    /// - Throws: `input-output`.
    package func give(to number: Int32, path: String) throws(ImageError) {
        // What the directory gives its new files (`default:` entries) is not what this one had.
        _ = unsafe fremovexattr(number, Self.listName)
        var status = try Self.status(of: number, path)
        if (status.st_uid, status.st_gid) != (owner, group), fchown(number, owner, group) != 0 {
            _ = fchown(number, uid_t.max, group)
            status = try Self.status(of: number, path)
            guard status.st_gid == group else {
                // What the group might do, another group would: it may do what all may.
                let all = mode & 0o007
                guard fchmod(number, (mode & (0o707 | all << 3))) == 0 else {
                    throw systemError("fchmod", errno, path: path)
                }
                return
            }
        }
        guard fchmod(number, mode) == 0 else { throw systemError("fchmod", errno, path: path) }
        guard !list.isEmpty else { return }
        let answer = unsafe list.withUnsafeBytes {
            unsafe fsetxattr(number, Self.listName, $0.baseAddress, $0.count, 0)
        }
        guard answer == 0 else { throw systemError("fsetxattr", errno, path: path, "its access list can't be kept") }
    }

    private static func status(of number: Int32, _ path: String) throws(ImageError) -> stat {
        var status = stat()
        guard unsafe fstat(number, &status) == 0 else { throw systemError("fstat", errno, path: path) }
        return status
    }

    // MARK: A file with the content of another

    /// The mode of a copy, of those bits that it would have: its owner may read and write, others what they may with this one.
    func limited(_ wanted: mode_t) -> mode_t {
        wanted & (0o600 | (mode & 0o006) | (list.isEmpty ? mode & 0o060 : listedGroup << 3))
    }

    /// What the list gives the owning group; beside a list, the group's bits of the mode are the most that anybody named has.
    private var listedGroup: mode_t {
        // acl(5) as the kernel has it (include/uapi/linux/posix_acl_xattr.h): a version of 4 bytes, then entries of tag (2),
        // permissions (2) and ID (4), each least significant byte first.
        let groupTag: UInt8 = 0x04
        var offset = 4
        while offset + 8 <= list.count {
            if list[offset] == groupTag, list[offset + 1] == 0 { return mode_t(list[offset + 2]) & (mode >> 3) & 0o6 }
            offset += 8
        }
        return 0
    }
}

extension FileSink {
    /// Lets nobody but its owner do with the new file what they may not do with the files that it is made of; for one that is made
    /// anew: what is replaced keeps its access.
    ///
    /// - Throws: `input-output`.
    public func limitAccess(toThatOf sources: [any ImageSource]) throws(ImageError) {
        let status = try descriptor.status(path: path)
        var mode = status.st_mode & 0o777
        for case let source as FileSource in sources {
            mode = try FileAccess(of: source.descriptor, path: source.name).limited(mode)
        }
        guard mode != status.st_mode & 0o777 else { return }
        guard fchmod(descriptor.number, mode) == 0 else { throw systemError("fchmod", errno, path: path) }
    }
}
