import Foundation
import ImageFormats
import LatheTestSupport
import Testing

/// Sources that are refused, and with what words.
@Suite struct SourceTests {
    private let directory: TemporaryDirectory
    private let source: String

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("source.raw")
        try Data(Content.mixed(length: 300_032, seed: 42)).write(to: URL(filePath: source))
    }

    /// Every verb that opens an image refuses it: with its own exit code, and one line with the texts.
    ///
    /// - Parameters:
    ///   - checkable: whether `check` still says what is right or wrong with it.
    ///   - describable: whether `info` still says what its header does.
    private func expectRefused(
        _ image: String, _ texts: String..., checkable: Bool = false, describable: Bool = false,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let before = try directory.contents
        var runs: [(arguments: [String], status: Int32)] = [
            (["convert", "-O", "raw", image, directory.file("new")], 1), (["map", image], 1),
            (["digest", image], 1), (["compare", source, image], 2),
        ]
        if !describable { runs.append((["info", image], 1)) }
        if !checkable { runs.append((["check", image], 1)) }
        for run in runs {
            let outcome = try lathe(run.arguments)
            #expect(outcome.status == run.status, "\(outcome.testDescription)", sourceLocation: sourceLocation)
            #expect(outcome.errors.hasPrefix("lathe: \(image): "), "\(outcome.errors)", sourceLocation: sourceLocation)
            for text in texts {
                #expect(outcome.errors.contains(text), "\(outcome.errors)", sourceLocation: sourceLocation)
            }
        }
        #expect(try directory.contents == before, sourceLocation: sourceLocation)
    }

    @Test func aSourceThatIsMissingIsNamed() throws {
        try expectRefused(directory.file("missing.raw"), "No such file or directory")
    }

    @Test func aDirectoryIsNoSource() throws {
        try expectRefused(directory.path, "this is a directory", "name an image file")
    }

    @Test func aNamedPipeIsNoSourceAndNothingWaitsForIt() throws {
        let pipe = directory.file("pipe")
        try Tool.run("mkfifo", [pipe])
        try expectRefused(pipe, "neither a file nor a block device")
    }

    @Test(arguments: OutputVariant.all.filter { $0.format != .raw })
    func aNameThatContradictsTheContentAsksForTheFormat(variant: OutputVariant) throws {
        let image = directory.file("image.raw")
        #expect(try lathe(["convert", "-q"] + variant.arguments + [source, image]).status == 0)
        try expectRefused(image, "the name says raw", "-f FORMAT")
        let named = try lathe("info", "-f", variant.format.rawValue, "--output", "json", image)
        #expect(try named.json()["format"]?.text == variant.format.rawValue)
        let asRaw = try lathe("info", "-f", "raw", "--output", "json", image)
        #expect(try asRaw.json()["format"]?.text == "raw")
    }

    @Test func aNameOfAFormatThatTheContentIsNotAsksForTheFormat() throws {
        let image = directory.file("image.qcow2")
        try FileManager.default.copyItem(atPath: source, toPath: image)
        try expectRefused(image, "the name says qcow2", "-f raw if it is a raw disk")
        #expect(try lathe("info", "-f", "qcow2", image).status == 1)
    }

    @Test(.requiresQEMU) func aBackingFileIsNotOpened() throws {
        let image = directory.file("child.qcow2")
        try QEMU.make(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", source, image])
        try expectRefused(
            image, "backing file", "opens no file that an image names", "--allow-backing", checkable: true,
            describable: true)
        // Its own tables are all there, and right.
        #expect(try lathe("check", image).status == 0)
    }

    @Test(.requiresQEMU) func aDataFileIsNotOpened() throws {
        let image = directory.file("image.qcow2")
        try QEMU.make(["create", "-q", "-f", "qcow2", "-o", "data_file=\(directory.file("data"))", image, "1M"])
        let outcome = try lathe("convert", "-O", "raw", image, directory.file("new"))
        #expect(outcome.status == 1)
        for text in ["external data file", "opens no file that an image names", "--allow-backing"] {
            #expect(outcome.errors.contains(text), "\(outcome.errors)")
        }
        // What is in the image itself is checked without it.
        try FileManager.default.removeItem(atPath: directory.file("data"))
        #expect(try lathe("check", image).status == 0)
    }

    @Test(.requiresQEMU, arguments: ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"])
    func extentsInOtherFilesAreNotOpened(subformat: String) throws {
        let image = directory.file("image.vmdk")
        try QEMU.make(["create", "-q", "-f", "vmdk", "-o", "subformat=\(subformat)", image, "1M"])
        // A descriptor of flat extents is all the metadata that there is.
        try expectRefused(
            image, "descriptor of a disk that is in other files", "opens no file that an image names",
            checkable: true, describable: true)
        #expect(try lathe("check", image).status == (subformat == "twoGbMaxExtentSparse" ? 1 : 0))
    }

    @Test(.requiresQEMU) func aParentOfAVMDKIsNotOpened() throws {
        let parent = directory.file("parent.vmdk")
        let image = directory.file("child.vmdk")
        try QEMU.make(["create", "-q", "-f", "vmdk", parent, "1M"])
        try QEMU.make(["create", "-q", "-f", "vmdk", "-F", "vmdk", "-b", parent, image])
        try expectRefused(
            image, "parent", "opens no file that an image names", checkable: true, describable: true)
    }

    @Test(arguments: [ImageFormat.qcow2, .vhd, .vdi, .vmdk]) func aTruncatedImageIsRefused(format: ImageFormat) throws {
        let image = directory.file("image.\(format)")
        #expect(try lathe("convert", "-q", "-O", format.rawValue, source, image).status == 0)
        let file = try FileHandle(forWritingTo: URL(filePath: image))
        try file.truncate(atOffset: 700)
        let outcome = try lathe("digest", "-f", format.rawValue, image)
        #expect(outcome.status == 1)
        #expect(outcome.errors.hasPrefix("lathe: \(image): "))
        let checked = try lathe("check", "-f", format.rawValue, image)
        #expect(checked.status == 1 || checked.status == 2, "\(checked.testDescription)")
    }
}
