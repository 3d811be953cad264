import Foundation
import LatheTestSupport
import Testing

/// File systems that have less than ext4: what is made there is whole under its name, or not at all, too.
@Suite(.enabled(if: geteuid() == 0, "only root mounts file systems")) struct FileSystemTests {
    private let directory: TemporaryDirectory
    private let source: String

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("source.raw")
        try Data(Content.mixed(length: 300_032, seed: 1811)).write(to: URL(filePath: source))
    }

    /// Runs with a directory that FUSE shows: without `RENAME_NOREPLACE`, and without nameless files.
    private func withBindfs(_ body: (String) throws -> Void) throws {
        try #require(Tool.isInstalled("bindfs"), "scripts/install-dependencies test installs bindfs")
        for name in ["below", "shown"] {
            try FileManager.default.createDirectory(atPath: directory.file(name), withIntermediateDirectories: false)
        }
        try Tool.run("bindfs", [directory.file("below"), directory.file("shown")])
        defer { _ = try? Tool.run("umount", ["-l", directory.file("shown")]) }
        try body(directory.file("shown"))
    }

    @Test func newFilesAreMadeWhereRenameKnowsNoFlags() throws {
        try withBindfs { shown in
            let image = "\(shown)/disk.qcow2"
            #expect(
                try lathe("convert", "-q", "--verify", "--manifest", image + ".json", "-O", "qcow2", source, image)
                    .status == 0)
            #expect(try lathe("compare", source, image).status == 0)
            #expect(try lathe("verify", "-q", "--manifest", image + ".json", image).status == 0)
            let again = try lathe("convert", "-O", "qcow2", source, image)
            #expect(again.status == 1 && again.errors.contains("exists"))
            #expect(try lathe("convert", "-q", "--overwrite", "-O", "qcow2", source, image).status == 0)
            let split = "\(shown)/disk.vmdk"
            #expect(
                try lathe("convert", "-q", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", source, split).status
                    == 0)
            #expect(
                try lathe(
                    "convert", "-q", "--overwrite", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", source, split
                ).status == 0)
            #expect(
                try lathe(
                    "export", "-q", "--endpoint", "\(shown)/store", "--bucket", "images", "--object", "k", "-O", "raw",
                    source
                ).status == 0)
            #expect(try lathe("verify", "-q", "--deep", "--endpoint", "\(shown)/store", "oss://images/k").status == 0)
            let names = try FileManager.default.contentsOfDirectory(atPath: shown).sorted()
            #expect(names == ["disk-s001.vmdk", "disk.qcow2", "disk.qcow2.json", "disk.vmdk", "store"])
        }
    }

    /// The image fits, and its manifest does not.
    @Test func aFullDiskAtTheManifestLeavesTheOldImageWithItsOwn() throws {
        let small = directory.file("small")
        try FileManager.default.createDirectory(atPath: small, withIntermediateDirectories: false)
        try Tool.run("mount", ["-t", "tmpfs", "-o", "size=2560k", "none", small])
        defer { _ = try? Tool.run("umount", ["-l", small]) }
        let (image, manifest) = ("\(small)/disk.raw", "\(small)/disk.json")
        let old = directory.file("old.raw")
        try Data(repeating: 5, count: 65_536).write(to: URL(filePath: old))
        #expect(try lathe("convert", "-q", "-O", "raw", "--manifest", manifest, old, image).status == 0)
        let before = try [image, manifest].map { try Data(contentsOf: URL(filePath: $0)) }
        // What is left is room for the image's pages and for none of the manifest's.
        let large = directory.file("large.raw")
        try Data(repeating: 7, count: 300_032).write(to: URL(filePath: large))
        let room = (2560 << 10) - (65_536 + 4096) - (300_032 + 4095) / 4096 * 4096 - 4096
        try Data(repeating: 1, count: room).write(to: URL(filePath: "\(small)/filler"))
        var failed = 0
        for more in 0..<4 {
            try? Data(repeating: 1, count: 4096).write(to: URL(filePath: "\(small)/filler-\(more)"))
            let outcome = try lathe("convert", "-q", "--overwrite", "-O", "raw", "--manifest", manifest, large, image)
            let now = try [image, manifest].map { try Data(contentsOf: URL(filePath: $0)) }
            if outcome.status == 0 {
                #expect(try lathe("verify", "-q", "--manifest", manifest, image).status == 0)
                #expect(
                    try lathe("convert", "-q", "--overwrite", "-O", "raw", "--manifest", manifest, old, image).status
                        == 0)
            } else {
                failed += 1
                #expect(now == before, "\(outcome.testDescription)")
            }
        }
        #expect(failed > 0, "the disk never was full")
        #expect(try FileManager.default.contentsOfDirectory(atPath: small).allSatisfy { !$0.hasPrefix(".") })
    }

    @Test func aPrivateImageStaysPrivate() throws {
        let (image, copy) = (directory.file("disk.qcow2"), directory.file("copy.qcow2"))
        func mode(_ path: String) throws -> Int {
            try #require(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
        }
        #expect(try lathe("convert", "-q", "-O", "qcow2", source, image).status == 0)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: image)
        #expect(try lathe("convert", "-q", "--overwrite", "-O", "qcow2", source, image).status == 0)
        #expect(try mode(image) == 0o600)
        #expect(try lathe("check", "--repair", "all", "--into", copy, image).status == 0)
        #expect(try mode(copy) == 0o600)
        #expect(try lathe("convert", "-q", "-O", "raw", image, directory.file("copy.raw")).status == 0)
        #expect(try mode(directory.file("copy.raw")) == 0o600)
    }
}
