import Glibc
import ImageFiles
import ImageModel
import Testing

@Suite struct FileSetSinkTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private static let files = ["disk", "disk-1", "disk-2"].enumerated().map { index, name in
        MemberFile(name: name, range: FileRange(UInt64(index) * MemberFile.alignment, length: UInt64(index) + 3))
    }

    private func sink(replacing: Bool = false, calls: SystemCalls = .live) throws -> FileSetSink {
        let sink = try FileSetSink(path: directory.file("disk"), files: Self.files, replacing: replacing, calls: calls)
        for (index, file) in Self.files.enumerated() {
            try sink.write([UInt8(index) + 1], at: file.range.start.bytes + 1)
        }
        try sink.finish(files: Self.files)
        return sink
    }

    @Test func theFilesAppearTogetherEachWithItsBytes() throws {
        let sink = try sink()
        #expect(directory.names.allSatisfy { $0.hasPrefix(".") })
        let written = try sink.writtenFiles()
        #expect(try written.open("disk-2", namedBy: "disk").read(FileRange(0, length: 5)) == [0, 3, 0, 0, 0])
        #expect(throws: ImageError.self) { try written.open("disk-3", namedBy: "disk") }
        try sink.commit()
        #expect(directory.names == ["disk", "disk-1", "disk-2"])
        #expect(try contents(of: directory.file("disk")) == [0, 1, 0])
        #expect(try contents(of: directory.file("disk-1")) == [0, 2, 0, 0])
        #expect(try contents(of: directory.file("disk-2")) == [0, 3, 0, 0, 0])
    }

    @Test func oneThatIsThereKeepsAllAway() throws {
        _ = try directory.file("disk-2", holding: [9])
        let error = #expect(throws: ImageError.self) { _ = try sink() }
        #expect(error?.code == .destinationExists && error?.path == directory.file("disk-2"))
        #expect(directory.names == ["disk-2"])
    }

    @Test func whereOneIsMadeMeanwhileTheOthersGoAgain() throws {
        let sink = try sink()
        _ = try directory.file("disk-2", holding: [9])
        let error = #expect(throws: ImageError.self) { try sink.commit() }
        #expect(error?.code == .destinationExists)
        #expect(directory.names.filter { !$0.hasPrefix(".") } == ["disk-2"])
        #expect(try contents(of: directory.file("disk-2")) == [9])
    }

    @Test func replacingLeavesOtherFilesAlone() throws {
        for name in ["disk", "disk-1", "disk-9"] { _ = try directory.file(name, holding: [9, 9]) }
        try sink(replacing: true).commit()
        #expect(directory.names == ["disk", "disk-1", "disk-2", "disk-9"])
        #expect(try contents(of: directory.file("disk")) == [0, 1, 0])
        #expect(try contents(of: directory.file("disk-9")) == [9, 9])
    }

    /// Each rename of a commit that replaces: two files are set aside (the first keeps its name), three appear.
    @Test(arguments: 0..<5) func aReplacementThatFailsLeavesTheOldImageWhole(failing: Int) throws {
        let old = ["disk", "disk-1", "disk-2"]
        for (index, name) in old.enumerated() { _ = try directory.file(name, holding: [9, UInt8(index)]) }
        let counter = Counter()
        var calls = SystemCalls.live
        let rename = calls.rename
        calls.rename = { from, to, replacing in
            guard counter.next() != failing else {
                errno = EIO
                return -1
            }
            return rename(from, to, replacing)
        }
        let error = #expect(throws: ImageError.self) { try sink(replacing: true, calls: calls).commit() }
        #expect(error?.operation == "rename" && error?.systemError == EIO)
        #expect(directory.names == old)
        for (index, name) in old.enumerated() { #expect(try contents(of: directory.file(name)) == [9, UInt8(index)]) }
    }

    @Test func whatSomebodyElsePutInPlaceStaysAndTheOldFileIsNamed() throws {
        let old = ["disk", "disk-1", "disk-2"]
        for name in old { _ = try directory.file(name, holding: [9]) }
        let taken = directory.file("disk-2")
        var calls = SystemCalls.live
        let (rename, counter) = (calls.rename, Counter())
        calls.rename = { from, to, replacing in
            let status = rename(from, to, replacing)
            // Both that lose their names are set aside.
            if counter.next() == 1 { unsafe close(open(taken, O_CREAT | O_WRONLY, 0o600)) }
            return status
        }
        let error = #expect(throws: ImageError.self) { try sink(replacing: true, calls: calls).commit() }
        #expect(error?.code == .destinationExists)
        #expect(error?.message.contains("'\(taken)' is now '") == true)
        #expect(directory.names.filter { !$0.hasPrefix(".") } == old)
        #expect(try contents(of: taken) == [])
        let kept = try #require(directory.names.first { $0.hasSuffix(".kept") })
        #expect(try contents(of: directory.file(kept)) == [9])
    }

    @Test func onlyListedFilesBesideTheImageAreOpened() throws {
        try sink().commit()
        let files = try ListedFiles(["disk", "disk-1"], in: BeneathDirectory(of: directory.file("disk")))
        #expect(try files.open("disk-1", namedBy: directory.file("disk")).length == 4)
        for name in ["disk-2", "./disk-1", "/etc/passwd"] {
            let error = #expect(throws: ImageError.self) { try files.open(name, namedBy: directory.file("disk")) }
            #expect(error?.code == .externalReference)
        }
    }
}
