internal import ExportService
internal import ImageFiles
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

/// Finds out what the file of a disk is.
enum DiskExamination {
    /// Reads the header, after the format has been told from content and name together, or by the user.
    ///
    /// - Throws: `ambiguous-format`; `unsupported`, for an encrypted image too; `corrupt`; `input-output`.
    static func facts(of path: String, format: ImageFormat? = nil) throws(ImageError) -> DiskFacts {
        // Only a header: what counts is who writes when the disk is exported.
        let source = try FileSource(path: path, sharing: .anybody)
        var known = format
        if known == nil { known = try FormatDetection.detect(source, name: path) }
        let image = try DiskImage(source, format: known ?? .raw)
        return DiskFacts(format: image.format.rawValue, virtualSize: image.virtualSize)
    }

    /// The same for a format whose name stands in a file.
    static func facts(of path: String, formatName: String?) throws(ImageError) -> DiskFacts {
        guard let formatName else { return try facts(of: path) }
        guard let format = ImageFormat(name: formatName) else {
            let all = ImageFormat.allCases.map(\.rawValue).joined(separator: ", ")
            throw ImageError(.invalidOption, "there is no format '\(formatName)'; there are \(all)", path: path)
        }
        return try facts(of: path, format: format)
    }
}
