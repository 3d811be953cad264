import Foundation
import LatheTestSupport
import Testing

/// VMDKs of several files, as qemu-img writes them.
@Suite(.requiresQEMU) struct VMDKPeerTests {
    private let directory: TemporaryDirectory
    static let subformats = [
        "monolithicSparse", "monolithicFlat", "twoGbMaxExtentFlat", "twoGbMaxExtentSparse", "streamOptimized",
    ]

    init() throws { directory = try TemporaryDirectory() }

    @Test(arguments: subformats) func whatQEMUWritesIsRead(subformat: String) throws {
        let raw = directory.file("source.raw")
        try Self.writeBorders(to: raw)
        let image = directory.file("disk.vmdk")
        try QEMU.make(["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=\(subformat)", raw, image])
        let compared = try lathe(
            "compare", "--allow-backing", directory.path, "-f", "raw", "-F", "vmdk", raw, image)
        #expect(compared.status == 0, "\(compared.testDescription)")
        let info = try lathe("info", "--output", "json", image)
        #expect(try info.json()["virtual-size"]?.number == (5 << 30) + 512)
    }

    /// Links over each kind of parent: what they have, and what shows through.
    @Test(arguments: ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse"])
    func chainsOfQEMUAreRead(subformat: String) throws {
        let raw = directory.file("source.raw")
        try Self.writeBorders(to: raw)
        for (name, type, parent) in [
            ("base", subformat, nil), ("middle", "twoGbMaxExtentSparse", "base"),
            ("top", "monolithicSparse", "middle"),
        ] as [(String, String, String?)] {
            let file = directory.file("\(name).vmdk")
            guard let parent else {
                try QEMU.make(["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=\(type)", raw, file])
                continue
            }
            try QEMU.make(
                ["create", "-q", "-f", "vmdk", "-F", "vmdk", "-b", "\(parent).vmdk", "-o", "subformat=\(type)", file])
            let place = name == "top" ? 2_147_418_112 : 4_294_900_000
            try Tool.run("qemu-io", ["-f", "vmdk", "-c", "write -P 7 \(place / 512 * 512) 128k", file])
        }
        let result = directory.file("top.raw")
        let converted = try lathe(
            "convert", "-q", "--verify", "--allow-backing", directory.path, "-O", "raw", directory.file("top.vmdk"),
            result)
        #expect(converted.status == 0, "\(converted.testDescription)")
        let compared = try QEMU.run("compare", "-f", "vmdk", "-F", "raw", directory.file("top.vmdk"), result)
        #expect(compared.status == 0, "\(compared.testDescription)")
        // A write to the parent gives it a new content ID.
        try Tool.run("qemu-io", ["-f", "vmdk", "-c", "write -P 9 0 64k", directory.file("base.vmdk")])
        let refused = try lathe(
            "convert", "-q", "--allow-backing", directory.path, "-O", "raw", directory.file("top.vmdk"),
            directory.file("no.raw"))
        #expect(refused.status == 1 && refused.errors.contains("content ID"), "\(refused.testDescription)")
    }

    /// Seeded content on both sides of 2 and 4 GiB, at the start and at the end, and a hole everywhere else.
    static func writeBorders(to path: String) throws {
        _ = FileManager.default.createFile(atPath: path, contents: nil)
        let file = try FileHandle(forWritingTo: URL(filePath: path))
        let size: UInt64 = (5 << 30) + 512
        try file.truncate(atOffset: size)
        let places: [UInt64] = [0, (2 << 30) - 70_000, (4 << 30) - 65_536, size - 5000]
        for (index, place) in places.enumerated() {
            try file.seek(toOffset: place)
            let length = Int(min(150_000, size - place))
            try file.write(contentsOf: Data(SampleDisk.full(length: length, seed: 60 + UInt64(index))))
        }
        try file.close()
    }
}
