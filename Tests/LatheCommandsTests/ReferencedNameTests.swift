import Foundation
import LatheTestSupport
import Testing

/// How other programs write the names of files into images.
@Suite struct ReferencedNameTests {
    private let directory: TemporaryDirectory
    private let source: String

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("base.raw")
        try Data(Content.mixed(length: 1_000_448, seed: 1822)).write(to: URL(filePath: source))
    }

    private func compare(_ image: String, _ arguments: String...) throws -> Outcome {
        try lathe(["compare", "--allow-backing", directory.path] + arguments + [image, source])
    }

    @Test(
        .requiresQEMU,
        arguments: [
            "file:base.raw", #"json:{"file.filename":"base.raw"}"#,
            #"json:{"driver":"raw","file":{"driver":"file","filename":"base.raw"}}"#,
        ])
    func qemusNamesAreFollowedAsThePathsThatTheyAre(name: String) throws {
        let top = directory.file("top.qcow2")
        try QEMU.make(["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", name, top, "1000448"])
        let outcome = try compare(top)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        let outside = try lathe("compare", "--allow-backing", "/usr", top, source)
        #expect(outside.status == 2 && outside.errors.contains("not beneath"), "\(outside.testDescription)")
    }

    @Test(.requiresQEMU) func aFormatThatNoImageSaysIsTheUsers() throws {
        let top = directory.file("top.qcow2")
        try QEMU.make(["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "base.raw", top, "1000448"])
        // As old versions wrote it: the header extension with the format (0xE2792ACA) becomes one that nobody knows.
        var bytes = try Data(contentsOf: URL(filePath: top))
        let place = try #require(bytes.firstRange(of: Data([0xE2, 0x79, 0x2A, 0xCA])))
        bytes.replaceSubrange(place, with: [0x12, 0x34, 0x56, 0x78])
        try bytes.write(to: URL(filePath: top))
        let unsaid = try compare(top)
        #expect(unsaid.status == 2 && unsaid.errors.contains("--backing-format"), "\(unsaid.testDescription)")
        let said = try compare(top, "--backing-format", "raw")
        #expect(said.status == 0, "\(said.testDescription)")
        let alone = try lathe("compare", "--backing-format", "raw", top, source)
        #expect(alone.status == 64)
    }

    /// A name in another encoding, and what it is in UTF-8.
    struct Name: Sendable {
        var encoding: String
        var bytes: [UInt8]
        var text: String
    }

    static let names = [
        Name(encoding: "GBK", bytes: [0xB4, 0xC5, 0xC5, 0xCC], text: "磁盘"),
        Name(encoding: "windows-1252", bytes: [0x67, 0x72, 0xF6, 0xDF, 0x65], text: "größe"),
    ]

    /// A descriptor of a machine with another encoding, and its extent by the bytes of that, or in UTF-8 as a copy made it; with a
    /// byte-order mark in one case, as an editor leaves it.
    @Test(arguments: names, [true, false])
    func extentsAreFoundInTheEncodingOfTheDescriptor(name: Name, isCopied: Bool) throws {
        let (encoding, bytes, text, hasMark) = (name.encoding, name.bytes, name.text, isCopied)
        var descriptor = hasMark ? Array("\u{FEFF}".utf8) : []
        descriptor += Array("# Disk DescriptorFile\nversion=1\nencoding=\"\(encoding)\"\nCID=12345678\n".utf8)
        descriptor += Array("parentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 1954 FLAT \"".utf8)
        descriptor += bytes + Array("-flat.vmdk\" 0\nddb.adapterType = \"ide\"\n".utf8)
        let image = directory.file("disk.vmdk")
        try Data(descriptor).write(to: URL(filePath: image))
        let extent =
            isCopied ? "\(text)-flat.vmdk" : "$'" + bytes.map { "\\x" + String($0, radix: 16) }.joined() + "-flat.vmdk'"
        try Tool.run("bash", ["-c", "cd '\(directory.path)' && cp base.raw \(extent)"])
        let outcome = try compare(image)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        #expect(try lathe("info", image).status == 0)
    }
}
