import Foundation
import Glibc
import ImageFiles
import ImageModel
import LatheTestSupport
import Testing

/// Files that are rewritten in place.
@Suite struct FilePatchTests {
    private let directory: TemporaryDirectory
    private let path: String

    init() throws {
        directory = try TemporaryDirectory()
        path = directory.file("image")
        try Data([1, 2, 3, 4]).write(to: URL(filePath: path))
    }

    @Test func rangesAreRewrittenAndTheFileGrowsButNeverShrinksByIt() throws {
        let patch = try FilePatch(path: path)
        try patch.extend(to: 6)
        try patch.write(metadata: [9, 8].span, at: FileOffset(1))
        try patch.barrier()
        try patch.extend(to: 2)
        #expect(try Data(contentsOf: URL(filePath: path)) == Data([1, 9, 8, 4, 0, 0]))
        let source = try patch.writtenSource()
        #expect(try source.read(FileRange(0, length: 6)) == [1, 9, 8, 4, 0, 0])
    }

    @Test func aMissingFileIsMadeOnlyWhereThatIsAskedForAndOverNoLink() throws {
        let missing = directory.file("missing")
        let error = #expect(throws: ImageError.self) { try FilePatch(path: missing) }
        #expect(error?.systemError == ENOENT)
        let patch = try FilePatch(creating: missing)
        try patch.write(data: [7, 8, 9].span, at: FileOffset(1))
        try patch.finish(length: 3)
        #expect(try Data(contentsOf: URL(filePath: missing)) == Data([0, 7, 8]))
        _ = try FilePatch(creating: path)
        #expect(try Data(contentsOf: URL(filePath: path)) == Data([1, 2, 3, 4]))

        let link = directory.file("link")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: path)
        let refused = #expect(throws: ImageError.self) { try FilePatch(creating: link) }
        #expect(refused?.message.contains("symbolic link") == true, "\(String(describing: refused))")
    }

    @Test func oneAtATimeHasAFile() throws {
        let first = try FilePatch(path: path)
        let error = #expect(throws: ImageError.self) { try FilePatch(path: path) }
        #expect(error?.code == .inputOutput)
        #expect(error?.message.contains("another program has locked the file") == true)
        try first.barrier()
        _ = consume first
        _ = try FilePatch(path: path)
    }

    @Test func aFileThatMayNotBeWrittenIsNamedWithAWayOut() throws {
        // Root may write to anything but a program that runs.
        let copy = directory.file("sleep")
        try FileManager.default.copyItem(atPath: "/bin/sleep", toPath: copy)
        let process = Process()
        process.executableURL = URL(filePath: copy)
        process.arguments = ["60"]
        try process.run()
        defer { process.terminate() }
        let error = #expect(throws: ImageError.self) { try FilePatch(path: copy) }
        #expect(error?.message.contains("repair onto a copy") == true, "\(String(describing: error))")
    }
}
