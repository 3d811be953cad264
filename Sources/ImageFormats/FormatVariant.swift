public import ImageModel

/// A layout that Lathe writes: a format, its subformat where it has several, and how units are compressed, if they are.
public struct FormatVariant: Hashable, Sendable {
    /// A compressor and the levels that it takes.
    public struct Compression: Hashable, Sendable {
        public var method: CompressionMethod
        public var levels: ClosedRange<Int>
    }

    public var format: ImageFormat
    /// The options that ask for it, but for the level: none for a format that is written in one way only.
    public var settings: [String: String] = [:]
    /// nil where units are stored as they are.
    public var compression: Compression?

    public var subformat: String? { settings["subformat"] }

    /// For people: `vhd dynamic`.
    public var name: String {
        ([format.rawValue] + settings.sorted { $0.key < $1.key }.map(\.value)).joined(separator: " ")
    }

    /// The options that ask for this layout; without a level, for the encoder's own.
    public func options(level: Int? = nil) -> FormatOptions {
        var values = settings
        if let level { values["compression_level"] = String(level) }
        return FormatOptions(values)
    }
}

extension FormatCatalog {
    /// Every layout that is written, and so every compressor there is: what is listed here is measured by `lathe bench`.
    public static let variants: [FormatVariant] = [
        FormatVariant(format: .raw),
        FormatVariant(format: .vhd, settings: ["subformat": "dynamic"]),
        FormatVariant(format: .vhd, settings: ["subformat": "fixed"]),
        FormatVariant(format: .qcow2),
        FormatVariant(format: .vmdk, settings: ["subformat": VMDKSubformat.monolithicSparse.rawValue]),
        FormatVariant(
            format: .vmdk, settings: ["subformat": VMDKSubformat.streamOptimized.rawValue],
            compression: .init(method: .zlib, levels: VMDKEncoder.compressionLevels)),
        FormatVariant(format: .vdi),
        FormatVariant(
            format: .rawPackage,
            compression: .init(method: .gzip, levels: RawPackageEncoder.compressionLevels)),
    ]
}
