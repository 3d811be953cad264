internal import ArgumentParser
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

struct MeasureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "measure",
        abstract: "Tell how long an image would be, to the byte, without writing it.",
        discussion: """
            The required size is what 'lathe convert' with the same options writes. The disk is read, and compressed where the \
            format asks for it, so it is exact there, too. The fully allocated size is what the same disk takes at most, whatever \
            is written to it: with no zeros in it, and nothing that shrinks when it is compressed. Of a vmdk of several files it is \
            the sum of all.

            Examples:
              lathe measure -O qcow2 disk.raw
              lathe measure -O vhd -o subformat=fixed --size 30G
            """)

    @Option(name: .customShort("O"), help: ArgumentHelp("The format to measure.", valueName: "fmt"))
    var format: ImageFormat

    @OptionGroup var conversion: ConversionArguments

    @Option(
        help: ArgumentHelp("Measure an empty disk of this size, in place of an image.", valueName: "size"),
        transform: Self.diskSize)
    var size: UInt64?

    @Option(
        help: ArgumentHelp(
            "What the image is to be called, where its length depends on that: the descriptor of a vmdk of several files names "
                + "the others after it. (default: as the source, with the format's extension)", valueName: "file"))
    var name: String?

    @Option(help: "For people or for programs.")
    var output: OutputFormat = .human

    @OptionGroup var flags: WorkFlags

    @OptionGroup(title: "Files and Object Store") var store: StoreArguments

    @Argument(help: "The image to read; '-' is standard input.", completion: .file())
    var source: String?

    /// The largest disk of whole sectors: offsets in files are signed numbers of 64 bits.
    static let largestDisk = UInt64(Int64.max) / sectorSize * sectorSize

    private static func diskSize(_ text: String) throws -> UInt64 {
        guard let size = ByteSize(argument: text) else {
            guard text.dropLast().allSatisfy(\.isNumber), let last = text.lowercased().last,
                "0123456789kmgtpe".contains(last)
            else {
                throw ValidationError("it is a number of bytes, or one with k, M, G, T, P or E (powers of 1024).")
            }
            throw ValidationError("no disk is larger than \(largestDisk) bytes, which is 8 EiB less a sector.")
        }
        guard size.bytes <= largestDisk else {
            throw ValidationError("no disk is larger than \(largestDisk) bytes, which is 8 EiB less a sector.")
        }
        return size.bytes
    }

    /// What `measure --output json` prints: the keys are those of `qemu-img measure`.
    struct Report: Encodable {
        var required: UInt64
        /// Left out where the format can't hold so much.
        var fullyAllocated: UInt64?

        enum CodingKeys: String, CodingKey {
            case required
            case fullyAllocated = "fully-allocated"
        }
    }

    func validate() throws {
        if source != nil, size != nil {
            throw ValidationError("--size measures an empty disk, and an image has a size: give one of them.")
        }
        if source == nil, size == nil { throw ValidationError("Name an image, or give the size of a disk: --size.") }
    }

    func run() throws {
        try runCommand(flags) { work in
            let options = try conversion.formatOptions(format)
            let image = try disk(work)
            var made = Conversion(
                image, to: format, options: options, sparsePolicy: try conversion.sparsePolicy(),
                timestamp: try conversion.timestamp(), work: work.reading(image, flags: flags))
            made.fileName = name.map(PathText.lastComponent) ?? defaultName
            let measured = try made.measure()
            let report = Report(required: measured.required, fullyAllocated: measured.fullyAllocated)
            try Rendering.render(report, as: output) {
                let most =
                    measured.fullyAllocated.map(String.init) ?? "more than a \(format.rawValue) file can hold"
                return "required size: \(measured.required)\nfully allocated size: \(most)"
            }
        }
    }

    /// Neither an empty disk nor standard input has a name.
    private var defaultName: String {
        let stem = source.flatMap { $0 == "-" ? nil : PathText.stem(of: $0) } ?? EncoderParameters.defaultFileName
        return stem + "." + format.rawValue
    }

    private func disk(_ work: WorkOptions) throws(ImageError) -> DiskImage {
        if let source { return try conversion.image(source, in: store, work.cancellation) }
        return try DiskImage(BlankSource(name: "the disk", length: size ?? 0), format: .raw)
    }
}
