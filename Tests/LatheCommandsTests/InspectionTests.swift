import Foundation
import ImageFormats
import LatheTestSupport
import Testing

/// `info`, `map`, `check`, `compare` and `digest`.
@Suite struct InspectionTests {
    private let directory: TemporaryDirectory
    private let source: String
    private static let size = 5_000_704

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("source.raw")
        let content = Content.mixed(length: 3_000_000, seed: 101)
        try Data(content + [UInt8](repeating: 0, count: Self.size - content.count)).write(to: URL(filePath: source))
    }

    private func image(_ variant: OutputVariant) throws -> String {
        let path = directory.file("image.\(variant.format.rawValue)")
        #expect(try lathe(["convert", "-q", "-f", "raw"] + variant.arguments + [source, path]).status == 0)
        return path
    }

    // MARK: info

    @Test(.requiresQEMU, arguments: OutputVariant.ofQEMU) func infoHasTheKeysAndValuesOfQEMU(variant: OutputVariant)
        throws
    {
        let image = try image(variant)
        // Blocks that are not allocated yet may change the actual size between the two questions.
        try FileHandle(forUpdating: URL(filePath: image)).synchronize()
        let ours = try lathe("info", "-f", variant.format.rawValue, "--output", "json", image).json()
        let theirs = try QEMU.make(["info", "-f", variant.peerName ?? "", "--output", "json", image]).json()
        // vpc is what QEMU calls vhd, and a fixed one has no unit for us; some fields of later versions are QEMU's own.
        for key in theirs.keys.subtracting(["children", "format", "format-specific", "cluster-size"]) {
            #expect(ours[key] == theirs[key], "\(key)")
        }
        #expect(ours["format"]?.text == variant.format.rawValue)
        if variant.format == .qcow2 { #expect(ours["format-specific"] == theirs["format-specific"]) }
        if let unit = theirs["cluster-size"], variant.name != "vhd-fixed" { #expect(ours["cluster-size"] == unit) }
        if variant.format == .vmdk {
            for key in ["cid", "parent-cid", "create-type"] {
                #expect(ours["format-specific"]?["data"]?[key] == theirs["format-specific"]?["data"]?[key], "\(key)")
            }
        }
    }

    @Test func infoForPeopleNamesTheDisk() throws {
        let lines = try lathe("info", image(.all[3])).lines
        #expect(
            lines.prefix(3) == [
                "image: \(directory.file("image.qcow2"))", "file format: qcow2",
                "virtual size: 4.77 MiB (5000704 bytes)",
            ])
        #expect(lines.contains("cluster_size: 65536"))
        #expect(lines.contains("Format specific information:"))
    }

    // MARK: map

    @Test(arguments: OutputVariant.all) func theMapCoversTheDiskWithoutGapOrOverlap(variant: OutputVariant) throws {
        let outcome = try lathe("map", "-f", variant.format.rawValue, "--output", "json", image(variant))
        #expect(outcome.status == 0)
        var position: UInt64 = 0
        for entry in try outcome.json().elements {
            let required: Set = ["start", "length", "depth", "present", "zero", "data", "compressed"]
            #expect(entry.keys.subtracting(["offset"]) == required)
            #expect(entry["start"]?.number == position)
            position += entry["length"]?.number ?? 0
            #expect(entry["data"]?.flag != entry["zero"]?.flag)
        }
        #expect(position == UInt64(Self.size + 511) / 512 * 512)
    }

    /// Where QEMU sees data, it stands at the same offset; where we see data, QEMU does not see zeros.
    @Test(.requiresQEMU, arguments: OutputVariant.ofQEMU) func theMapAgreesWithThatOfQEMU(variant: OutputVariant) throws
    {
        let image = try image(variant)
        let ours = try lathe("map", "-f", variant.format.rawValue, "--output", "json", image).json().elements
        let theirs = try QEMU.make(["map", "-f", variant.peerName ?? "", "--output", "json", image]).json().elements
        for entry in ours where entry["data"]?.flag == true {
            let start = try #require(entry["start"]?.number)
            let holder = theirs.last { ($0["start"]?.number ?? .max) <= start }
            #expect(holder?["data"]?.flag == true, "at \(start)")
            guard let offset = entry["offset"]?.number, let base = holder?["offset"]?.number else { continue }
            #expect(offset - base == start - (holder?["start"]?.number ?? 0), "at \(start)")
        }
    }

    @Test func aMapForPeopleListsWhatHoldsData() throws {
        let lines = try lathe("map", image(.all[3])).lines
        #expect(lines.first?.split(separator: " ").joined(separator: " ") == "Offset Length Mapped to File")
        #expect(lines.count > 1 && lines.dropFirst().allSatisfy { $0.hasPrefix("0x") && $0.hasSuffix("image.qcow2") })
    }

    @Test func aMapOfNothingIsAnEmptyList() throws {
        let empty = directory.file("empty")
        try Data().write(to: URL(filePath: empty))
        #expect(try lathe("map", "--output", "json", empty).text == "[]\n")
    }

    // MARK: check

    @Test(.requiresQEMU, arguments: [ImageFormat.qcow2, .vmdk, .vdi])
    func checkHasTheKeysAndValuesOfQEMU(format: ImageFormat) throws {
        let image = try image(#require(OutputVariant.all.first { $0.format == format }))
        let ours = try lathe("check", "--output", "json", image).json()
        let theirs = try QEMU.make(["check", "--output", "json", image]).json()
        for key in theirs.keys { #expect(ours[key] == theirs[key], "\(key)") }
        #expect(ours.keys.isSuperset(of: ["corruptions", "leaks", "warnings", "findings"]))
    }

    /// Overwrites bytes of an image.
    private func damage(_ path: String, at offset: UInt64, _ bytes: [UInt8]) throws {
        let file = try FileHandle(forUpdating: URL(filePath: path))
        try file.seek(toOffset: offset)
        try file.write(contentsOf: bytes)
        try file.close()
    }

    @Test(.requiresQEMU) func corruptionIsExit2AsWithQEMU() throws {
        let image = try image(.all[3])
        let l1Offset = try Data(contentsOf: URL(filePath: image))[40..<48].reduce(0) { $0 << 8 | UInt64($1) }
        // The first L2 table, moved beyond the file.
        try damage(image, at: l1Offset, [0x80, 0, 0, 0x7F, 0, 0, 0, 0])
        let ours = try lathe("check", "--output", "json", image)
        #expect(ours.status == 2, "\(ours.testDescription)")
        #expect(try QEMU.run("check", image).status == 2)
        let report = try ours.json()
        #expect((report["corruptions"]?.number ?? 0) > 0)
        #expect(report["findings"]?.elements.first?["kind"]?.text == "corruption")
        #expect(report["findings"]?.elements.first?["message"]?.text?.isEmpty == false)
        #expect(try lathe("check", image).text.contains("corruptions were found"))
    }

    @Test(.requiresQEMU) func leaksAreExit3AsWithQEMU() throws {
        let image = directory.file("leaky.qcow2")
        try QEMU.make(["create", "-q", "-f", "qcow2", image, "1M"])
        // The refcount block stands in the third cluster; the tenth cluster gets a reference that nothing holds.
        let file = try FileHandle(forUpdating: URL(filePath: image))
        try file.truncate(atOffset: 10 * 65536)
        try file.close()
        try damage(image, at: 2 * 65536 + 2 * 9, [0, 1])
        let ours = try lathe("check", "--output", "json", image)
        let theirs = try QEMU.run("check", "--output", "json", image)
        #expect(theirs.status == 3, "\(theirs.testDescription)")
        #expect(ours.status == 3, "\(ours.testDescription)")
        #expect(try ours.json()["leaks"] == theirs.json()["leaks"])
    }

    @Test func whatCanNotBeCheckedIsExit1() throws {
        let descriptor = directory.file("disk.vmdk")
        // Right as far as it goes, but the tables are in a file that is not opened.
        let text = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"x\"\nRW 8 SPARSE \"s\"\n"
        try Data(text.utf8).write(to: URL(filePath: descriptor))
        let outcome = try lathe("check", "--output", "json", descriptor)
        #expect(outcome.status == 1)
        #expect(try outcome.json()["check-errors"]?.number == 1)
        #expect(outcome.errors.hasPrefix("lathe: \(descriptor): "))
    }

    // MARK: compare

    @Test(.requiresQEMU) func compareFindsTheFirstDifferenceAsQEMUDoes() throws {
        let other = directory.file("other.raw")
        for place: UInt64 in [0, 4096, 1_000_448, 4_999_680] {
            try? FileManager.default.removeItem(atPath: other)
            try FileManager.default.copyItem(atPath: source, toPath: other)
            let old = try Data(contentsOf: URL(filePath: other))[Int(place)]
            try damage(other, at: place, [old ^ 0x10])
            let ours = try lathe("compare", "-f", "raw", "-F", "raw", "--output", "json", source, other)
            #expect(ours.status == 1)
            #expect(try ours.json()["first-difference"]?.number == place)
            #expect(try ours.json()["identical"]?.flag == false)
            let text = try lathe("compare", "-f", "raw", "-F", "raw", source, other).text
            #expect(try text == QEMU.run("compare", "-f", "raw", "-F", "raw", source, other).text)
        }
    }

    @Test(.requiresQEMU) func compareOfTwoSizesSaysWhatQEMUSays() throws {
        let longer = directory.file("longer.raw")
        try FileManager.default.copyItem(atPath: source, toPath: longer)
        let file = try FileHandle(forUpdating: URL(filePath: longer))
        try file.truncate(atOffset: UInt64(Self.size + (1 << 20)))
        try file.close()
        func expectAlike(_ status: Int32, _ arguments: String...) throws {
            let ours = try lathe(["compare"] + arguments)
            let theirs = try RunningProcess("qemu-img", ["compare"] + arguments).outcome()
            #expect(ours.status == status, "\(ours.testDescription)")
            #expect(theirs.status == status, "\(theirs.testDescription)")
            #expect(ours.lines.sorted() == theirs.lines.sorted())
        }
        try expectAlike(0, "-f", "raw", "-F", "raw", source, longer)
        try expectAlike(1, "-s", "-f", "raw", "-F", "raw", source, longer)
        try damage(longer, at: UInt64(Self.size) + 512, [1])
        try expectAlike(1, "-f", "raw", "-F", "raw", source, longer)
        try expectAlike(1, "-f", "raw", "-F", "raw", longer, source)
        try expectAlike(2, "-f", "raw", "-F", "qcow2", source, longer)
    }

    @Test func aQuietCompareAnswersByItsExitCodeOnly() throws {
        let same = try lathe("compare", "-q", "-f", "raw", source, image(.all[6]))
        #expect(same.status == 0)
        #expect(same.output.isEmpty && same.errors.isEmpty)
    }

    // MARK: digest

    @Test(arguments: OutputVariant.all) func theDigestIsThatOfTheDisk(variant: OutputVariant) throws {
        let image = try image(variant)
        let expected = try Tool.run("sha256sum", [source]).text.split(separator: " ").first
        let ours = try lathe("digest", "--algorithm", "sha256", "-f", variant.format.rawValue, image)
        #expect(ours.text == "\(expected ?? "")  \(image)\n")
        let report = try lathe(
            "digest", "--algorithm", "sha256", "-f", variant.format.rawValue, "--output", "json", image
        ).json()
        #expect(report.keys == ["filename", "format", "virtual-size", "algorithm", "digest"])
        #expect(report["digest"]?.text == expected.map(String.init))
        #expect(report["algorithm"]?.text == "sha256")
        #expect(report["virtual-size"]?.number == UInt64(Self.size))
    }
}
