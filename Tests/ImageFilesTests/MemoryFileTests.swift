import Foundation
import ImageFiles
import ImageModel
import Testing

/// Images in files that live in memory, and files without a name as other programs reach them.
@Suite struct MemoryFileTests {
    @Test func whatIsWrittenIsReadBackAndHolesStayHoles() throws {
        let sink = try MemoryFileSink(name: "memory")
        try sink.write([1, 2, 3], at: 1 << 20)
        try sink.write(metadata: [4, 5].span, at: FileOffset(0))
        try sink.finish(length: 4 << 20)
        let source = try sink.writtenSource()
        #expect(source.length == 4 << 20)
        #expect(try source.read(FileRange(1 << 20, length: 4)) == [1, 2, 3, 0])
        #expect(try source.read(FileRange(0, length: 2)) == [4, 5])
        #expect(source.allocatedLength <= 64 << 10)
        let data = try #require(try source.nextData(from: FileOffset(64 << 10), limit: FileOffset(4 << 20)))
        #expect(data.start.bytes > 512 << 10 && data.end.bytes < 2 << 20)
    }

    @Test func theFileLivesAsLongAsItsReader() throws {
        let source = try MemoryFileSink(name: "memory").writtenSource()
        #expect(source.length == 0)
    }

    @Test func aPlaceThatNoFileHasIsAnError() throws {
        let sink = try MemoryFileSink(name: "memory")
        let error = #expect(throws: ImageError.self) { try sink.write([1], at: UInt64(Int.max)) }
        #expect(error?.path == "memory")
    }

    @Test func otherProgramsReachAFileWithoutAName() throws {
        let directory = try TemporaryDirectory()
        let sinks: [any ReadableSink] = [
            try MemoryFileSink(name: "memory"), try FileSink(path: directory.file("image"), replacing: false),
        ]
        for sink in sinks {
            try sink.write(Array("content".utf8), at: 0)
            try sink.finish(length: 7)
            let source = try sink.writtenSource()
            try source.flush()
            let other = try Process.run(
                URL(filePath: "/usr/bin/env"), arguments: ["cmp", "-s", source.processPath, source.processPath])
            other.waitUntilExit()
            #expect(other.terminationStatus == 0)
            #expect(try contents(of: source.processPath) == Array("content".utf8))
        }
        #expect(directory.names == [])
    }
}
