internal import ArgumentParser
internal import ImageFiles
internal import ImageModel
internal import ImagePipeline

/// `--checksum`: names joined by commas, or none.
struct ChecksumList: ExpressibleByArgument {
    var selection: ChecksumSelection

    init(selection: ChecksumSelection) { self.selection = selection }

    init?(argument: String) {
        if argument == "none" {
            selection = .none
            return
        }
        // CRC-64 costs next to nothing, and is what locates damage.
        selection = .crc64ecma
        for name in argument.split(separator: ",", omittingEmptySubsequences: false) {
            switch name {
            case "crc64ecma": continue
            case "sha256": selection.insert(.sha256)
            case "sha256-tree": selection.insert(.sha256Tree)
            default: return nil
            }
        }
    }

    static let allValueStrings = ["none", "crc64ecma", "sha256", "sha256-tree"]
    var defaultValueDescription: String { "crc64ecma" }
}

/// Where a manifest goes: asked for before the work, so that a place that can't be written to costs no conversion; it appears with
/// the image that it speaks of, or neither does (`FileSink.commit(_:)`).
struct ManifestFile {
    let sink: FileSink

    /// - Returns: nil where no manifest is asked for.
    /// - Throws: what `FileSink` throws; `invalid-option` where the manifest would take the image's place; `destination-exists`
    ///   where it would take that of what is read, or of anything but a manifest.
    init?(path: String?, replacing: Bool, flushing: Bool) throws(ImageError) {
        guard let path else { return nil }
        guard path != "-" else {
            throw ImageError(
                .invalidOption,
                "the manifest can't go to standard output, where the result or its report goes; name a file")
        }
        try CommandFiles.inUse.claim(path, "the manifest")
        if replacing {
            try CommandFiles.requireReplaceable(path, "a manifest") { (file) throws(ImageError) in
                _ = try Manifest(source: file)
                return true
            }
        }
        sink = try FileSink(path: path, replacing: replacing, flushing: flushing)
    }

    /// Fills the file, which has no name yet.
    func write(_ manifest: Manifest) throws(ImageError) {
        let bytes = try manifest.encoded()
        try sink.write(metadata: bytes.span, at: FileOffset(0))
        try sink.finish(length: UInt64(bytes.count))
    }
}
