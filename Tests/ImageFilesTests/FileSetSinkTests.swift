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

    private func sink(replacing: Bool = false) throws -> FileSetSink {
        let sink = try FileSetSink(path: directory.file("disk"), files: Self.files, replacing: replacing)
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

    @Test func onlyListedFilesBesideTheImageAreOpened() throws {
        try sink().commit()
        let files = try ListedFiles(["disk", "disk-1"], beside: directory.file("disk"))
        #expect(try files.open("disk-1", namedBy: directory.file("disk")).length == 4)
        for name in ["disk-2", "./disk-1", "/etc/passwd"] {
            let error = #expect(throws: ImageError.self) { try files.open(name, namedBy: directory.file("disk")) }
            #expect(error?.code == .externalReference)
        }
    }
}
