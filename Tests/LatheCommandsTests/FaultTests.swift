import Foundation
import ImageFormats
import LatheTestSupport
import Testing

/// Faults that a real kernel makes.
@Suite(.serialized) struct FaultTests {
    private let directory: TemporaryDirectory
    private let source: String

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("source.raw")
    }

    private func writeSource(_ length: Int, seed: UInt64) throws {
        try Data(Content.full(length: length, seed: seed)).write(to: URL(filePath: source))
    }

    /// Those whose images do not fit into a third of the disk's size: zstd finds the blocks of `Content.full` again.
    static let large = OutputVariant.all.filter { $0.format != .rawZstandard }

    @Test(.requiresRoot, arguments: large) func aFullFileSystemIsAnErrorThatLeavesNothing(
        variant: OutputVariant
    ) throws {
        let disk = directory.file("disk")
        try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: false)
        let mounted = try RunningProcess("mount", ["-t", "tmpfs", "-o", "size=1m", "lathe-test", disk]).outcome()
        guard mounted.status == 0 else {
            try Test.cancel("mounting is not permitted here: \(mounted.errors)")
        }
        defer { _ = try? Tool.run("umount", [disk]) }
        try writeSource(3 << 20, seed: 71)
        let image = "\(disk)/image"
        let outcome = try lathe(["convert", "-f", "raw"] + variant.arguments + [source, image])
        #expect(outcome.status == 1)
        #expect(outcome.output.isEmpty)
        #expect(outcome.errors.hasPrefix("lathe: \(image): No space left on device; free some space"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: disk).isEmpty)
        // Nor is anything kept without a name: the whole disk is free again.
        let free = try #require(
            try FileManager.default.attributesOfFileSystem(forPath: disk)[.systemFreeSize] as? NSNumber)
        #expect(free.uint64Value == 1 << 20)
    }

    @Test(arguments: large) func aLimitOnFileSizesIsAnErrorThatLeavesNothing(variant: OutputVariant) throws {
        try writeSource(3 << 20, seed: 72)
        let arguments = variant.arguments.joined(separator: " ")
        // In units of 1024 bytes.
        let outcome = try shell(
            "ulimit -f 1024; exec \"$1\" convert -f raw \(arguments) \"$2\" \"$3\"", source, directory.file("image"))
        #expect(outcome.status == 1, "\(outcome.testDescription)")
        #expect(outcome.errors.contains("does not allow a file this long"), "\(outcome.errors)")
        #expect(try directory.contents == ["source.raw"])
    }

    /// Something that happens to the source while it is converted.
    enum Disturbance: String, CaseIterable {
        case truncate, grow, overwrite

        func happen(to path: String, _ generator: inout SeededGenerator) throws {
            let file = try FileHandle(forUpdating: URL(filePath: path))
            defer { try? file.close() }
            let length = try file.seekToEnd()
            switch self {
            case .truncate: try file.truncate(atOffset: UInt64.random(in: 0..<length, using: &generator))
            case .grow: try file.truncate(atOffset: length + 4096)
            case .overwrite:
                try file.seek(toOffset: UInt64.random(in: 0..<length, using: &generator))
                try file.write(contentsOf: [1, 2, 3])
            }
        }
    }

    @Test(arguments: Disturbance.allCases, [["-O", "raw"], ["-O", "vmdk", "-c"]])
    func aSourceThatChangesDuringTheRunIsAnError(disturbance: Disturbance, arguments: [String]) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("aSourceThatChangesDuringTheRunIsAnError(\(disturbance), \(arguments)): seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        let content = Data(Content.full(length: 1 << 20, seed: 73))
        var met = 0
        for round in 0..<6 {
            try writeLarge(content, count: arguments.contains("-c") ? 24 : 96)
            let image = directory.file("image")
            let process = try LatheBinary.start(
                ["convert", "--overwrite", "-f", "raw"] + arguments + [source, image])
            usleep(UInt32.random(in: 5_000...120_000, using: &generator))
            let wasRunning = process.isRunning
            try disturbance.happen(to: source, &generator)
            let outcome = try process.outcome()
            // It may have come before the source was opened, or after its last look at it.
            #expect(outcome.status == 0 || outcome.status == 1, "round \(round): \(outcome.testDescription)")
            if outcome.status == 1 {
                met += 1
                #expect(wasRunning)
                #expect(outcome.errors.hasPrefix("lathe: \(source): "), "round \(round): \(outcome.errors)")
                #expect(try directory.contents == ["source.raw"], "round \(round)")
            }
            try? FileManager.default.removeItem(atPath: image)
        }
        print("\(met) of 6 rounds met the change")
    }

    private func writeLarge(_ content: Data, count: Int) throws {
        try Data().write(to: URL(filePath: source))
        let file = try FileHandle(forWritingTo: URL(filePath: source))
        for _ in 0..<count { try file.write(contentsOf: content) }
        try file.close()
    }

    @Test func aSourceThatIsAppendedToDuringAStreamIsAnError() throws {
        try writeSource(1 << 20, seed: 74)
        // The pipe holds 64 KiB, so the run can't end before the reader reads on.
        let outcome = try shell(
            """
            { "$1" convert -q -f raw -O raw "$2" -; echo "status $?" >&2; } |
                { head -c 1; printf x >> "$2"; cat; } > "$3"
            """, source, directory.file("image"))
        #expect(outcome.errors.contains("lathe: \(source): the file had 1048576 bytes when it was opened"))
        #expect(outcome.errors.hasSuffix("status 1\n"), "\(outcome.errors)")
    }
}
