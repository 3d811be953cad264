import Foundation
import ImageFormats
import LatheTestSupport
import Testing

/// Data that is shared with the source, on real file systems that can.
@Suite(.serialized, .requiresRoot, .requiresLoopDevice, .requiresReflinkTools) struct ReflinkTests {
    private static let size = 64 << 20
    private static let kinds = LoopFileSystem.Kind.allCases

    /// A raw image of data, zeros and holes on a file system that was made for it.
    private struct Bench {
        let disk: LoopFileSystem
        let source: String

        init(_ kind: LoopFileSystem.Kind, extraBytes: Int = 0) throws {
            disk = try LoopFileSystem(kind)
            source = disk.file("source.raw")
            var content = Content.full(length: size, seed: 5)
            // A stored run of zeros, and an end that is no whole block.
            content.replaceSubrange(5 << 20..<7 << 20, with: repeatElement(0, count: 2 << 20))
            content += Content.mixed(length: extraBytes, seed: 6)
            try Data(content).write(to: URL(filePath: source))
            _ = try disk.usedBytes()
        }

        func convert(_ arguments: [String], _ reflink: String, from source: String, to name: String) throws -> JSONValue
        {
            let outcome = try lathe(
                ["convert", "--output", "json", "--reflink", reflink] + arguments + [source, disk.file(name)])
            #expect(outcome.status == 0, "\(outcome.testDescription)")
            return try outcome.json()
        }
    }

    private static func expectSame(_ one: String, _ other: String) throws {
        try Tool.run("cmp", [one, other])
    }

    private static let plainVariants = OutputVariant.all.filter { !$0.isCompressed }

    @Test(arguments: kinds, plainVariants)
    func aCopyTakesNoRoomAndIsTheSame(kind: LoopFileSystem.Kind, variant: OutputVariant) throws {
        let bench = try Bench(kind, extraBytes: 1_000_320 + 77)
        let before = try bench.disk.usedBytes()
        let report = try bench.convert(
            ["--verify", "-f", "raw"] + variant.arguments, "always", from: bench.source, to: "shared")
        let growth = try bench.disk.usedBytes() - before
        #expect(growth < 4 << 20, "\(growth) bytes more are in use")
        #expect(try #require(report["cloned-bytes"]?.number) > 61 << 20)

        let written = try bench.convert(["-f", "raw"] + variant.arguments, "never", from: bench.source, to: "written")
        #expect(written["cloned-bytes"]?.number == 0)
        try Self.expectSame(bench.disk.file("shared"), bench.disk.file("written"))
        for key in ["fingerprint", "object-crc64ecma", "content-bytes"] { #expect(report[key] == written[key]) }
        let extents = try Tool.run("filefrag", ["-v", bench.disk.file("shared")]).text
        #expect(extents.contains("shared"))
    }

    @Test(.requiresQEMU, arguments: kinds) func autoSharesAndNobodyNeedsToAsk(kind: LoopFileSystem.Kind) throws {
        let bench = try Bench(kind)
        let outcome = try lathe(
            "convert", "-f", "raw", "-O", "qcow2", bench.source, bench.disk.file("image"))
        #expect(outcome.text.contains(" MiB shared with the source)"))
        try Tool.run("qemu-img", ["compare", "-f", "raw", "-F", "qcow2", bench.source, bench.disk.file("image")])
    }

    @Test(arguments: kinds, plainVariants)
    func whatIsSharedComesBackFromEveryFormat(kind: LoopFileSystem.Kind, variant: OutputVariant) throws {
        let bench = try Bench(kind)
        _ = try bench.convert(["-f", "raw"] + variant.arguments, "always", from: bench.source, to: "image")
        let arguments = ["-f", variant.format.rawValue, "-O", "raw"]
        let report = try bench.convert(arguments, "always", from: bench.disk.file("image"), to: "back")
        #expect(report["cloned-bytes"]?.number == 62 << 20)
        try Self.expectSame(bench.source, bench.disk.file("back"))
        // A hole is a hole again, though the source stored its zeros.
        let allocated = try Tool.run("stat", ["-c", "%b", bench.disk.file("back")]).text
        #expect(Int(allocated.dropLast()) ?? 0 <= 62 << 11)
    }

    @Test(arguments: kinds) func aSourceThatIsNotYetOnItsDiskIsSharedWhole(kind: LoopFileSystem.Kind) throws {
        let bench = try Bench(kind)
        let fresh = bench.disk.file("fresh.raw")
        try Data(Content.full(length: Self.size, seed: 77)).write(to: URL(filePath: fresh))
        _ = try bench.convert(["-f", "raw", "-O", "raw"], "always", from: fresh, to: "copy")
        try Self.expectSame(fresh, bench.disk.file("copy"))
    }

    @Test(arguments: kinds) func writtenZerosAreWrittenBesideWhatIsShared(kind: LoopFileSystem.Kind) throws {
        let disk = try LoopFileSystem(kind)
        let source = disk.file("source.raw")
        let pieces = [(1, 1), (9, 3)].map { (start, count) in
            DiskShape.Piece(offset: start << 20) { Content.full(length: count << 20, seed: start) }
        }
        try DiskShape("pieces", 16 << 20, pieces).write(to: source)
        for policy in ["0", "4k", "64k"] {
            for reflink in ["auto", "never"] {
                let made = try lathe(
                    "convert", "-q", "-S", policy, "--reflink", reflink, "-f", "raw", "-O", "raw", source,
                    disk.file("\(reflink)-\(policy)"))
                #expect(made.status == 0, "\(made.testDescription)")
            }
            try Self.expectSame(disk.file("auto-\(policy)"), disk.file("never-\(policy)"))
        }
        let allocated = try Tool.run("stat", ["-c", "%b", disk.file("auto-0")]).text
        #expect(Int(allocated.dropLast()) ?? 0 >= 16 << 11)
    }

    @Test(arguments: kinds, ["raw", "qcow2"])
    func withoutChecksumsNoDataIsReadAndTheDiskIsTheSame(kind: LoopFileSystem.Kind, format: String) throws {
        let bench = try Bench(kind, extraBytes: 1_000_320)
        let image = bench.disk.file("image")
        let outcome = try lathe(
            "convert", "--checksum", "none", "--trust-holes", "--output", "json", "-f", "raw", "-O", format,
            bench.source, image)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        let report = try outcome.json()
        for key in ["fingerprint", "object-crc64ecma"] { #expect(report[key] == nil) }
        // The stored zeros are data too: that is what it means to trust holes.
        #expect(report["content-bytes"]?.number == UInt64(Self.size + 1_000_320))
        #expect(report["cloned-bytes"]?.number == UInt64((Self.size + 1_000_320) / 4096 * 4096))
        let digests = try [bench.source, image].map { path in
            try lathe("digest", "-f", path == image ? format : "raw", path).text.split(separator: " ").first
        }
        #expect(digests[0] == digests[1])
    }

    @Test(arguments: kinds) func alwaysSaysWhatCanNotBeShared(kind: LoopFileSystem.Kind) throws {
        let bench = try Bench(kind)
        let elsewhere = try TemporaryDirectory(in: "/var/tmp")
        func refusal(_ arguments: [String], to path: String) throws -> String {
            let outcome = try lathe(
                ["convert", "-f", "raw", "--reflink", "always"] + arguments + [bench.source, path])
            #expect(outcome.status == 1 && outcome.errors.contains("leave '--reflink always' out"))
            return outcome.errors
        }
        let other = try refusal(["-O", "raw"], to: elsewhere.file("image"))
        #expect(other.contains("different file systems"))
        let compressed = try refusal(["-O", "vmdk", "-c"], to: bench.disk.file("image"))
        #expect(compressed.contains("compressed"))
        #expect(try elsewhere.contents.isEmpty)
    }
}

/// `--reflink` where there are no reflinks.
@Suite struct ReflinkRefusalTests {
    @Test func standardOutputSharesNothing() throws {
        let directory = try TemporaryDirectory()
        let source = directory.file("source.raw")
        try Data(Content.full(length: 1 << 20, seed: 1)).write(to: URL(filePath: source))
        let outcome = try lathe("convert", "-f", "raw", "-O", "raw", "--reflink", "always", source, "-")
        #expect(outcome.status == 1 && outcome.errors.contains("standard output"))
        #expect(try lathe("convert", "-q", "-f", "raw", "-O", "raw", "--reflink", "maybe", source, "x").status == 64)
    }

    @Test func aMemoryFileSystemHasNoReflinks() throws {
        let directory = try TemporaryDirectory(in: "/dev/shm")
        let source = directory.file("source.raw")
        try Data(Content.full(length: 1 << 20, seed: 1)).write(to: URL(filePath: source))
        let outcome = try lathe(
            "convert", "-f", "raw", "-O", "raw", "--reflink", "always", source, directory.file("image"))
        #expect(outcome.status == 1 && outcome.errors.contains("has no reflinks"))
        let written = try lathe("convert", "-f", "raw", "-O", "raw", source, directory.file("image"))
        #expect(written.status == 0 && !written.text.contains("shared"))
    }
}
