internal import ImageCodecs
public import ImageFormats
public import ImageModel

/// What an output must be: `lathe.manifest/1`, the JSON beside it.
///
/// It is the same text for the same content, format and options, on every day and machine: no clock, no path, sorted keys.
public struct Manifest: Hashable, Sendable {
    /// What `schema` says: the name, and the major version behind the slash.
    public static let schema = "lathe.manifest/1"

    /// What the file is read as.
    public var format: ImageFormat
    /// Every option of the encoder with what it came to, and what else decides about the bytes.
    public var options: [String: String]
    /// Of the image, in bytes, a multiple of 512.
    public var virtualSize: UInt64
    /// The guest bytes that the source had: less than `virtualSize` only for a raw file that ended inside a sector, and where the
    /// option `align` rounded the size of the disk up.
    public var sourceLength: UInt64
    /// Of the guest's content, to the virtual size of the image.
    public var content: Checksums
    /// The length of the image file, in bytes; of several files, of all one behind the other.
    public var objectLength: UInt64
    /// Of the image file, or of its files one behind the other.
    public var object: Checksums
    /// The files of an image of several, the one that is opened first; their names follow that of the destination.
    public var files: [WrittenFile]
    /// Of each part of the image file, or of each file, which each begin a part.
    public var parts: PartChecksums
    /// Lathe's version, and that of the compressor where there is one.
    public var encoder: [String: String]

    /// The key in `options` that says which zeros were written out, where that changes what is allocated.
    static let sparseSizeKey = "sparse_size"
    /// The key in `options` of the size, in bytes, to a multiple of which the disk was rounded up.
    static let alignmentKey = "align"
    /// The key in `options` of the time that the format records.
    static let timestampKey = "timestamp"

    init(
        format: ImageFormat, options: [String: String], virtualSize: UInt64, sourceLength: UInt64, content: Checksums,
        objectLength: UInt64, object: Checksums, files: [WrittenFile] = [], parts: PartChecksums,
        encoder: [String: String]
    ) {
        self.format = format
        self.options = options
        self.virtualSize = virtualSize
        self.sourceLength = sourceLength
        self.content = content
        self.objectLength = objectLength
        self.object = object
        self.files = files
        self.parts = parts
        self.encoder = encoder
    }

    /// What a conversion made.
    ///
    /// - Parameters:
    ///   - object: of the image file, where more than its CRC-64 is known.
    ///   - files: of several files, in the same way.
    /// - Throws: `invalid-option`, where the conversion could not have been made.
    public init(
        _ conversion: Conversion, _ result: ConversionResult, object: Checksums? = nil, files: [WrittenFile]? = nil
    ) throws(ImageError) {
        guard let content = result.content, let parts = result.parts, let objectCRC64 = result.objectCRC64 else {
            throw ImageError(.invalidOption, "a manifest is made of checksums, and none were computed; compute them")
        }
        guard !conversion.trustsHoles else {
            throw ImageError(
                .invalidOption,
                "a manifest says what a disk's content comes to, and a result that trusts holes also depends on how the "
                    + "source was allocated; leave '--trust-holes' out")
        }
        let encoder = try conversion.makeEncoder()
        format = conversion.writtenFormat
        options = encoder.options
        if conversion.sparsePolicy == .noHoles { options[Self.sparseSizeKey] = "0" }
        virtualSize = result.virtualSize
        sourceLength = conversion.image.reader.contentLength
        self.content = content
        objectLength = result.objectLength
        self.object = object ?? Checksums(crc64ecma: objectCRC64)
        self.files = files ?? result.files
        self.parts = parts
        self.encoder = Self.encoder(of: encoder)
    }

    /// What an option rounded the size of the disk up from, in bytes; nil where none did.
    public var sourceVirtualSize: UInt64? {
        let size = sourceLength.dividedRoundingUp(by: sectorSize) * sectorSize
        return size < virtualSize ? size : nil
    }

    /// The files of an image of several, in an address space in which each begins where no part of another is.
    public var members: [MemberFile] {
        var start: UInt64 = 0
        return files.map { file in
            let member = MemberFile(name: file.name, range: FileRange(start, length: file.length))
            start += file.length.dividedRoundingUp(by: MemberFile.alignment) * MemberFile.alignment
            return member
        }
    }

    /// Whether the image is that of a disk of this size, in bytes, which an option rounded up.
    func isRoundedUp(from size: UInt64) -> Bool {
        options[Self.alignmentKey] != nil && size == sourceVirtualSize
    }

    /// What makes the bytes: Lathe's version, and that of the compressor where there is one.
    package static func encoder(of encoder: any ImageEncoder) -> [String: String] {
        var versions = ["lathe": LatheVersion.current]
        if case .compressed(let compression) = encoder.storage {
            versions[compression.method.rawValue] = Compressor.record(of: compression)
        }
        return versions
    }

    /// The conversion that makes this image anew from a disk of the same content.
    ///
    /// - Throws: `invalid-option` where the manifest has options that this version does not know.
    func conversion(of image: DiskImage, work: WorkOptions) throws(ImageError) -> Conversion {
        var options = options
        let sparseSize = options.removeValue(forKey: Self.sparseSizeKey)
        let timestamp = options.removeValue(forKey: Self.timestampKey).flatMap { UInt64($0) }
        var conversion = Conversion(
            image, to: format, options: FormatOptions(options), sparsePolicy: sparseSize == "0" ? .noHoles : .allHoles,
            timestamp: timestamp ?? EncoderParameters.defaultTimestamp, work: work)
        // Files of an image name each other.
        if let name = files.first?.name { conversion.fileName = name }
        return conversion
    }
}
