public import ImageModel

/// The only place that knows every format: makes its encoder, its reader and its checker.
public enum FormatCatalog {
    /// The encoder of a format.
    ///
    /// - Throws: `invalid-option` for an option that the format does not have; `limit-exceeded` for a disk too large.
    public static func encoder(for format: ImageFormat, parameters: EncoderParameters, options: FormatOptions = .init())
        throws(ImageError) -> any ImageEncoder
    {
        switch writtenFormat(of: format, options: options) {
        case .raw: try RawEncoder(parameters: parameters, options: options)
        case .vhd: try VHDEncoder(parameters: parameters, options: options)
        case .qcow2: try QCOW2Encoder(parameters: parameters, options: options)
        case .vmdk: try VMDKEncoder(parameters: parameters, options: options)
        case .vdi: try VDIEncoder(parameters: parameters, options: options)
        case .rawPackage: try RawPackageEncoder(.tarGzip, parameters: parameters, options: options)
        case .rawGzip: try RawPackageEncoder(.gzip, parameters: parameters, options: options)
        case .rawZstandard: try RawPackageEncoder(.zstandard, parameters: parameters, options: options)
        }
    }

    /// Whether an image can be written of a disk whose size is known last.
    ///
    /// - Throws: `invalid-option` for an option that the format does not have.
    public static func takesSizeLast(_ format: ImageFormat, options: FormatOptions) throws(ImageError) -> Bool {
        // A size that every format has room for, with any of its options.
        let size: UInt64 = 1 << 20
        let parameters = EncoderParameters(contentLength: size, virtualSize: size, isSizeKnown: false)
        return try encoder(for: format, parameters: parameters, options: options).takesSizeLast
    }

    /// What an image of these options has to be read as: a raw disk in a package is a raw file no more.
    public static func writtenFormat(of format: ImageFormat, options: FormatOptions) -> ImageFormat {
        guard format == .raw else { return format }
        return RawPackaging.allCases.first { options.asks("package", for: $0.rawValue) }?.format ?? .raw
    }

    /// Whether a file can belong to an image of several files: what the others are called follows from the one that is opened.
    ///
    /// - Parameters:
    ///   - name: without directories.
    ///   - first: the name of the one that is opened.
    public static func isFile(_ name: String, ofImage first: String) -> Bool {
        VMDKFileSet.isName(name, ofExtentBeside: first)
    }

    /// Opens an image with everything that its content is in.
    ///
    /// - Parameters:
    ///   - references: what opens the files that the image names.
    ///   - snapshot: the internal snapshot to read in place of the disk as it is now.
    /// - Throws: `corrupt`, `truncated`, `unsupported`, `external-reference`, `mismatch` or `limit-exceeded`; `input-output` for a
    ///   file that can't be opened; `invalid-option` for a snapshot that is not there.
    public static func open(
        _ source: any ImageSource, as format: ImageFormat, _ references: any ReferencedFiles = NoReferencedFiles(),
        snapshot: SnapshotSelection? = nil
    ) throws(ImageError) -> OpenedImage {
        try ImageChain.open(format, source, references, snapshot: snapshot)
    }

    /// The reader of an image that is whole in one file, with the header read and checked.
    ///
    /// - Throws: `corrupt`, `truncated`, `unsupported`, `external-reference` or `limit-exceeded`.
    public static func reader(for format: ImageFormat, source: any ImageSource) throws(ImageError) -> any ImageReader {
        try open(source, as: format).reader
    }

    /// What the header of an image says, whatever other files its content is in: none is opened.
    ///
    /// - Returns: a reader for all but extents.
    /// - Throws: `corrupt`, `truncated`, `unsupported` or `limit-exceeded`.
    public static func header(of source: any ImageSource, as format: ImageFormat) throws(ImageError) -> any ImageReader
    {
        try readerType(of: format).init(source: source)
    }

    /// What reads a format.
    static func readerType(of format: ImageFormat) -> any ImageReader.Type {
        switch format {
        case .raw: RawReader.self
        case .vhd: VHDReader.self
        case .qcow2: QCOW2Reader.self
        case .vmdk: VMDKReader.self
        case .vdi: VDIReader.self
        case .rawPackage: RawPackageReader<TarGzipPackage>.self
        case .rawGzip: RawPackageReader<GzipPackage>.self
        case .rawZstandard: RawPackageReader<ZstandardPackage>.self
        }
    }

    /// Looks for what is wrong in an image of a format.
    public static func check(_ source: any ImageSource, as format: ImageFormat) -> CheckReport {
        switch format {
        case .raw: RawChecker.check(source)
        case .vhd: VHDChecker.check(source)
        case .qcow2: QCOW2Checker.check(source)
        case .vmdk: VMDKChecker.check(source)
        case .vdi: VDIChecker.check(source)
        case .rawPackage: RawPackageChecker<TarGzipPackage>.check(source)
        case .rawGzip: RawPackageChecker<GzipPackage>.check(source)
        case .rawZstandard: RawPackageChecker<ZstandardPackage>.check(source)
        }
    }

    /// The same for an image that is open, with the files that its own content is in: each that has tables is looked at.
    ///
    /// - Parameter opened: the source that `open` answered.
    public static func check(_ source: any ImageSource, openedAs opened: any ImageSource, _ format: ImageFormat)
        -> CheckReport
    {
        format == .vmdk ? VMDKChecker.check(source, openedAs: opened) : check(source, as: format)
    }

    /// What makes an image of a format right; nil where nothing can be mended.
    ///
    /// - Throws: `corrupt` where mending would give away content; what the source throws.
    public static func repairPlan(
        for source: any ImageSource, as format: ImageFormat, _ report: CheckReport, scope: RepairScope
    ) throws(ImageError) -> RepairPlan? {
        try repairer(for: format)?.plan(source, report, scope: scope)
    }

    /// Sees that a repair has left the tables pointing at the same bytes.
    ///
    /// - Throws: `verification-failed`.
    public static func requireSameMapping(
        _ before: any ImageSource, _ after: any ImageSource, as format: ImageFormat
    ) throws(ImageError) {
        try repairer(for: format)?.requireSameMapping(before, after)
    }

    /// nil for a format of which nothing is kept twice, and so nothing can be made anew.
    private static func repairer(for format: ImageFormat) -> (any ImageRepairer.Type)? {
        switch format {
        case .vhd: VHDRepairer.self
        case .qcow2: QCOW2Repairer.self
        case .vdi: VDIRepairer.self
        case .raw, .vmdk, .rawPackage, .rawGzip, .rawZstandard: nil
        }
    }
}
