internal import ArgumentParser
internal import Glibc
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

/// What every verb takes that writes an image: which disk, in which format, with which options.
struct ConversionArguments: ParsableArguments {
    @Option(
        name: .customShort("f"),
        help: ArgumentHelp("The source's format; without it, the content shows.", valueName: "fmt"))
    var sourceFormat: ImageFormat?

    @OptionGroup var references: ReferenceArguments
    @OptionGroup var state: SnapshotArguments

    @Option(
        name: .customShort("o"), help: ArgumentHelp("Options of the format to write; see above.", valueName: "k=v,…"))
    var options: [String] = []

    @Flag(
        name: .customShort("c"),
        help: ArgumentHelp(
            "Compress: the clusters of a qcow2 (the same as -o compress=on), and for vmdk the same as -o "
                + "subformat=streamOptimized; a package always is."))
    var compresses = false

    @Option(
        name: .customShort("S"),
        help: ArgumentHelp(
            "Zeros shorter than this between data of one allocation unit are written rather than left as a hole: 4096 and "
                + "more; 0 writes all of the disk.", valueName: "size"))
    var sparseSize = ByteSize(bytes: 4096)

    /// The image to read.
    ///
    /// - Parameter isReadOnce: whether the disk is read in order, each byte once, and its size may be known last.
    func image(
        _ path: String, in store: StoreArguments, _ cancellation: CancellationFlag?, isReadOnce: Bool = false
    ) throws(ImageError) -> DiskImage {
        try store.image(
            path, format: sourceFormat, cancellation, references: references, snapshot: state.snapshot,
            isReadOnce: isReadOnce)
    }

    /// The options of the format to write.
    func formatOptions(_ format: ImageFormat) throws(ImageError) -> FormatOptions {
        var options = try FormatOptions(parsing: options)
        if compresses {
            switch FormatCatalog.writtenFormat(of: format, options: options) {
            case .vmdk: try options.imply("subformat", "streamOptimized", because: "-c")
            case .qcow2: try options.imply("compress", "on", because: "-c")
            case .rawPackage, .rawGzip, .rawZstandard: break
            case .raw, .vhd, .vdi:
                throw ImageError(
                    .unsupported,
                    "-c: Lathe does not write \(format.rawValue) compressed; leave -c out, or write a qcow2, vmdk or "
                        + "raw.zst"
                )
            }
        }
        return options
    }

    func sparsePolicy() throws(ImageError) -> SparsePolicy {
        let size = sparseSize.bytes
        switch size {
        case 0: return .noHoles
        case 4096: return .allHoles
        case 4097...: return .holesOfAtLeast(size)
        default:
            throw ImageError(
                .invalidOption, "-S \(size) is less than a file-system block; it is 0, for no holes, or 4096 and more")
        }
    }

    /// SOURCE_DATE_EPOCH, as reproducible-builds.org specifies it.
    func timestamp() throws(ImageError) -> UInt64 {
        guard let text = unsafe getenv("SOURCE_DATE_EPOCH").map({ unsafe String(cString: $0) }), !text.isEmpty else {
            return EncoderParameters.defaultTimestamp
        }
        guard let seconds = UInt64(text) else {
            throw ImageError(
                .invalidOption, "SOURCE_DATE_EPOCH is '\(text)', expected a number of seconds since 1970-01-01 UTC")
        }
        return seconds
    }
}
