import Glibc
import ImageFiles
import ImageModel
import Testing

@Suite struct FileSinkTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test(arguments: [true, false]) func theFileAppearsOnCommitAndNotBefore(unnamed: Bool) throws {
        let path = directory.file("image")
        let sink = try FileSink(path: path, replacing: false, calls: .live, unnamed: unnamed)
        try sink.write([1, 2, 3], at: 4)
        try sink.finish(length: 9)
        #expect(!directory.names.contains("image"))
        #expect(directory.names.count == (unnamed ? 0 : 1))
        #expect(directory.names.allSatisfy { $0.hasPrefix(".") }, "an unfinished file is hidden")
        #expect(try sink.writtenSource().read(FileRange(0, length: 9)) == [0, 0, 0, 0, 1, 2, 3, 0, 0])
        try sink.commit()
        #expect(directory.names == ["image"])
        #expect(try contents(of: path) == [0, 0, 0, 0, 1, 2, 3, 0, 0])
    }

    @Test(arguments: [true, false]) func withoutCommitNothingIsLeft(unnamed: Bool) throws {
        func abandon() throws {
            let sink = try FileSink(path: directory.file("image"), replacing: false, calls: .live, unnamed: unnamed)
            try sink.write([1], at: 0)
            try sink.finish(length: 1)
        }
        try abandon()
        #expect(directory.names.isEmpty)
    }

    @Test(arguments: [true, false]) func aFileIsReplacedInOneStep(unnamed: Bool) throws {
        let path = try directory.file("image", holding: [9, 9, 9, 9])
        func replace() throws {
            let sink = try FileSink(path: path, replacing: true, calls: .live, unnamed: unnamed)
            try sink.write([1], at: 0)
            try sink.finish(length: 1)
            #expect(try contents(of: path) == [9, 9, 9, 9])
            try sink.commit()
        }
        try replace()
        #expect(try contents(of: path) == [1])
        #expect(directory.names == ["image"])
    }

    @Test func aFileThatIsThereIsRefusedAtOnce() throws {
        let path = try directory.file("image", holding: [9])
        let error = #expect(throws: ImageError.self) { _ = try FileSink(path: path, replacing: false) }
        #expect(error?.code == .destinationExists && error?.path == path)
        #expect(error?.message.contains("--overwrite") == true)
        #expect(try contents(of: path) == [9])
    }

    @Test(arguments: [true, false]) func whoeverMakesTheFileMeanwhileKeepsIt(unnamed: Bool) throws {
        func lose() throws {
            let sink = try FileSink(path: directory.file("image"), replacing: false, calls: .live, unnamed: unnamed)
            try sink.write([1], at: 0)
            try sink.finish(length: 1)
            _ = try directory.file("image", holding: [7, 7])
            let error = #expect(throws: ImageError.self) { try sink.commit() }
            #expect(error?.code == .destinationExists && error?.path == directory.file("image"))
        }
        try lose()
        #expect(directory.names == ["image"])
        #expect(try contents(of: directory.file("image")) == [7, 7])
    }

    @Test func whatIsNotARegularFileIsNeverReplaced() throws {
        let target = try directory.file("target", holding: [5])
        #expect(unsafe symlink(target, directory.file("link")) == 0)
        #expect(unsafe mkdir(directory.file("folder"), 0o700) == 0)
        #expect(unsafe mkfifo(directory.file("pipe"), 0o600) == 0)
        for name in ["link", "folder", "pipe"] {
            for replacing in [true, false] {
                let error = #expect(throws: ImageError.self) {
                    _ = try FileSink(path: directory.file(name), replacing: replacing)
                }
                #expect(error?.code == .destinationExists, "\(name)")
                #expect(error?.message.contains("not a regular file") == true)
            }
        }
        #expect(try contents(of: target) == [5])
        #expect(directory.names == ["folder", "link", "pipe", "target"])
    }

    @Test func aDirectoryThatIsNotThereIsNamedInTheError() throws {
        let path = directory.file("missing/image")
        let error = #expect(throws: ImageError.self) { _ = try FileSink(path: path, replacing: false) }
        #expect(error?.code == .inputOutput && error?.path == path && error?.systemError == ENOENT)
        #expect(error?.message.contains("nothing can be written beside the destination") == true)
    }

    @Test(.enabled(if: geteuid() != 0, "root may write anywhere")) func aDirectoryWithoutWritePermissionIsAnError()
        throws
    {
        #expect(unsafe chmod(directory.path, 0o500) == 0)
        defer { unsafe chmod(directory.path, 0o700) }
        let error = #expect(throws: ImageError.self) {
            _ = try FileSink(path: directory.file("image"), replacing: false)
        }
        #expect(error?.code == .inputOutput && error?.systemError == EACCES)
    }

    @Test(arguments: [true, false]) func aRenameThatFailsLeavesNothing(unnamed: Bool) throws {
        func fail() throws {
            let sink = try FileSink(
                path: directory.file("image"), replacing: true, calls: .faulty(rename: EACCES), unnamed: unnamed)
            try sink.write([1], at: 0)
            try sink.finish(length: 1)
            let error = #expect(throws: ImageError.self) { try sink.commit() }
            #expect(error?.code == .inputOutput && error?.operation == "rename" && error?.systemError == EACCES)
        }
        try fail()
        #expect(directory.names.isEmpty)
    }

    @Test(arguments: [ENOSPC, EIO, EFBIG, EDQUOT]) func settlingTheLengthCanFail(number: Int32) throws {
        func fail() throws {
            let sink = try FileSink(path: directory.file("image"), replacing: false, calls: .faulty(ftruncate: number))
            let error = #expect(throws: ImageError.self) { try sink.finish(length: 4096) }
            #expect(
                error?.operation == "ftruncate" && error?.systemError == number && error?.offset == FileOffset(4096))
        }
        try fail()
        #expect(directory.names.isEmpty)
    }

    @Test func aLengthThatNoFileHasIsRefused() throws {
        let sink = try FileSink(path: directory.file("image"), replacing: false)
        let error = #expect(throws: ImageError.self) { try sink.finish(length: 1 << 63) }
        #expect(error?.code == .limitExceeded)
    }

    @Test func anInterruptedTruncationIsTriedAgain() throws {
        let tries = Counter()
        var calls = SystemCalls.live
        calls.ftruncate = { descriptor, length in
            guard tries.next() > 2 else {
                errno = EINTR
                return -1
            }
            return SystemCalls.live.ftruncate(descriptor, length)
        }
        let sink = try FileSink(path: directory.file("image"), replacing: false, calls: calls)
        try sink.finish(length: 4096)
        try sink.commit()
        #expect(try contents(of: directory.file("image")).count == 4096)
    }
}
