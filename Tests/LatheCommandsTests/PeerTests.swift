import Foundation
import ImageFormats
import LatheTestSupport
import Testing

/// What Lathe writes, held against qemu-img.
@Suite(.requiresQEMU) struct PeerTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test(arguments: DiskShape.small, OutputVariant.ofQEMU)
    func aSmallDiskIsTheSameToQEMU(shape: DiskShape, variant: OutputVariant) throws {
        try shape.write(to: directory.file("source.raw"))
        try expectTheSame(shape.virtualSize, variant)
    }

    @Test(arguments: DiskShape.boundaries, OutputVariant.ofQEMU)
    func aDiskThatEndsNearATableBoundaryIsTheSameToQEMU(shape: DiskShape, variant: OutputVariant) throws {
        try shape.write(to: directory.file("source.raw"))
        try expectTheSame(shape.virtualSize, variant)
    }

    @Test(.requiresExt4, arguments: OutputVariant.ofQEMU)
    func aRealFileSystemIsTheSameToQEMU(variant: OutputVariant) throws {
        try Ext4Disk.make(directory.file("source.raw"), in: directory)
        try expectTheSame(48 << 20, variant)
    }

    /// The largest disk that vhd holds, for vhd; 2 TiB for the others.
    ///
    /// A debug build takes seconds a TiB for the tables, so there a sixteenth of it has to do.
    @Test(arguments: OutputVariant.ofQEMU) func aHugeDiskWithLittleDataIsTheSameToQEMU(variant: OutputVariant) throws {
        var size: UInt64 = variant.format == .vhd ? 2040 << 30 : 2 << 40
        #if DEBUG
            size /= 16
        #endif
        try DiskShape.sparse("huge", size).write(to: directory.file("source.raw"))
        try expectTheSame(size, variant)
    }

    /// Converts `source.raw` and asks QEMU, our own reader and our own checker about the result.
    private func expectTheSame(_ virtualSize: UInt64, _ variant: OutputVariant) throws {
        let source = directory.file("source.raw")
        let image = directory.file("image.\(variant.format)")
        let made = try lathe(["convert", "--verify", "-f", "raw"] + variant.arguments + [source, image])
        #expect(made.status == 0, "\(made.testDescription)")
        let checked = try lathe("check", "-f", variant.format.rawValue, image)
        #expect(checked.status == 0, "\(checked.testDescription)")
        #expect(try digest(image, variant.format) == digest(source, .raw))
        if variant.format == .raw {
            try Tool.run("cmp", [source, image])
        }
        // QEMU up to 7.2 at least opens no vmdk of no size, not even its own: "Invalid VMDK, grain table too large".
        if variant.format == .vmdk, virtualSize == 0 { return }
        let information = try QEMU.make(["info", "-f", variant.peerName ?? "", "--output", "json", image])
        #expect(try information.json()["virtual-size"]?.number == virtualSize)
        if [.qcow2, .vdi, .vmdk].contains(variant.format) {
            let checked = try QEMU.run("check", "-f", variant.peerName ?? "", image)
            #expect(checked.status == 0, "\(checked.testDescription)")
        }
        let compared = try QEMU.run("compare", "-f", "raw", "-F", variant.peerName ?? "", source, image)
        #expect(compared.status == 0, "\(compared.testDescription)")
    }

    private func digest(_ path: String, _ format: ImageFormat) throws -> String? {
        try lathe("digest", "-f", format.rawValue, "--output", "json", path).json()["digest"]?.text
    }
}

/// What qemu-img writes in its own layouts, read by Lathe.
@Suite(.requiresQEMU) struct PeerLayoutTests {
    /// A way in which qemu-img writes an image.
    struct Layout: Sendable, CustomTestStringConvertible {
        var format: ImageFormat
        /// What follows `qemu-img convert`.
        var arguments: [String]
        /// Whether the disk may become larger than the source: a vpc without force_size has a size of whole cylinders.
        var mayGrow = false
        var testDescription: String { arguments.joined(separator: " ") }
    }

    static let layouts: [Layout] = [
        Layout(format: .qcow2, arguments: ["-O", "qcow2"]),
        Layout(format: .qcow2, arguments: ["-O", "qcow2", "-c"]),
        Layout(format: .qcow2, arguments: ["-O", "qcow2", "-o", "compat=0.10"]),
        Layout(format: .qcow2, arguments: ["-O", "qcow2", "-c", "-o", "compat=0.10"]),
        Layout(format: .qcow2, arguments: ["-O", "qcow2", "-o", "cluster_size=4k"]),
        Layout(format: .qcow2, arguments: ["-O", "qcow2", "-c", "-o", "cluster_size=4k"]),
        Layout(format: .qcow2, arguments: ["-O", "qcow2", "-o", "cluster_size=2M"]),
        Layout(format: .qcow2, arguments: ["-O", "qcow2", "-c", "-o", "cluster_size=2M"]),
        Layout(format: .qcow2, arguments: ["-O", "qcow2", "-c", "-o", "compression_type=zstd"]),
        Layout(format: .qcow2, arguments: ["-O", "qcow2", "-o", "refcount_bits=1,preallocation=metadata"]),
        Layout(format: .qcow2, arguments: ["-O", "qcow2", "-S", "0"]),
        Layout(format: .vhd, arguments: ["-O", "vpc"], mayGrow: true),
        Layout(format: .vhd, arguments: ["-O", "vpc", "-o", "subformat=fixed"], mayGrow: true),
        Layout(format: .vhd, arguments: ["-O", "vpc", "-o", "force_size"]),
        Layout(format: .vhd, arguments: ["-O", "vpc", "-o", "subformat=fixed,force_size"]),
        Layout(format: .vdi, arguments: ["-O", "vdi"]),
        Layout(format: .vdi, arguments: ["-O", "vdi", "-o", "static=on"]),
        Layout(format: .vmdk, arguments: ["-O", "vmdk"]),
        Layout(format: .vmdk, arguments: ["-O", "vmdk", "-o", "adapter_type=lsilogic,hwversion=14"]),
        Layout(format: .vmdk, arguments: ["-O", "vmdk", "-o", "subformat=streamOptimized"]),
        Layout(format: .vmdk, arguments: ["-O", "vmdk", "-o", "zeroed_grain=on"]),
    ]

    static let shapes = [
        DiskShape("mixed", content: Content.mixed(length: 7_000_064, seed: 31)),
        DiskShape("all data", content: Content.full(length: 3 << 20 | 1024, seed: 32)),
        DiskShape("all hole", 3 << 20), DiskShape.sparse("sparse", 600 << 20),
    ]

    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test(arguments: layouts, shapes) func itsImageReadsBackAsTheSameDisk(layout: Layout, shape: DiskShape) throws {
        var source = directory.file("source.raw")
        let image = directory.file("image.\(layout.format)")
        try shape.write(to: source)
        try QEMU.make(["convert", "-f", "raw"] + layout.arguments + [source, image])
        if layout.mayGrow {
            let grown = directory.file("grown.raw")
            try QEMU.make(["convert", "-f", "vpc", "-O", "raw", image, grown])
            source = grown
        }
        // Without -f: the format is found by its content.
        let read = try lathe("digest", "--output", "json", image)
        #expect(read.status == 0, "\(read.testDescription)")
        let expected = try lathe("digest", "-f", "raw", "--output", "json", source).json()
        #expect(try read.json()["digest"] == expected["digest"])
        #expect(try read.json()["virtual-size"] == expected["virtual-size"])
        #expect(try read.json()["format"]?.text == layout.format.rawValue)
        let checked = try lathe("check", image)
        #expect(checked.status == 0, "\(checked.testDescription)")
        let back = try lathe("convert", "--verify", "-O", "raw", image, directory.file("back.raw"))
        #expect(back.status == 0, "\(back.testDescription)")
        try Tool.run("cmp", [source, directory.file("back.raw")])
    }
}

extension OutputVariant {
    /// What `lathe convert` takes for it.
    var arguments: [String] {
        var arguments = ["-O", format.rawValue]
        for (key, value) in options.sorted(by: { $0.key < $1.key }) { arguments += ["-o", "\(key)=\(value)"] }
        return arguments
    }
}
