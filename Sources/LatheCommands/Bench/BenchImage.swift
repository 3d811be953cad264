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
        // Where they begin is known from the beginning, how long they are only now.
        let members = zip(try conversion.makeEncoder().files, result.files).map { member, written in
            SourceWindow(
                file, FileRange(start: member.range.start, length: written.length), name: member.name)
        }
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

/// Puts all files of an image into one, each where it was placed: nobody needs to see them apart.
final class BenchSink: MemberFilesSink {
    private let file: any ReadableSink

    init(_ file: any ReadableSink) { self.file = file }

    var isSequential: Bool { file.isSequential }

    func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) { try file.write(data: data, at: offset) }

    func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try file.write(metadata: metadata, at: offset)
    }

    func cloning(of source: any ImageSource) -> CloningSupport { file.cloning(of: source) }

    func clone(_ range: FileRange, of source: any ImageSource, to offset: FileOffset) throws(ImageError) -> Bool {
        try file.clone(range, of: source, to: offset)
    }

    func finish(length: UInt64) throws(ImageError) { try file.finish(length: length) }

    func finish(files: [MemberFile]) throws(ImageError) {
        try file.finish(length: files.map(\.range.end.bytes).max() ?? 0)
    }
}
