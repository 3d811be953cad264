internal import Foundation
public import ImageFormats
public import Testing

/// Every layout that Lathe writes: the list that tests of all formats go through.
public struct OutputVariant: Hashable, Sendable, CustomTestStringConvertible {
    public var format: ImageFormat
    public var options: [String: String]
    /// What QEMU calls the format; nil where it has none like it.
    public var peerName: String?

    /// `scripts/test FORMAT` sets it: tests that go through the layouts then go through those of one format.
    public static let onlyFormat = ProcessInfo.processInfo.environment["LATHE_TEST_FORMAT"].flatMap {
        ImageFormat(name: $0)
    }

    public static let all = everyOne.filter { onlyFormat == nil || $0.format == onlyFormat }

    private static let everyOne: [OutputVariant] = [
        OutputVariant(.raw, peer: "raw"), OutputVariant(.vhd, peer: "vpc"),
        OutputVariant(.vhd, ["subformat": "fixed"], peer: "vpc"), OutputVariant(.qcow2, peer: "qcow2"),
        OutputVariant(.qcow2, ["compress": "on"], peer: "qcow2"),
        OutputVariant(.qcow2, ["compress": "on", "compression_type": "zstd"], peer: "qcow2"),
        OutputVariant(.qcow2, ["extended_l2": "on"], peer: "qcow2"),
        OutputVariant(.vmdk, peer: "vmdk"), OutputVariant(.vmdk, ["subformat": "streamOptimized"], peer: "vmdk"),
        OutputVariant(.vdi, peer: "vdi"), OutputVariant(.vdi, ["static": "on"], peer: "vdi"),
        OutputVariant(.rawPackage, peer: nil),
        OutputVariant(.rawGzip, peer: nil), OutputVariant(.rawZstandard, peer: nil),
    ]

    /// Those that are several files.
    public static let ofSeveralFiles = ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"].map {
        OutputVariant(.vmdk, ["subformat": $0], peer: "vmdk")
    }.filter { onlyFormat == nil || $0.format == onlyFormat }

    /// Those that QEMU reads.
    public static let ofQEMU = all.filter { $0.peerName != nil }

    /// The layout of a name.
    public static func named(_ name: String) -> OutputVariant {
        guard let variant = everyOne.first(where: { $0.name == name }) else {
            preconditionFailure("there is no '\(name)'")
        }
        return variant
    }

    public init(_ format: ImageFormat, _ options: [String: String] = [:], peer: String? = nil) {
        self.format = format
        self.options = options
        peerName = peer
    }

    public var isCompressed: Bool {
        format.packaging != nil || options["subformat"] == "streamOptimized" || options["compress"] == "on"
    }

    /// `vhd-fixed` or `qcow2-compress-zstd`: fit for a file name.
    public var name: String {
        let words = options.map { $0.value == "on" ? $0.key : $0.value }
        return ([format.rawValue] + words.sorted()).joined(separator: "-")
    }
    public var testDescription: String { name }
}
