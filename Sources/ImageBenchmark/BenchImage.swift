internal import ImageFiles
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

/// An image that was written, and what it must be.
struct BenchImage: Sendable {
    /// All of it; the files of an image of several lie in it as they were placed.
    let file: FileSource
    let manifest: Manifest
    /// What is opened.
    let first: any ImageSource
    /// What opens the files that it names.
    let references: any ReferencedFiles

    /// - Parameter file: what the conversion wrote.
    init(_ file: FileSource, _ conversion: Conversion, _ result: ConversionResult) throws(ImageError) {
        self.file = file
        manifest = try Manifest(conversion, result)
        let members = try conversion.files(of: result, in: file)
        first = if let opened = members.first { opened } else { file }
        references = members.isEmpty ? NoReferencedFiles() : WrittenFiles(members, names: result.files.map(\.name))
    }

    /// In bytes, of all files together.
    var length: UInt64 { manifest.objectLength }

    /// The disk in it.
    func open() throws(ImageError) -> DiskImage {
        try DiskImage(first, format: manifest.format, references: references)
    }

    /// What `lathe verify --manifest` does.
    func verify(_ work: WorkOptions) throws(ImageError) -> VerificationReport {
        var verification = Verification(first, manifest: manifest, work: work)
        verification.references = references
        return try verification.run()
    }
}
