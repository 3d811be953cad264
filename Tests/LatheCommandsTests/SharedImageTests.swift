import Foundation
import LatheTestSupport
import Testing

/// Images that another program has open: QEMU's locks on single bytes.
@Suite struct SharedImageTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func image(_ format: String) throws -> String {
        let path = directory.file("disk.\(format)")
        try QEMU.make(["create", "-q", "-f", format, path, "16M"])
        return path
    }

    /// Lets qemu-io have an image open for writing while the body runs.
    private func whileWritten(_ image: String, _ format: String, _ body: () throws -> Void) throws {
        let commands = Pipe()
        let answers = Pipe()
        let writer = try RunningProcess(
            "qemu-io", ["-f", format, image], input: commands.fileHandleForReading,
            output: answers.fileHandleForWriting)
        // Its answer tells that the image is open.
        try commands.fileHandleForWriting.write(contentsOf: Data("length\n".utf8))
        try answers.fileHandleForWriting.close()
        var heard = ""
        while !heard.contains("MiB") {
            let piece = answers.fileHandleForReading.availableData
            try #require(!piece.isEmpty, "qemu-io says '\(heard)'")
            heard += String(decoding: piece, as: UTF8.self)
        }
        try body()
        try commands.fileHandleForWriting.close()
        _ = try writer.outcome()
    }

    @Test(.requiresQEMU, arguments: ["raw", "qcow2"]) func anImageThatQEMUWritesToIsNotReadWithoutTheUsersWord(
        format: String
    ) throws {
        let image = try image(format)
        let out = directory.file("out")
        let verbs = [
            ["info", "-f", format, image], ["check", "-f", format, image], ["map", "-f", format, image],
            ["digest", "-f", format, image], ["measure", "-f", format, "-O", "qcow2", image],
            ["compare", "-f", format, "-F", format, image, image], ["verify", "-f", format, image],
            ["convert", "-q", "-f", format, "-O", "raw", image, out],
        ]
        try whileWritten(image, format) {
            for verb in verbs {
                let refused = try lathe(verb)
                #expect(refused.status != 0, "\(refused.testDescription)")
                #expect(
                    (refused.errors + refused.text).contains("Is another process using the image?"),
                    "\(refused.testDescription)")
                for option in ["-U", "--force-share"] where verb[0] != "convert" || option == "-U" {
                    let read = try lathe([verb[0], option] + verb.dropFirst())
                    // Of a raw image nothing proves anything, but it is read.
                    let status: Int32 = verb[0] == "verify" && format == "raw" ? 1 : 0
                    #expect(read.status == status, "\(read.testDescription)")
                    #expect(!(read.errors + read.text).contains("another process"), "\(read.testDescription)")
                }
            }
            let input = try FileHandle(forReadingFrom: URL(filePath: image))
            let refused = try lathe("digest", "-f", format, "-", input: input)
            #expect(refused.status == 1 && refused.errors.contains("another program"), "\(refused.testDescription)")
        }
        #expect(try lathe(verbs[0]).status == 0)
    }

    @Test(.requiresQEMU) func aBackingFileThatQEMUWritesToIsNotRead() throws {
        let base = try image("raw")
        let overlay = directory.file("overlay.qcow2")
        try QEMU.make(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, overlay])
        let map = ["map", "--allow-backing", directory.path, overlay]
        try whileWritten(base, "raw") {
            let refused = try lathe(map)
            #expect(refused.status == 1 && refused.errors.contains(base), "\(refused.testDescription)")
            #expect(try lathe(map + ["-U"]).status == 0)
        }
    }

    @Test(.requiresQEMU) func whatIsReadIsKeptFromQEMUsWritersAndNotFromItsReaders() throws {
        let image = try image("raw")
        // Zeros that are stored: more than a pipe holds.
        let pipe = Pipe()
        let reader = try LatheBinary.start(
            ["convert", "-q", "-f", "raw", "-O", "raw", image, "-"], output: pipe.fileHandleForWriting)
        try pipe.fileHandleForWriting.close()
        _ = try pipe.fileHandleForReading.read(upToCount: 1)
        let write = try RunningProcess("qemu-io", ["-f", "raw", "-c", "write 0 512", image]).outcome()
        #expect(write.errors.contains("lock") || write.text.contains("lock"), "\(write.testDescription)")
        #expect(try QEMU.run("info", "-f", "raw", image).status == 0)
        #expect(try lathe("digest", "-f", "raw", image).status == 0)
        _ = try pipe.fileHandleForReading.readToEnd()
        #expect(try reader.outcome().status == 0)
    }

    @Test func aTimeThatMovesIsPassedOverOnTheUsersWord() throws {
        let source = directory.file("source.raw")
        try Data(repeating: 1, count: 1 << 20).write(to: URL(filePath: source))
        for (options, status) in [([String](), Int32(1)), (["-U"], 0)] {
            let pipe = Pipe()
            let reader = try LatheBinary.start(
                ["convert", "-q", "-f", "raw", "-O", "raw"] + options + [source, "-"], output: pipe.fileHandleForWriting
            )
            try pipe.fileHandleForWriting.close()
            _ = try pipe.fileHandleForReading.read(upToCount: 1)
            // It waits for us: the pipe is full.
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSince1970: 1e9)], ofItemAtPath: source)
            _ = try pipe.fileHandleForReading.readToEnd()
            let outcome = try reader.outcome()
            #expect(outcome.status == status, "\(outcome.testDescription)")
            if status == 1 { #expect(outcome.errors.contains("--force-share")) }
            try FileManager.default.setAttributes([.modificationDate: Date()], ofItemAtPath: source)
        }
    }
}
