import Foundation
import LatheTestSupport
import Testing

/// What users of `export`, and of images in a store, see: names, reports, refusals; with a directory as the store.
@Suite struct ExportTests {
    private let directory: TemporaryDirectory
    private let source: String
    private var store: String { directory.file("store") }

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("my.disk.raw")
        try Data(Content.mixed(length: 5 << 20 | 512, seed: 81)).write(to: URL(filePath: source))
    }

    /// Keys and endpoints of whoever runs the tests do not matter here.
    private var environment: [String: String] {
        [
            "HOME": directory.path, "XDG_DATA_HOME": "", "XDG_STATE_HOME": "", "OSS_ENDPOINT": "", "OSS_REGION": "",
            "OSS_ACCESS_KEY_ID": "", "OSS_ACCESS_KEY_SECRET": "",
        ]
    }

    private func export(_ arguments: String..., bucket: String = "images") throws -> Outcome {
        try lathe(
            ["export", "--endpoint", store, "--bucket", bucket] + arguments + [source], environment: environment)
    }

    private func stored(_ key: String) throws -> Data { try Data(contentsOf: URL(filePath: "\(store)/images/\(key)")) }

    private func converted(_ arguments: [String]) throws -> (image: Data, manifest: Data) {
        let image = directory.file("offline.img")
        let outcome = try lathe(
            ["convert", "-q", "--overwrite", "-f", "raw", "--manifest", directory.file("offline.json")] + arguments
                + [source, image])
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        return (
            try Data(contentsOf: URL(filePath: image)),
            try Data(contentsOf: URL(filePath: directory.file("offline.json")))
        )
    }

    @Test(arguments: OutputVariant.all) func theObjectAndItsManifestAreThoseOfAConversion(variant: OutputVariant) throws
    {
        let outcome = try lathe(
            [
                "export", "-q", "-f", "raw", "--endpoint", store, "--bucket", "images", "--object", "o", "--part-size",
                "300k",
            ]
                + variant.arguments + [source], environment: environment)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        let expected = try converted(variant.arguments)
        let isSame = try stored("o") == expected.image
        #expect(isSame)
        #expect(try stored("o.manifest.json") == expected.manifest)
    }

    @Test(arguments: [
        ([], "my.disk.raw"), (["-O", "qcow2"], "my.disk.qcow2"), (["--prefix", "Nightly7"], "Nightly7_my.disk.raw"),
        (["--name", "root", "-O", "vdi"], "root.vdi"), (["--prefix", "a", "--name", "b", "-O", "vhd"], "a_b.vhd"),
        (["--object", "deep/er/key"], "deep/er/key"), (["--package", "tar.gz"], "my.disk.raw.tar.gz"),
    ]) func theObjectIsCalledAsItsOptionsSay(arguments: [String], key: String) throws {
        let outcome = try lathe(
            ["export", "--output", "json", "--endpoint", store, "--bucket", "images"] + arguments + [source],
            environment: environment)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        #expect(try !stored(key).isEmpty)
        #expect(try !stored(key + ".manifest.json").isEmpty)
    }

    @Test(arguments: [
        (["--name", "piped"], "piped.raw", nil), (["--object", "some/key"], "some/key", nil),
        (["--name", "piped", "--package", "tar.gz"], "piped.raw.tar.gz", "piped.raw"),
        (["--object", "some/piped.raw.tar.gz", "--package", "tar.gz"], "some/piped.raw.tar.gz", "piped.raw"),
        (["--object", "some/piped.tgz", "--package", "tar.gz"], "some/piped.tgz", "piped.raw"),
    ]) func aPipeIsCalledAsItsOptionsSay(arguments: [String], key: String, member: String?) throws {
        let outcome = try shell(
            #"cat "$2" | "$1" export -q -f raw --endpoint "$3" --bucket images \#(arguments.joined(separator: " ")) -"#,
            source, store, environment: environment)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        let object = try stored(key)
        let disk = try Data(contentsOf: URL(filePath: source))
        guard let member else {
            #expect(object == disk)
            return
        }
        let package = directory.file("package")
        try object.write(to: URL(filePath: package))
        #expect(try Tool.run("tar", ["-tzf", package]).text == member + "\n")
    }

    @Test(arguments: OutputVariant.all) func aPipeGoesThroughATemporaryFileOnlyWhereTheFormatNeedsIt(
        variant: OutputVariant
    ) throws {
        let arguments = variant.arguments.joined(separator: " ")
        let made = try shell(
            #"""
            cat "$2" | TMPDIR=/nonexistent "$1" export -q -f raw --endpoint "$3" --bucket images \#(arguments) --object key \
              --part-size 1M -
            """#, source, store, environment: environment)
        guard ["raw", "vhd-fixed", "raw.gz", "raw.zst"].contains(variant.name) else {
            #expect(made.status == 1 && made.errors.contains("/nonexistent"), "\(made.testDescription)")
            return
        }
        #expect(made.status == 0, "\(made.testDescription)")
        let expected = try converted(variant.arguments)
        let isSame = try stored("key") == expected.image && stored("key.manifest.json") == expected.manifest
        #expect(isSame)
        // To go on with it takes a source that can be read again.
        let kept = try shell(
            #"""
            cat "$2" | TMPDIR=/nonexistent "$1" export -q -f raw --endpoint "$3" --bucket images \#(arguments) --object other \
              --checkpoint "$2.checkpoint" -
            """#, source, store, environment: environment)
        #expect(kept.status == 1 && kept.errors.contains("/nonexistent"), "\(kept.testDescription)")
    }

    @Test func aPipeWithoutANameIsAskedForOne() throws {
        let outcome = try lathe("export", "--endpoint", store, "--bucket", "images", "-", environment: environment)
        #expect(outcome.status == 1 && outcome.errors.contains("give one with '--name' or '--object'"))
    }

    @Test(arguments: ["a_b", "", "ü", String(repeating: "a", count: 31), "a-b"]) func aPrefixIsLettersAndDigits(
        prefix: String
    ) throws {
        let outcome = try export("--prefix", prefix)
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("1 to 30 letters"), "\(outcome.testDescription)")
        #expect(!FileManager.default.fileExists(atPath: "\(store)/images/\(prefix)_my.disk.raw"))
    }

    @Test(arguments: [
        ["--object", "k", "--prefix", "a"], ["--package", "zip"], ["--package", "tar.gz", "-O", "vhd"],
        ["--parallel", "0"], ["--parallel", "65"], ["--limit-rate", "0"], ["--checkpoint", "c", "--resume"],
        ["--dry-run"], ["--retries", "-1"], ["--signature-version", "v2"], ["--encryption-key", "k"],
    ]) func aWrongCommandLineIsExit64(arguments: [String]) throws {
        let outcome = try lathe(
            ["export", "--endpoint", store, "--bucket", "images"] + arguments + [source], environment: environment)
        #expect(outcome.status == 64, "\(outcome.testDescription)")
    }

    @Test func aPackageIsNotNamedAsAPlainDisk() throws {
        let refused = try export("-o", "package=tar.gz")
        #expect(refused.status == 64 && refused.errors.contains("--package"), "\(refused.testDescription)")
        let named = try export("-o", "package=tar.gz", "--object", "a.raw.tar.gz")
        #expect(named.status == 0, "\(named.testDescription)")
        #expect(try stored("a.raw.tar.gz").prefix(2) == Data([0x1F, 0x8B]))
    }

    @Test func anObjectThatIsThereIsReplacedOnlyWhenAskedTo() throws {
        #expect(try export().status == 0)
        let again = try export()
        #expect(again.status == 1)
        #expect(again.errors.contains("--overwrite"))
        #expect(try export("--overwrite").status == 0)
    }

    @Test func withNothingConfiguredTheStoreIsADirectoryOfLathesOwn() throws {
        let outcome = try lathe(["export", "--bucket", "images", source], environment: environment)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        let path = directory.file(".local/share/lathe/store/images/my.disk.raw")
        #expect(try Data(contentsOf: URL(filePath: path)) == Data(contentsOf: URL(filePath: source)))
        let verified = try lathe(["verify", "oss://images/my.disk.raw"], environment: environment)
        #expect(verified.status == 0, "\(verified.testDescription)")
    }

    @Test func aKeyWithoutAnEndpointOrRegionIsAskedForOne() throws {
        var environment = environment
        environment["OSS_ACCESS_KEY_ID"] = "id"
        environment["OSS_ACCESS_KEY_SECRET"] = "very-secret"
        let outcome = try lathe(["export", "--bucket", "images", source], environment: environment)
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("region"), "\(outcome.testDescription)")
        #expect(!outcome.errors.contains("very-secret"))
    }

    @Test func theReportTellsWhatWasSent() throws {
        let outcome = try export("--output", "json", "-O", "qcow2", "--part-size", "512k", "--metadata", "owner=me")
        let report = try JSONDecoder().decode(JSONValue.self, from: outcome.output)
        let expected = try converted(["-O", "qcow2"]).image
        #expect(report["object-length"]?.number == UInt64(expected.count))
        #expect(report["checked-by-store"] == .flag(true))
        #expect(report["metadata"] == .flag(true))
        let parts = (expected.count + (512 << 10) - 1) / (512 << 10)
        #expect(report["parts-sent"]?.number == UInt64(parts))
        #expect((report["bytes-sent"]?.number ?? 0) >= UInt64(expected.count))
        #expect(report["retries"]?.number == 0)
    }

    @Test func progressInJSONIsALineAnEvent() throws {
        let outcome = try export("--progress", "json", "-q")
        let lines = try outcome.errors.split(separator: "\n").map {
            try JSONDecoder().decode(JSONValue.self, from: Data($0.utf8))
        }
        #expect(!lines.isEmpty)
        for line in lines {
            #expect(line["event"] == .text("progress"))
            for key in ["done", "total", "sent", "parts", "parts-present", "retries"] {
                #expect(line[key]?.number != nil, "\(key)")
            }
        }
        #expect(lines.last?["done"] == lines.last?["total"])
    }

    /// All of a small disk is read long before it is sent.
    @Test func theTimeLeftIsToldWhenAllIsReadAndMuchIsStillToBeSent() throws {
        let outcome = try export("-O", "raw", "--progress", "json", "-q", "--limit-rate", "2M")
        let lines = try outcome.errors.split(separator: "\n").map {
            try JSONDecoder().decode(JSONValue.self, from: Data($0.utf8))
        }
        #expect(lines.contains { $0["done"] == $0["total"] && $0["left"] != nil }, "\(outcome.errors)")
        #expect(lines.last?["left"] == nil, "nothing is left at the end")
    }

    @Test func imagesInAStoreAreReadByEveryVerb() throws {
        #expect(try export("-O", "qcow2").status == 0)
        let location = "oss://images/my.disk.qcow2"
        let local = directory.file("local.qcow2")
        try stored("my.disk.qcow2").write(to: URL(filePath: local))
        for verb in [["map"], ["map", "--output", "json"], ["check", "--output", "json"], ["digest"]] {
            let near = try lathe(verb + [local])
            let far = try lathe(verb + ["--endpoint", store, location], environment: environment)
            #expect(far.status == near.status, "\(far.testDescription)")
            #expect(far.text.replacing(location, with: local) == near.text, "\(verb)")
        }
        let info = try lathe(["info", "--endpoint", store, location], environment: environment)
        #expect(info.text.contains("virtual size: 5"), "\(info.testDescription)")
        let compared = try lathe(["compare", "--endpoint", store, source, location], environment: environment)
        #expect(compared.status == 0, "\(compared.testDescription)")
        let back = directory.file("back.raw")
        let outcome = try lathe(
            ["convert", "--endpoint", store, "-O", "raw", location, back], environment: environment)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        let isSame = try Data(contentsOf: URL(filePath: back)) == Data(contentsOf: URL(filePath: source))
        #expect(isSame)
    }

    @Test(.requiresQEMU) func aChainInAStoreIsReadFromThere() throws {
        let folder = "\(store)/images/vm"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: source, toPath: "\(folder)/base.raw")
        try QEMU.make(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base.raw", "\(folder)/top.qcow2"])
        try QEMU.make(["create", "-q", "-f", "qcow2", "-o", "data_file=\(folder)/data", "\(folder)/apart.qcow2", "1M"])
        try Tool.run("qemu-io", ["-f", "qcow2", "-c", "write -P 5 100k 60k", "\(folder)/top.qcow2"])
        for name in ["top.qcow2", "apart.qcow2"] {
            let expected = directory.file("expected.raw")
            try QEMU.make(["convert", "-O", "raw", "\(folder)/\(name)", expected])
            let location = "oss://images/vm/\(name)"
            let refused = try lathe(["compare", "--endpoint", store, expected, location], environment: environment)
            #expect(refused.status == 2 && refused.errors.contains("--allow-backing"), "\(refused.testDescription)")
            let compared = try lathe(
                ["compare", "--endpoint", store, "--allow-backing", "oss://images", expected, location],
                environment: environment)
            let isAllowed = name == "top.qcow2"
            #expect(compared.status == (isAllowed ? 0 : 2), "\(compared.testDescription)")
            // The name of the data file is an absolute path, and keys of a bucket are none.
            if !isAllowed { #expect(compared.errors.contains("which is not beneath"), "\(compared.testDescription)") }
        }
    }

    @Test func verifyTellsADamagedObjectFromAWholeOne() throws {
        #expect(try export("-O", "vdi").status == 0)
        let location = "oss://images/my.disk.vdi"
        for depth in [[], ["--deep"]] {
            let whole = try lathe(["verify", "--endpoint", store] + depth + [location], environment: environment)
            #expect(whole.status == 0, "\(whole.testDescription)")
        }
        let path = "\(store)/images/my.disk.vdi"
        var bytes = try Data(contentsOf: URL(filePath: path))
        bytes[3 << 20] ^= 1
        try bytes.write(to: URL(filePath: path))
        for depth in [[], ["--deep"], ["--download", directory.file("copy.vdi")]] {
            let damaged = try lathe(["verify", "--endpoint", store] + depth + [location], environment: environment)
            #expect(damaged.status != 0, "\(damaged.testDescription)")
        }
        #expect(!FileManager.default.fileExists(atPath: directory.file("copy.vdi")))
    }

    @Test func anObjectWithoutAManifestCanNotBeJudgedWithoutReadingIt() throws {
        #expect(try export("-O", "vhd").status == 0)
        try FileManager.default.removeItem(atPath: "\(store)/images/my.disk.vhd.manifest.json")
        let outcome = try lathe(
            ["verify", "--endpoint", store, "oss://images/my.disk.vhd"], environment: environment)
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("--deep"), "\(outcome.testDescription)")
        let deep = try lathe(
            ["verify", "--deep", "--endpoint", store, "oss://images/my.disk.vhd"], environment: environment)
        #expect(deep.status == 0, "\(deep.testDescription)")
    }

    @Test func abortStaleSweepsWhatAKilledProcessLeftInADirectory() throws {
        #expect(try export().status == 0)
        let left = "\(store)/images/.lathe/temporary/left-over"
        try Data("x".utf8).write(to: URL(filePath: left))
        let arguments = ["export", "--endpoint", store, "--bucket", "images", "--abort-stale"]
        #expect(try lathe(arguments, environment: environment).status == 0)
        #expect(FileManager.default.fileExists(atPath: left), "it is not a day old")
        let outcome = try lathe(arguments + ["--older-than", "0"], environment: environment)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        #expect(!FileManager.default.fileExists(atPath: left))
    }

    /// Where checkpoints are kept by themselves has to be a directory that can be made.
    @Test func aHomeThatIsNoDirectoryIsNamedWithWhatToDo() throws {
        var environment = environment
        environment["HOME"] = source
        let outcome = try lathe(
            ["export", "--resume", "--endpoint", store, "--bucket", "images", source], environment: environment)
        #expect(outcome.status == 1)
        for text in ["lathe: \(source)/.local/state/lathe", "Not a directory", "set HOME"] {
            #expect(outcome.errors.contains(text), "\(outcome.errors)")
        }
        #expect(outcome.errors.contains("NSCocoa") == false)
    }
}
