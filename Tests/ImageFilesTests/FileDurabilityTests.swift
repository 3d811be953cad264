import CImageKernels
import Glibc
import ImageFiles
import ImageModel
import Synchronization
import Testing

/// A file stands under its name only when its disk has it, and with the access that it had.
@Suite struct FileDurabilityTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func fill(_ sink: FileSink) throws {
        try sink.write([1, 2, 3], at: 0)
        try sink.finish(length: 3)
    }

    private func mode(_ name: String) -> mode_t {
        var status = stat()
        return unsafe lstat(directory.file(name), &status) == 0 ? status.st_mode & 0o7777 : 0
    }

    @Test(arguments: [ENOSPC, EIO, EDQUOT], [true, false])
    func whatTheDiskDidNotTakeReplacesNothing(number: Int32, unnamed: Bool) throws {
        func fail() throws {
            _ = try directory.file("image", holding: [9, 9])
            let sink = try FileSink(
                path: directory.file("image"), replacing: true, calls: .faulty(fsync: number), unnamed: unnamed)
            try fill(sink)
            let error = #expect(throws: ImageError.self) { try sink.commit() }
            #expect(error?.operation == "fsync" && error?.systemError == number && error?.path == sink.path)
        }
        try fail()
        #expect(directory.names == ["image"])
        #expect(try contents(of: directory.file("image")) == [9, 9])
    }

    @Test func whatIsToldWhenAFileIsClosedReplacesNothing() throws {
        _ = try directory.file("image", holding: [9])
        for flushing in [true, false] {
            let sink = try FileSink(
                path: directory.file("image"), replacing: true, flushing: flushing, calls: .faulty(close: EDQUOT))
            try fill(sink)
            let error = #expect(throws: ImageError.self) { try sink.commit() }
            #expect(error?.operation == "close" && error?.systemError == EDQUOT)
        }
        #expect(directory.names == ["image"])
        #expect(try contents(of: directory.file("image")) == [9])
    }

    @Test func theFileIsFlushedBeforeItAppearsAndItsDirectoryAfter() throws {
        let path = directory.file("image")
        let seen = Mutex<[String]>([])
        var calls = SystemCalls.live
        calls.fsync = { descriptor in
            var status = stat()
            _ = unsafe fstat(descriptor, &status)
            let isDirectory = status.st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR)
            let appeared = unsafe access(path, F_OK) == 0
            seen.withLock { $0.append("\(isDirectory ? "directory" : "file") \(appeared ? "after" : "before")") }
            return SystemCalls.live.fsync(descriptor)
        }
        let sink = try FileSink(path: path, replacing: false, calls: calls)
        try fill(sink)
        try sink.commit()
        #expect(seen.withLock { $0 } == ["file before", "directory after"])
        seen.withLock { $0 = [] }
        let hasty = try FileSink(path: path, replacing: true, flushing: false, calls: calls)
        try fill(hasty)
        try hasty.commit()
        #expect(seen.withLock { $0 } == [])
    }

    @Test(arguments: [EINVAL, EOPNOTSUPP]) func aFileSystemWithoutFlushingIsNoError(number: Int32) throws {
        let sink = try FileSink(path: directory.file("image"), replacing: false, calls: .faulty(fsync: number))
        try fill(sink)
        try sink.commit()
        #expect(directory.names == ["image"])
    }

    @Test func aManifestThatCantBeFlushedLeavesTheOldImageToo() throws {
        for name in ["image", "image.json"] { _ = try directory.file(name, holding: [9]) }
        let image = try FileSink(path: directory.file("image"), replacing: true)
        let manifest = try FileSink(
            path: directory.file("image.json"), replacing: true, calls: .faulty(fsync: ENOSPC))
        for sink in [image, manifest] { try fill(sink) }
        #expect(throws: ImageError.self) { try FileSink.commit([image, manifest]) }
        #expect(directory.names == ["image", "image.json"])
        for name in directory.names { #expect(try contents(of: directory.file(name)) == [9]) }
    }

    /// Where a rename fails, what is back is the old pair.
    @Test(arguments: 0..<3) func anImageAndItsManifestAreReplacedTogether(failing: Int) throws {
        for name in ["image", "image.json"] { _ = try directory.file(name, holding: [9]) }
        let counter = Counter()
        var calls = SystemCalls.live
        calls.rename = { from, to, replacing in
            guard counter.next() != failing else {
                errno = EIO
                return -1
            }
            return SystemCalls.live.rename(from, to, replacing)
        }
        let sinks = try ["image", "image.json"].map {
            try FileSink(path: directory.file($0), replacing: true, calls: calls)
        }
        for sink in sinks { try fill(sink) }
        #expect(throws: ImageError.self) { try FileSink.commit(sinks) }
        #expect(directory.names == ["image", "image.json"])
        for name in directory.names { #expect(try contents(of: directory.file(name)) == [9]) }
    }

    // MARK: Access

    @Test(arguments: [0o600, 0o640, 0o664, 0o400] as [mode_t], [true, false])
    func whatIsReplacedKeepsItsMode(old: mode_t, unnamed: Bool) throws {
        _ = try directory.file("image", holding: [9])
        #expect(unsafe chmod(directory.file("image"), old) == 0)
        let sink = try FileSink(path: directory.file("image"), replacing: true, calls: .live, unnamed: unnamed)
        try fill(sink)
        // Under the hidden name of a file system without nameless files, nobody else reads it either.
        for name in directory.names where name.hasPrefix(".") { #expect(mode(name) & 0o077 == 0) }
        try sink.commit()
        #expect(mode("image") == old)
        #expect(try contents(of: directory.file("image")) == [1, 2, 3])
    }

    @Test(.enabled(if: geteuid() == 0, "only root gives files away")) func whatIsReplacedKeepsItsOwners() throws {
        _ = try directory.file("image", holding: [9])
        #expect(unsafe chown(directory.file("image"), 1234, 4321) == 0)
        let sink = try FileSink(path: directory.file("image"), replacing: true)
        try fill(sink)
        try sink.commit()
        var status = stat()
        #expect(unsafe lstat(directory.file("image"), &status) == 0)
        #expect(status.st_uid == 1234 && status.st_gid == 4321)
    }

    /// An access list as `setfacl -m u:1234:r` leaves it on a file of 0600: version 2, then tag, permissions and ID.
    private static let list: [UInt8] = [
        2, 0, 0, 0,
        0x01, 0, 6, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x02, 0, 4, 0, 0xD2, 0x04, 0, 0, 0x04, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF,
        0x10, 0, 4, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x20, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF,
    ]

    private func setList(_ name: String) throws {
        let status = unsafe Self.list.withUnsafeBytes {
            unsafe setxattr(directory.file(name), "system.posix_acl_access", $0.baseAddress, $0.count, 0)
        }
        try #require(status == 0, "the tests' directory has no access lists")
    }

    @Test func whatIsReplacedKeepsItsAccessList() throws {
        _ = try directory.file("image", holding: [9])
        #expect(unsafe chmod(directory.file("image"), 0o600) == 0)
        try setList("image")
        let sink = try FileSink(path: directory.file("image"), replacing: true)
        try fill(sink)
        try sink.commit()
        var kept = [UInt8](repeating: 0, count: 100)
        let length = unsafe getxattr(directory.file("image"), "system.posix_acl_access", &kept, kept.count)
        #expect(length >= 0 && Array(kept.prefix(max(0, length))) == Self.list)
    }

    /// Under the usual mask of 022, of which the process of the tests is asked nothing: it is all threads'.
    @Test(
        arguments: [(0o600, 0o600), (0o400, 0o600), (0o640, 0o640), (0o444, 0o644), (0o604, 0o604)]
            as [(mode_t, mode_t)])
    func aCopyIsNeverWiderThanItsSource(source: mode_t, copy: mode_t) throws {
        _ = try directory.file("source", holding: [9])
        #expect(unsafe chmod(directory.file("source"), source) == 0)
        let sink = try FileSink(path: directory.file("image"), replacing: false)
        try sink.limitAccess(toThatOf: [try FileSource(path: directory.file("source"))])
        try fill(sink)
        try sink.commit()
        #expect(mode("image") == copy)
    }

    @Test func theBitsOfAMaskAreNotTakenForTheGroups() throws {
        _ = try directory.file("source", holding: [9])
        #expect(unsafe chmod(directory.file("source"), 0o600) == 0)
        try setList("source")
        #expect(mode("source") == 0o640, "the group's bits are the mask")
        let sink = try FileSink(path: directory.file("image"), replacing: false)
        try sink.limitAccess(toThatOf: [try FileSource(path: directory.file("source"))])
        try fill(sink)
        try sink.commit()
        #expect(mode("image") & 0o077 == 0)
    }
}
