import Foundation
import LatheTestSupport
import Testing

/// What a command writes never takes the place of anything that it reads, or of another thing that it writes.
@Suite struct SideFileTests {
    private let directory: TemporaryDirectory
    private let source: String
    private let content = Data(Content.mixed(length: 300_032, seed: 43))

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("source.raw")
        try content.write(to: URL(filePath: source))
    }

    /// Wants a refusal that holds the texts, the files as they were, and no new ones.
    private func expectKept(
        _ arguments: [String], _ texts: String..., environment: [String: String] = [:],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let before = try files()
        let outcome = try lathe(arguments, environment: environment)
        #expect(outcome.status == 1, "\(outcome.testDescription)", sourceLocation: sourceLocation)
        for text in texts {
            #expect(outcome.errors.contains(text), "\(outcome.testDescription)", sourceLocation: sourceLocation)
        }
        #expect(try files() == before, sourceLocation: sourceLocation)
    }

    /// All files beneath the directory, with what is in them.
    private func files() throws -> [String: Data] {
        var found: [String: Data] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: directory.path) {
            let path = directory.file(name)
            let kind = try FileManager.default.attributesOfItem(atPath: path)[.type] as? FileAttributeType
            if kind == .typeRegular { found[name] = try Data(contentsOf: URL(filePath: path)) }
        }
        return found
    }

    private func link(_ name: String, to path: String) throws -> String {
        try FileManager.default.linkItem(atPath: path, toPath: directory.file(name))
        return directory.file(name)
    }

    @Test func aManifestDoesNotTakeThePlaceOfTheSource() throws {
        let linked = try link("linked.json", to: source)
        for manifest in [source, linked] {
            try expectKept(
                [
                    "convert", "--overwrite", "--manifest", manifest, "-f", "raw", "-O", "qcow2", source,
                    directory.file("out"),
                ],
                manifest, "the source itself")
        }
    }

    @Test(.requiresQEMU) func aManifestDoesNotTakeThePlaceOfABackingFile() throws {
        let overlay = directory.file("overlay.qcow2")
        try QEMU.make(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "source.raw", overlay])
        try expectKept(
            [
                "convert", "--overwrite", "--allow-backing", directory.path, "--manifest", source, "-O", "raw", overlay,
                directory.file("out"),
            ], "a file that the source consists of")
        try expectKept(
            ["convert", "--overwrite", "--allow-backing", directory.path, "-O", "qcow2", overlay, source],
            "a file that the source consists of")
    }

    @Test func anEarlierManifestIsReplacedWithOverwriteAndNothingElseIs() throws {
        let manifest = directory.file("manifest.json")
        let convert = ["convert", "-q", "-f", "raw", "-O", "qcow2", "--manifest", manifest]
        let arguments = convert + [source, directory.file("out")]
        #expect(try lathe(arguments).status == 0)
        try expectKept(arguments, "exists")
        let again = try lathe(["convert", "--overwrite"] + arguments.dropFirst())
        #expect(again.status == 0, "\(again.testDescription)")

        for other in [Data("notes".utf8), Data("{\"schema\": \"lathe.checkpoint/1\"}".utf8), content] {
            try other.write(to: URL(filePath: manifest))
            try expectKept(["convert", "--overwrite"] + arguments.dropFirst(), manifest, "is not a manifest")
        }
        try Data().write(to: URL(filePath: manifest))
        #expect(try lathe(["convert", "--overwrite"] + arguments.dropFirst()).status == 0)
    }

    @Test func anImageAndItsManifestAreTwoFiles() throws {
        let folder = directory.file("folder")
        try FileManager.default.createSymbolicLink(atPath: folder, withDestinationPath: directory.path)
        for manifest in ["\(directory.path)/./out", "\(folder)/out"] {
            try expectKept(
                [
                    "convert", "--overwrite", "--manifest", manifest, "-f", "raw", "-O", "qcow2", source,
                    directory.file("out"),
                ],
                "the manifest can't go where the destination goes")
        }
        let extent = directory.file("out-flat.vmdk")
        try expectKept(
            [
                "convert", "--manifest", extent, "-f", "raw", "-O", "vmdk", "-o", "subformat=monolithicFlat", source,
                directory.file("out.vmdk"),
            ], "the manifest can't go where an extent of the result goes")
    }

    @Test(arguments: ["1<>", "1>>", "2>>"]) func whatIsPrintedIsNotWrittenIntoTheImage(redirection: String) throws {
        for verb in ["convert -f raw -O raw \"$2\" -", "map -f raw \"$2\"", "digest -p -f raw - < \"$2\""] {
            let outcome = try shell("\"$1\" \(verb) \(redirection) \"$2\"", source)
            #expect(outcome.status == 1, "\(outcome.testDescription)")
            if redirection != "2>>" {
                #expect(outcome.errors.contains("the source itself"), "\(outcome.testDescription)")
            }
            #expect(try Data(contentsOf: URL(filePath: source)) == content)
        }
    }

    @Test func aDownloadTakesThePlaceOfNothingThatIsRead() throws {
        let store = directory.file("store")
        let export = ["export", "-q", "--endpoint", store, "--bucket", "images", "--object", "disk.raw", "-f", "raw"]
        #expect(try lathe(export + [source]).status == 0)
        let manifest = directory.file("manifest.json")
        try FileManager.default.copyItem(atPath: "\(store)/images/disk.raw.manifest.json", toPath: manifest)
        let verify = ["verify", "--endpoint", store, "--overwrite"]
        let object = "oss://images/disk.raw"
        let home = directory.file("home")
        try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: false)
        try Data("[Credentials]\n".utf8).write(to: URL(filePath: "\(home)/.ossutilconfig"))

        try expectKept(verify + ["--manifest", manifest, "--download", manifest, object], manifest, "would be lost")
        try expectKept(verify + ["--source", source, "--download", source, object], source, "would be lost")
        try expectKept(verify + ["--download", "\(store)/images/disk.raw", object], "an object that is read")
        try expectKept(
            verify + ["--download", "\(home)/.ossutilconfig", object], "keys", environment: ["HOME": home])
    }

    @Test func anExportTakesThePlaceOfNothingThatIsRead() throws {
        let store = directory.file("store")
        let folder = "\(store)/images"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let disk = "\(folder)/disk.raw"
        try content.write(to: URL(filePath: disk))
        let export = ["export", "--overwrite", "--endpoint", store, "--bucket", "images", "-f", "raw"]
        // What the store keeps of its own is there from now on.
        #expect(try lathe(export + ["-q", "--object", "other", disk]).status == 0)
        try expectKept(export + ["--object", "disk.raw", disk], "the source itself")
        let named = try link("store/images/x.manifest.json", to: source)
        try expectKept(export + ["--object", "x", source], named, "the source itself")

        let checkpoint = directory.file("checkpoint")
        let lock = try link("checkpoint.lock", to: source)
        try expectKept(export + ["--object", "y", "--checkpoint", checkpoint, source], lock, "the source itself")
        try expectKept(export + ["--object", "y", "--checkpoint", source, source], source, "the source itself")
    }

    @Test func aLockIsNotTakenOnSomebodysFile() throws {
        let checkpoint = directory.file("checkpoint")
        try Data("mine".utf8).write(to: URL(filePath: checkpoint + ".lock"))
        let store = directory.file("store")
        let outcome = try lathe(
            "export", "--endpoint", store, "--bucket", "images", "--checkpoint", checkpoint, "-f", "raw", source)
        #expect(outcome.status == 1 && outcome.errors.contains("checkpoint.lock"), "\(outcome.testDescription)")
        #expect(try Data(contentsOf: URL(filePath: checkpoint + ".lock")) == Data("mine".utf8))
    }

    @Test func aRepairedCopyDoesNotTakeThePlaceOfItsImage() throws {
        let image = directory.file("image.qcow2")
        #expect(try lathe("convert", "-q", "-f", "raw", "-O", "qcow2", source, image).status == 0)
        try expectKept(["check", "--repair", "all", "--overwrite", image, image], "the image itself")
    }

    @Test func aRepairWritesOverNoManifest() throws {
        let image = directory.file("image.qcow2")
        let manifest = directory.file("image.json")
        #expect(
            try lathe("convert", "-q", "-f", "raw", "-O", "qcow2", "--manifest", manifest, source, image).status == 0)
        let before = try files()
        let outcome = try lathe("verify", "--manifest", manifest, "--repair-from", image, manifest)
        #expect(outcome.status != 0, "\(outcome.testDescription)")
        #expect(try files() == before)
    }

    @Test func aPlotReplacesOnlyAPlot() throws {
        let plot = directory.file("plot.svg")
        try content.write(to: URL(filePath: plot))
        try expectKept(["bench", "--no-peer", "--overwrite", "--plot", plot, "--source", source], "is not a plot")
    }
}
