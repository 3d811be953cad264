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
    /// Whether the image is several files: a descriptor, and extents beside it.
    public var isSeveralFiles = false

    /// What tells it from the other layouts of its format: `dynamic`, `zstd`, `static`; nil for the one without settings.
    public var layoutName: String? {
        let told = settings.sorted { $0.key < $1.key }.filter { $0.key != "compress" }
        let words = told.map { $0.value == "on" ? $0.key : $0.value }
        return words.isEmpty ? nil : words.joined(separator: " ")
    }

    /// For people: `vhd dynamic`, `qcow2 zstd`.
    public var name: String { ([format.rawValue] + [layoutName].compactMap(\.self)).joined(separator: " ") }

    /// The options that ask for this layout; without a level, for the encoder's own.
    public func options(level: Int? = nil) -> FormatOptions {
        var values = settings
        if let level { values["compression_level"] = String(level) }
        return FormatOptions(values)
    }
}

extension FormatCatalog {
    /// Every layout that is written, and so every compressor there is: what is listed here is measured by `lathe bench`.
    public static let variants: [FormatVariant] =
        [
            FormatVariant(format: .raw),
            FormatVariant(format: .vhd, settings: ["subformat": "dynamic"]),
            FormatVariant(format: .vhd, settings: ["subformat": "fixed"]),
            FormatVariant(format: .qcow2),
            FormatVariant(
                format: .qcow2, settings: ["compress": "on", "compression_type": "zlib"],
                compression: .init(method: .deflate, levels: QCOW2Layout.zlibLevels)),
            FormatVariant(
                format: .qcow2, settings: ["compress": "on", "compression_type": "zstd"],
                compression: .init(method: .zstd, levels: QCOW2Layout.zstdLevels)),
            FormatVariant(format: .vmdk, settings: ["subformat": VMDKSubformat.monolithicSparse.rawValue]),
            FormatVariant(
                format: .vmdk, settings: ["subformat": VMDKSubformat.streamOptimized.rawValue],
                compression: .init(method: .zlib, levels: VMDKEncoder.compressionLevels)),
        ]
        + VMDKSubformat.allCases.filter(\.isSeveralFiles).map { subformat in
            FormatVariant(format: .vmdk, settings: ["subformat": subformat.rawValue], isSeveralFiles: true)
        }
        + [
            FormatVariant(format: .vdi),
            FormatVariant(format: .vdi, settings: ["static": "on"]),
        ]
        + RawPackaging.allCases.map { packaging in
            FormatVariant(
                format: packaging.format,
                compression: .init(method: packaging.method, levels: packaging.compressionLevels))
        }
}
