import Foundation
import ImageFormats
import LatheTestSupport
import Testing

/// `convert --manifest` and `verify`, as their users run them.
@Suite struct VerifyTests {
    private let directory: TemporaryDirectory
    private let source: String

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("source.raw")
        let content = Content.full(length: 17_000_448, seed: 71) + [UInt8](repeating: 0, count: 3 << 20)
        try Data(content).write(to: URL(filePath: source))
    }

    private func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(filePath: path)) }

    /// Converts, and answers the paths of image and manifest.
    private func make(_ variant: OutputVariant, _ arguments: [String] = [], name: String = "image") throws -> (
        image: String, manifest: String
    ) {
        let image = directory.file("\(name).\(variant.name)")
        let outcome = try lathe(
            ["convert", "-q", "-f", "raw", "--manifest", image + ".json"] + arguments + variant.arguments + [
                source, image,
            ])
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        return (image, image + ".json")
    }

    private func flip(_ path: String, at offset: UInt64) throws {
        let file = try FileHandle(forUpdating: URL(filePath: path))
        defer { try? file.close() }
        try file.seek(toOffset: offset)
        let byte = try #require(file.read(upToCount: 1)?.first)
        try file.seek(toOffset: offset)
        try file.write(contentsOf: Data([byte ^ 0xff]))
    }

    @Test(.requiresJSONSchema, arguments: OutputVariant.all) func theManifestIsAsItsSchemaSaysAndTheSameEveryTime(
        variant: OutputVariant
    ) throws {
        let first = try make(variant, ["--checksum", "sha256,sha256-tree"])
        #expect(try JSONSchema.findings(first.manifest, against: "lathe.manifest-1.schema.json").isEmpty)
        let again = try make(variant, ["--checksum", "sha256-tree,sha256", "--threads", "1"], name: "other")
        #expect(try bytes(first.manifest) == bytes(again.manifest))
    }

    @Test func theSHA256sAreThoseOfOtherPrograms() throws {
        let made = try make(OutputVariant.named("qcow2"), ["--checksum", "sha256"])
        let manifest = try JSONDecoder().decode(JSONValue.self, from: bytes(made.manifest))
        for (key, path) in [("object", made.image), ("content", source)] {
            let peer = try Tool.run("sha256sum", [path]).text.prefix(64)
            #expect(manifest[key]?["sha256"]?.text == String(peer), "\(key)")
        }
    }

    @Test func theManifestOfAStreamIsThatOfTheFile() throws {
        let made = try make(OutputVariant.named("vmdk"), ["--checksum", "sha256,sha256-tree"])
        let streamed = directory.file("streamed.json")
        let outcome = try shell(
            "\"$1\" convert -q -f raw -O vmdk --checksum sha256,sha256-tree --manifest \"$3\" \"$2\" - | cat > /dev/null",
            source, streamed)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        #expect(try bytes(streamed) == bytes(made.manifest))
    }

    @Test func aManifestThatCantBeWrittenCostsNoConversion() throws {
        let image = directory.file("image.qcow2")
        for (manifest, words) in [
            (directory.file("none/there.json"), "No such file"), (source, "would be lost"),
            (image, "name a file of its own"),
        ] {
            let outcome = try lathe("convert", "-f", "raw", "-O", "qcow2", "--manifest", manifest, source, image)
            #expect(outcome.status == 1 && outcome.errors.contains(words), "\(outcome.testDescription)")
            #expect(!FileManager.default.fileExists(atPath: image))
        }
        #expect(try directory.contents == ["source.raw"])
    }

    @Test func anUnknownChecksumIsRefused() throws {
        let outcome = try lathe("convert", "-O", "qcow2", "--checksum", "md5", source, directory.file("image.qcow2"))
        #expect(outcome.status == 64 && outcome.errors.contains("sha256-tree"), "\(outcome.testDescription)")
    }

    @Test(.requiresJSONSchema, arguments: FaultTests.large) func anImageIsProvedDamagedLocatedAndRepaired(
        variant: OutputVariant
    ) throws {
        let made = try make(variant)
        let whole = try bytes(made.image)
        let arguments = ["verify", "-f", variant.format.rawValue, "--manifest", made.manifest]
        let proved = try lathe(arguments + ["--source", source, made.image])
        #expect(proved.status == 0 && proved.lines.first == "\(made.image): whole", "\(proved.testDescription)")

        try flip(made.image, at: 9 << 20)
        let located = try lathe(arguments + ["--output", "json", "--source", source, made.image])
        #expect(located.status == 2)
        let payload = directory.file("verify.json")
        try located.output.write(to: URL(filePath: payload))
        #expect(try JSONSchema.findings(payload, against: "lathe.verify-1.schema.json").isEmpty)
        let image = try located.json()["images"]?.elements.first
        let part = try #require(image?["damaged-parts"]?.elements.first)
        #expect(part["index"]?.number == 1 && part["file"]?["start"]?.number == 8 << 20)
        #expect(image?["damaged-parts"]?.elements.count == 1)

        let repaired = try lathe(arguments + ["--output", "json", "--repair-from", source, made.image])
        #expect(repaired.status == 0, "\(repaired.testDescription)")
        try repaired.output.write(to: URL(filePath: payload))
        #expect(try JSONSchema.findings(payload, against: "lathe.verify-1.schema.json").isEmpty)
        let isWhole = try bytes(made.image) == whole
        #expect(isWhole)
    }

    @Test func aRepairTouchesNothingButWhatIsDamaged() throws {
        let made = try make(OutputVariant.named("qcow2"))
        let copy = directory.file("copy")
        try FileManager.default.copyItem(atPath: made.image, toPath: copy)
        try flip(made.image, at: 100)
        try flip(copy, at: 10 << 20)
        let before = try FileManager.default.attributesOfItem(atPath: made.image)
        let outcome = try lathe("verify", "--manifest", made.manifest, "--repair-from", copy, made.image)
        #expect(
            outcome.status == 0 && outcome.text.contains("repaired part 0 from \(copy)"), "\(outcome.testDescription)")
        let after = try FileManager.default.attributesOfItem(atPath: made.image)
        #expect(before[.systemFileNumber] as? Int == after[.systemFileNumber] as? Int)
        #expect(before[.size] as? Int == after[.size] as? Int)
    }

    @Test func whatCantBeRepairedStaysAsItIsAndSaysWhy() throws {
        let made = try make(OutputVariant.named("vdi"))
        try flip(made.image, at: 9 << 20)
        let damaged = try bytes(made.image)
        let other = directory.file("other.raw")
        try Data([UInt8](repeating: 1, count: 20_146_176)).write(to: URL(filePath: other))
        let outcome = try lathe("verify", "--manifest", made.manifest, "--repair-from", other, made.image)
        #expect(
            outcome.status == 2 && outcome.text.contains("part 1 could not be repaired"), "\(outcome.testDescription)")
        #expect(outcome.text.contains("its content is another"))
        let itself = try lathe("verify", "--manifest", made.manifest, "--repair-from", made.image, made.image)
        #expect(itself.status == 1 && itself.errors.contains("from itself"), "\(itself.testDescription)")
        let isUntouched = try bytes(made.image) == damaged
        #expect(isUntouched)
    }

    @Test func aWrongManifestDoesNotCostTheImage() throws {
        let made = try make(OutputVariant.named("qcow2"))
        let foreign = directory.file("foreign")
        try Data([UInt8](repeating: 9, count: 50 << 20)).write(to: URL(filePath: foreign))
        let outcome = try lathe(
            "verify", "-f", "qcow2", "--manifest", made.manifest, "--repair-from", source, foreign)
        #expect(outcome.status != 0, "\(outcome.testDescription)")
        let size = try FileManager.default.attributesOfItem(atPath: foreign)[.size] as? Int
        #expect(size == 50 << 20 && outcome.errors.contains("nothing in common"), "\(outcome.testDescription)")
    }

    @Test func theVerdictOverManyImagesIsThatOfTheWorst() throws {
        let named = try ["qcow2", "vhd", "vmdk", "vdi"].map { try make(OutputVariant.named($0)).image }
        let whole = try lathe(["verify", "--source", source] + named)
        #expect(whole.status == 0 && whole.lines.filter { $0.hasSuffix(": whole") }.count == named.count)
        let absent = try lathe(["verify", "--source", source] + named + [directory.file("absent.vdi")])
        #expect(absent.status == 1 && absent.lines.filter { $0.hasSuffix(": whole") }.count == named.count)
        #expect(absent.errors.contains("absent.vdi"))
        try flip(named[1], at: 5 << 20)
        let damaged = try lathe(["verify", "--source", source] + named + [directory.file("absent.vdi")])
        #expect(damaged.status == 2 && damaged.text.contains("differs at guest bytes"), "\(damaged.testDescription)")
    }

    @Test func withoutProofARawImageCantBeTold() throws {
        let outcome = try lathe("verify", "-f", "raw", source)
        #expect(outcome.status == 1 && outcome.text.contains("can't tell") && outcome.text.contains("--manifest"))
        #expect(try lathe("verify", "-f", "raw", "--source", source, source).status == 0)
    }

    @Test func whatTheCommandLineLacksIsSaid() throws {
        #expect(try lathe("verify").status == 64)
        let two = try lathe("verify", "--manifest", "one.json", "a", "b")
        #expect(two.status == 64 && two.errors.contains("2 images and 1 manifests"))
        let noManifest = try lathe("verify", "--repair-from", "raw", "a")
        #expect(noManifest.status == 64 && noManifest.errors.contains("--manifest"))
        let image = try make(OutputVariant.named("qcow2")).image
        let broken = try lathe("verify", "--manifest", source, image)
        #expect(broken.status == 1 && broken.errors.contains("can't be one"), "\(broken.testDescription)")
    }
}
