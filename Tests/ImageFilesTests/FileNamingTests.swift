import Glibc
import ImageFiles
import ImageModel
import Testing

/// A file gets its name, and takes nobody else's, whatever calls the file system has.
@Suite struct FileNamingTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func name(_ name: String) -> [CChar] { PathText.terminated(directory.file(name)) }

    /// What bindfs, sshfs, NFS and others answer to `RENAME_NOREPLACE`, and file systems without links to `link`.
    private func move(rename: Int32, link: Int32?) -> Int32 {
        errno = 0
        let status = FileCalls.renameWithoutReplacing(
            name("new"), in: AT_FDCWD, to: name("image"), in: AT_FDCWD,
            rename: { _, _, _, _ in
                errno = rename
                return -1
            },
            link: { from, old, to, new in
                guard let link else { return unsafe linkat(from, old, to, new, 0) }
                errno = link
                return -1
            })
        return status == 0 ? 0 : errno
    }

    static let refusals: [Int32?] = [nil, EPERM, ENOSYS, EOPNOTSUPP, EMLINK]

    @Test(arguments: [EINVAL, ENOSYS, EOPNOTSUPP], refusals)
    func aFileAppearsWhereRenameKnowsNoFlags(rename: Int32, link: Int32?) throws {
        _ = try directory.file("new", holding: [1, 2])
        #expect(move(rename: rename, link: link) == 0)
        #expect(directory.names == ["image"])
        #expect(try contents(of: directory.file("image")) == [1, 2])
    }

    @Test(arguments: refusals) func whatIsThereStaysWhereRenameKnowsNoFlags(link: Int32?) throws {
        _ = try directory.file("new", holding: [1, 2])
        _ = try directory.file("image", holding: [9])
        #expect(move(rename: EINVAL, link: link) == EEXIST)
        #expect(directory.names == ["image", "new"])
        #expect(try contents(of: directory.file("image")) == [9])
    }

    @Test func whatFailsOtherwiseIsNotTriedInAnotherWay() throws {
        _ = try directory.file("new", holding: [1])
        #expect(move(rename: EACCES, link: nil) == EACCES)
        #expect(directory.names == ["new"])
    }

    @Test func theKernelsOwnCallIsTried() throws {
        _ = try directory.file("new", holding: [1])
        #expect(FileCalls.renameWithoutReplacing(name("new"), in: AT_FDCWD, to: name("image"), in: AT_FDCWD) == 0)
        #expect(directory.names == ["image"])
    }
}
