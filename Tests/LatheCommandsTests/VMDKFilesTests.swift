import Foundation
import LatheTestSupport
import Testing

/// VMDKs of several files, as `convert` writes them.
@Suite struct VMDKFilesTests {
    private let directory: TemporaryDirectory
    private let source: String
    static let subformats = ["monolithicFlat", "twoGbMaxExtentFlat", "twoGbMaxExtentSparse"]

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("source.raw")
        try VMDKPeerTests.writeBorders(to: source)
    }

    private func convert(_ subformat: String, _ arguments: String..., to name: String = "disk.vmdk") throws -> Outcome {
        try lathe(
            ["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=\(subformat)"] + arguments
                + [source, directory.file(name)])
    }

    private var images: [String] { get throws { try directory.contents.filter { $0.hasPrefix("disk") } } }

    @Test(.requiresQEMU, arguments: subformats) func whatIsWrittenIsTheSameToQEMU(subformat: String) throws {
        let made = try convert(subformat, "--verify", "--manifest", directory.file("m.json"), "--output", "json")
        #expect(made.status == 0, "\(made.testDescription)")
        let files = try made.json()["files"]?.elements.compactMap(\.text) ?? []
        #expect(try images == files.sorted())
        let image = directory.file("disk.vmdk")
        let compared = try QEMU.run("compare", "-f", "raw", "-F", "vmdk", source, image)
        #expect(compared.status == 0, "\(compared.testDescription)")
        let info = try QEMU.make(["info", "--output", "json", image]).json()
        #expect(info["virtual-size"]?.number == (5 << 30) + 512)
        #expect(info["format-specific"]?["data"]?["create-type"]?.text == subformat)
        #expect(try QEMU.run("check", image).status == 0)
        let verified = try lathe("verify", "--manifest", directory.file("m.json"), image)
        #expect(verified.status == 0, "\(verified.testDescription)")
        let bySource = try lathe("verify", "--allow-backing", directory.path, "--source", source, image)
        #expect(bySource.status == 0, "\(bySource.testDescription)")
        // Holes stay holes.
        for file in files {
            try Tool.run("bash", ["-c", "test $(du -k '\(directory.file(file))' | cut -f1) -lt 2000"])
        }
    }

    @Test func damageOfAnExtentIsFoundAndLocated() throws {
        #expect(
            try convert("twoGbMaxExtentSparse", "-q", "--manifest", directory.file("m.json"), "--checksum", "sha256")
                .status == 0)
        let manifest = try Data(contentsOf: URL(filePath: directory.file("m.json")))
        #expect(String(decoding: manifest, as: UTF8.self).contains("\"name\" : \"disk-s003.vmdk\""))
        let file = try FileHandle(forUpdating: URL(filePath: directory.file("disk-s002.vmdk")))
        try file.seek(toOffset: 400_000)
        try file.write(contentsOf: Data([1, 2, 3]))
        try file.close()
        let found = try lathe("verify", "--manifest", directory.file("m.json"), directory.file("disk.vmdk"))
        #expect(found.status == 2 && found.text.contains("disk-s002.vmdk is damaged"), "\(found.testDescription)")
        try FileManager.default.removeItem(atPath: directory.file("disk-s003.vmdk"))
        let missing = try lathe("verify", "--manifest", directory.file("m.json"), directory.file("disk.vmdk"))
        #expect(missing.status != 0, "\(missing.testDescription)")
    }

    /// Repaired in turn by the disk, by another copy, and by one in a store.
    @Test(.requiresJSONSchema, arguments: subformats) func damagedAndMissingFilesAreRepaired(subformat: String) throws {
        let manifest = directory.file("m.json")
        #expect(try convert(subformat, "-q", "--manifest", manifest).status == 0)
        let files = try images
        let folder = directory.file("copy")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        for file in files { try Tool.run("cp", ["--sparse=always", directory.file(file), folder]) }
        let exported = try lathe(
            "export", "-f", "raw", "--image-format", "vmdk", "-o", "subformat=\(subformat)", "--bucket", "images",
            "--endpoint", directory.file("store"), "--object", "vm/disk.vmdk", "-q", source)
        #expect(exported.status == 0, "\(exported.testDescription)")
        let arguments = ["verify", "--endpoint", directory.file("store"), "--manifest", manifest, "--output", "json"]
        for donor in [source, "\(folder)/disk.vmdk", "oss://images/vm/disk.vmdk"] {
            for damaged in [files[0], try #require(files.last)] {
                let file = try FileHandle(forUpdating: URL(filePath: directory.file(damaged)))
                try file.seek(toOffset: damaged == "disk.vmdk" ? 100 : 400_000)
                try file.write(contentsOf: Data([1, 2, 3]))
                try file.close()
            }
            if files.count > 2 { try FileManager.default.removeItem(atPath: directory.file(files[1])) }
            let found = try lathe(arguments + [directory.file("disk.vmdk")])
            #expect(found.status == 2, "\(found.testDescription)")
            try found.output.write(to: URL(filePath: directory.file("found.json")))
            #expect(
                try JSONSchema.findings(directory.file("found.json"), against: "lathe.verify-1.schema.json").isEmpty)
            let parts = try found.json()["images"]?.elements.first?["damaged-parts"]?.elements ?? []
            #expect(
                Set(parts.compactMap { $0["file-name"]?.text })
                    == Set(files.count > 2 ? [files[0], files[1], files[3]] : files))
            let repaired = try lathe(arguments + ["--repair-from", donor, directory.file("disk.vmdk")])
            #expect(repaired.status == 0, "\(repaired.testDescription)")
            for file in files { try Tool.run("cmp", [directory.file(file), "\(folder)/\(file)"]) }
            // What was made anew is as sparse as it was.
            try Tool.run("bash", ["-c", "test $(du -k '\(directory.file(files[1]))' | cut -f1) -lt 2000"])
        }
        let content = try Data(contentsOf: URL(filePath: source))
        let link = directory.file(try #require(files.first { $0 != "disk.vmdk" }))
        try FileManager.default.removeItem(atPath: link)
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: source)
        let linked = try lathe(arguments + ["--repair-from", "\(folder)/disk.vmdk", directory.file("disk.vmdk")])
        // Read, it is what it leads to, which may be right; it is never written through.
        if subformat != "monolithicFlat" {
            #expect(linked.status != 0 && linked.text.contains("symbolic link"), "\(linked.testDescription)")
        }
        #expect(try Data(contentsOf: URL(filePath: source)) == content)
    }

    @Test func anyFileThatIsThereKeepsAllAway() throws {
        try Data("mine".utf8).write(to: URL(filePath: directory.file("disk-f002.vmdk")))
        let refused = try convert("twoGbMaxExtentFlat")
        #expect(refused.status == 1 && refused.errors.contains("--overwrite"), "\(refused.testDescription)")
        #expect(try images == ["disk-f002.vmdk"])
        #expect(try convert("twoGbMaxExtentFlat", "--overwrite", "-q").status == 0)
        #expect(try images == ["disk-f001.vmdk", "disk-f002.vmdk", "disk-f003.vmdk", "disk.vmdk"])
    }

    @Test func aPipeTakesOneFile() throws {
        let outcome = try lathe("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=monolithicFlat", source, "-")
        #expect(outcome.status == 1, "\(outcome.testDescription)")
        #expect(outcome.errors.contains("is 2 files"), "\(outcome.testDescription)")
    }

    /// An object for each file, the same as on a disk; each way to verify finds them whole, and a damaged one.
    @Test(.requiresQEMU, arguments: subformats) func aStoreTakesEachFileAsAnObject(subformat: String) throws {
        let store = directory.file("store")
        let exported = try lathe(
            "export", "-f", "raw", "--image-format", "vmdk", "-o", "subformat=\(subformat)", "--bucket", "images",
            "--endpoint", store, "--object", "vm/disk.vmdk", "--output", "json", source)
        #expect(exported.status == 0, "\(exported.testDescription)")
        let files = try exported.json()["files"]?.elements.compactMap(\.text) ?? []
        #expect(try convert(subformat, "-q", "--manifest", directory.file("m.json")).status == 0)
        #expect(try images == files.sorted())
        let objects = "\(store)/images/vm"
        for file in files { try Tool.run("cmp", ["\(objects)/\(file)", directory.file(file)]) }
        try Tool.run("cmp", ["\(objects)/disk.vmdk.manifest.json", directory.file("m.json")])
        let folder = directory.file("fetched")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        let fetched = "\(folder)/any.vmdk"
        for depth in [[], ["--deep"], ["--download", fetched]] {
            let outcome = try lathe(["verify", "--endpoint", store] + depth + ["oss://images/vm/disk.vmdk"])
            #expect(outcome.status == 0, "\(outcome.testDescription)")
        }
        #expect(try QEMU.run("compare", "-f", "raw", "-F", "vmdk", source, fetched).status == 0)

        let file = try FileHandle(forUpdating: URL(filePath: "\(objects)/\(files[1])"))
        try file.seek(toOffset: 400_000)
        try file.write(contentsOf: Data([1, 2, 3]))
        try file.close()
        for depth in [["--deep"], ["--download", "\(folder)/damaged.vmdk", "--overwrite"]] {
            let outcome = try lathe(["verify", "--endpoint", store] + depth + ["oss://images/vm/disk.vmdk"])
            #expect(outcome.status != 0, "\(outcome.testDescription)")
        }
        #expect(!FileManager.default.fileExists(atPath: "\(folder)/damaged.vmdk"))
        try FileManager.default.removeItem(atPath: "\(objects)/\(files[1])")
        let missing = try lathe("verify", "--endpoint", store, "oss://images/vm/disk.vmdk")
        #expect(missing.status == 2 && missing.text.contains("\(files[1]) is not there"), "\(missing.testDescription)")
    }

    @Test(arguments: subformats) func anImageInAStoreIsReadWithItsFiles(subformat: String) throws {
        let store = directory.file("store")
        let exported = try lathe(
            "export", "-f", "raw", "--image-format", "vmdk", "-o", "subformat=\(subformat)", "--bucket", "images",
            "--endpoint", store, "--object", "vm/disk.vmdk", "-q", source)
        #expect(exported.status == 0, "\(exported.testDescription)")
        let image = "oss://images/vm/disk.vmdk"
        // A flat extent is read whole: its store knows no holes.
        let folders = ["oss://images/vm", "oss://images/vm/", "oss://images"]
        for folder in subformat == "twoGbMaxExtentSparse" ? folders : Array(folders.prefix(1)) {
            let compared = try lathe("compare", "--endpoint", store, "--allow-backing", folder, source, image)
            #expect(compared.status == 0, "\(compared.testDescription)")
        }
        let map = try lathe("map", "--endpoint", store, "--allow-backing", "oss://images/vm", "--output", "json", image)
        let file = try map.json().elements.first?["filename"]?.text
        #expect(file?.hasPrefix("\(store)/images/vm/disk-") == true, "\(map.testDescription)")
        guard subformat == "twoGbMaxExtentSparse" else { return }
        let back = directory.file("back.raw")
        let converted = try lathe(
            "convert", "--endpoint", store, "--allow-backing", "oss://images/vm", "-O", "raw", image, back)
        #expect(converted.status == 0, "\(converted.testDescription)")
        #expect(try lathe("compare", "-q", source, back).status == 0)
        let verified = try lathe("verify", "--endpoint", store, "--deep", "--allow-backing", "oss://images/vm", image)
        #expect(verified.status == 0, "\(verified.testDescription)")
        let elsewhere = directory.file("elsewhere")
        try FileManager.default.createDirectory(atPath: elsewhere, withIntermediateDirectories: false)
        for (allowed, said) in [
            ([], "opens no file that an image names"), (["--allow-backing", "oss://images/vmx"], "not beneath"),
            (["--allow-backing", elsewhere], elsewhere), (["--allow-backing", "oss://"], "names no folder"),
            (["--allow-backing", "oss:///vm"], "names no folder"),
        ] {
            let refused = try lathe(["compare", "--endpoint", store] + allowed + [source, image])
            #expect(refused.status == 2 && refused.errors.contains(said), "\(refused.testDescription)")
        }
    }

    @Test func anImageCanNotBeWrittenOverTheFilesThatItIsReadFrom() throws {
        #expect(try convert("monolithicFlat", "-q").status == 0)
        let outcome = try lathe(
            "convert", "--overwrite", "--allow-backing", directory.path, "-O", "vmdk", "-o", "subformat=monolithicFlat",
            directory.file("disk.vmdk"), directory.file("disk.vmdk"))
        #expect(outcome.status == 1 && outcome.errors.contains("would be lost"), "\(outcome.testDescription)")
    }
}
