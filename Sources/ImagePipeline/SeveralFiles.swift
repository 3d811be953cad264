import ImageFormats
public import ImageModel

/// Images that are several files.
extension Conversion {
    /// Refuses an image of several files, for destinations that are one.
    ///
    /// - Throws: `invalid-option`.
    static func requireOneFile(_ encoder: any ImageEncoder) throws(ImageError) {
        guard !encoder.files.isEmpty else { return }
        throw ImageError(
            .invalidOption,
            "subformat=\(encoder.options["subformat"] ?? "") is \(encoder.files.count) files, a descriptor and extents beside it, and "
                + "here is room for one: write it into a directory with 'lathe convert', or choose monolithicSparse or "
                + "streamOptimized")
    }

    /// The files of an image of several, out of a source that has each of them where it was placed.
    ///
    /// - Parameter result: what this conversion made.
    /// - Throws: `invalid-option`, where the conversion could not have been made.
    public func files(of result: ConversionResult, in source: any ImageSource) throws(ImageError) -> [SourceWindow] {
        // Where they begin is known from the beginning, how long they are only now.
        zip(try makeEncoder().files, result.files).map { placed, written in
            SourceWindow(source, FileRange(start: placed.range.start, length: written.length), name: placed.name)
        }
    }
}
