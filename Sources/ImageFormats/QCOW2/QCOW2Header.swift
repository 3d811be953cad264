package import ImageModel

/// The header of a qcow2 file, its extensions, and their meaning.
///
/// Source: QEMU `docs/interop/qcow2.rst`, sections "Header" and "Header extensions"; all integers are big-endian.
package struct QCOW2Header: Hashable, Sendable {
    /// `QFI\xfb`, at byte 0.
    package static let magic: UInt32 = 0x5146_49FB
    /// The header of version 2, which has no length field.
    static let version2Length: UInt64 = 72
    /// The least header of version 3.
    static let minimumLength: UInt64 = 104
    /// The header that QEMU and Lathe write: with the compression type and its padding.
    static let writtenLength: UInt64 = 112
    /// What `encoded()` answers: the header, the feature name table and the end of the extensions.
    static let encodedLength: UInt64 = 512
    /// With extended L2 entries: a cluster has 32 subclusters of a sector or more.
    static let minimumExtendedClusterBits: UInt32 = 14

    /// `incompatible_features`: a program that knows not all that are set must not open the image.
    struct IncompatibleFeatures: OptionSet, Hashable, Sendable {
        let rawValue: UInt64
        static let dirty = Self(rawValue: 1 << 0)
        static let corrupt = Self(rawValue: 1 << 1)
        static let externalDataFile = Self(rawValue: 1 << 2)
        static let compressionType = Self(rawValue: 1 << 3)
        static let extendedL2 = Self(rawValue: 1 << 4)
        static let known: Self = [.dirty, .corrupt, .externalDataFile, .compressionType, .extendedL2]
    }

    /// `crypt_method`.
    enum Encryption: UInt32, Sendable {
        case none = 0
        case aes = 1
        case luks = 2
    }

    /// Types of header extensions that say where content or clusters are.
    enum Extension {
        static let end: UInt32 = 0
        static let featureNameTable: UInt32 = 0x6803_F857
        static let bitmaps: UInt32 = 0x2385_2875
        static let encryptionHeader: UInt32 = 0x0537_BE77
        static let backingFormat: UInt32 = 0xE279_2ACA
        static let dataFileName: UInt32 = 0x4441_5441
    }

    var version: UInt32
    var backingFileOffset: UInt64 = 0
    var backingFileSize: UInt32 = 0
    var clusterBits: UInt32
    /// `size`: the virtual size in bytes, as the file says it.
    var diskSize: UInt64
    var encryption = Encryption.none
    /// `l1_size`: entries of the active L1 table.
    var l1EntryCount: UInt64
    /// `l1_table_offset`: file offset of the active L1 table.
    var l1Offset: UInt64
    var refcountTableOffset: UInt64
    var refcountTableClusters: UInt64
    /// `nb_snapshots`.
    var snapshotCount: UInt64 = 0
    var snapshotsOffset: UInt64 = 0
    var incompatibleFeatures: IncompatibleFeatures = []
    var compatibleFeatures: UInt64 = 0
    var autoclearFeatures: UInt64 = 0
    /// `refcount_order`: a refcount has 1 << this many bits.
    var refcountOrder: UInt32 = 4
    var headerLength: UInt64 = writtenLength
    /// `compression_type`: 0 is zlib, by which qcow2 means raw deflate, 1 is zstd.
    var compressionType: UInt8 = 0
    /// Where the data of the bitmaps extension is, where there is one.
    var bitmaps: FileRange?
    /// Where the data of the full disk encryption header pointer is, where there is one.
    var encryptionHeader: FileRange?
    /// Where the name of the backing file's format is, where there is one.
    var backingFormatName: FileRange?
    /// Where the name of the external data file is, where there is one.
    var dataFileName: FileRange?
    /// Where the names of the features are, where there is such a table.
    var featureNames: FileRange?
}

// MARK: - What follows from the fields

extension QCOW2Header {
    /// The virtual size in whole sectors, rounded down as QEMU does.
    var virtualSize: UInt64 { diskSize.roundedDown(toMultipleOf: sectorSize) }
    /// In bytes.
    var clusterSize: UInt64 { 1 << UInt64(clusterBits) }
    /// Entries of an L2 table, which is one cluster.
    var l2EntryCount: UInt64 { clusterSize / (hasExtendedL2 ? 2 * QCOW2Tables.entryLength : QCOW2Tables.entryLength) }
    /// Guest bytes that one L2 table maps.
    var l2Coverage: UInt64 { l2EntryCount * clusterSize }
    /// L1 entries that the virtual size needs.
    var neededL1Entries: UInt64 { diskSize.dividedRoundingUp(by: l2Coverage) }
    /// The width of a refcount.
    var refcountBits: UInt64 { 1 << UInt64(refcountOrder) }
    /// Refcounts of one refcount block, which is one cluster.
    var refcountsPerBlock: UInt64 { clusterSize * 8 / refcountBits }
    var compressionMethod: CompressionMethod { compressionType == 1 ? .zstd : .deflate }
    /// `compatible_features` bit 0.
    var hasLazyRefcounts: Bool { compatibleFeatures & 1 != 0 }
    /// Whether L2 entries have a bitmap of subclusters behind them.
    var hasExtendedL2: Bool { incompatibleFeatures.contains(.extendedL2) }
    /// Whether the content is in a file of its own, and only the tables are in this one.
    var hasDataFile: Bool { incompatibleFeatures.contains(.externalDataFile) }
    /// `autoclear_features` bit 1: the data file is the raw disk, whether or not the tables are looked at.
    var hasRawDataFile: Bool { hasDataFile && autoclearFeatures & 2 != 0 }
    /// Whether the image holds only what differs from a backing file.
    var hasBackingFile: Bool { backingFileOffset != 0 && backingFileSize != 0 }
    /// `autoclear_features` bit 0: the bitmaps are as the last program that wrote to the disk left them.
    var hasValidBitmaps: Bool { autoclearFeatures & 1 != 0 }
    var l1Range: FileRange { FileRange(l1Offset, length: l1EntryCount * QCOW2Tables.entryLength) }
    var refcountTableRange: FileRange { FileRange(refcountTableOffset, length: refcountTableClusters * clusterSize) }
}

// MARK: - From bytes

extension QCOW2Header {
    /// Reads the fields and finds the extensions; see `validate` for what they must hold.
    ///
    /// - Throws: `truncated`, or `corrupt` or `unsupported` where magic, version, sizes or extensions are not ours.
    package init(source: any ImageSource) throws(ImageError) {
        func refusal(_ code: ImageError.Code, _ message: String, _ offset: UInt64) -> ImageError {
            ImageError(code, message, path: source.name, offset: FileOffset(offset))
        }
        let bytes = try source.read(FileRange(0, length: Self.version2Length))
        let magic: UInt32 = bytes.bigEndian(at: 0)
        guard magic == Self.magic else {
            throw refusal(.corrupt, "qcow2 magic is \(hex(magic)), expected \(hex(Self.magic))", 0)
        }
        version = bytes.bigEndian(at: 4)
        guard version == 2 || version == 3 else {
            throw refusal(.unsupported, "qcow2 version is \(version); Lathe reads 2 and 3", 4)
        }
        backingFileOffset = bytes.bigEndian(at: 8)
        backingFileSize = bytes.bigEndian(at: 16)
        clusterBits = bytes.bigEndian(at: 20)
        guard ImageLimits.QCOW2.clusterBits.contains(clusterBits) else {
            throw refusal(
                .unsupported, "qcow2 cluster_bits is \(clusterBits); clusters have 9 (512 bytes) to 21 bits (2 MiB)", 20
            )
        }
        diskSize = bytes.bigEndian(at: 24)
        let cryptMethod: UInt32 = bytes.bigEndian(at: 32)
        guard let encryption = Encryption(rawValue: cryptMethod) else {
            throw refusal(
                .unsupported, "qcow2 crypt_method is \(cryptMethod); 0 (none), 1 (AES) and 2 (LUKS) are known", 32)
        }
        self.encryption = encryption
        l1EntryCount = UInt64(bytes.bigEndian(UInt32.self, at: 36))
        l1Offset = bytes.bigEndian(at: 40)
        refcountTableOffset = bytes.bigEndian(at: 48)
        refcountTableClusters = UInt64(bytes.bigEndian(UInt32.self, at: 56))
        snapshotCount = UInt64(bytes.bigEndian(UInt32.self, at: 60))
        snapshotsOffset = bytes.bigEndian(at: 64)
        headerLength = Self.version2Length
        if version >= 3 { try readVersion3Fields(source) }
        try readExtensions(source)
    }

    /// What the image calls the incompatible features that are not known; none where it has no such feature.
    ///
    /// They are no field of the header: with an array in it, each copy would count references, and mapping is 30 % slower.
    func unknownFeatures(in source: any ImageSource) throws(ImageError) -> [String] {
        let unknown = incompatibleFeatures.subtracting(.known)
        return unknown.isEmpty ? [] : try names(ofFeatures: unknown.rawValue, kind: 0, in: source)
    }

    private mutating func readVersion3Fields(_ source: any ImageSource) throws(ImageError) {
        let bytes = try source.read(FileRange(0, length: Self.minimumLength))
        incompatibleFeatures = IncompatibleFeatures(rawValue: bytes.bigEndian(at: 72))
        compatibleFeatures = bytes.bigEndian(at: 80)
        autoclearFeatures = bytes.bigEndian(at: 88)
        refcountOrder = bytes.bigEndian(at: 96)
        headerLength = UInt64(bytes.bigEndian(UInt32.self, at: 100))
        guard headerLength >= Self.minimumLength, headerLength % 8 == 0, headerLength <= clusterSize else {
            throw ImageError(
                .corrupt,
                "qcow2 header_length is \(headerLength), expected a multiple of 8 from \(Self.minimumLength) to the "
                    + "cluster's \(clusterSize)", path: source.name, offset: FileOffset(100))
        }
        if headerLength > Self.minimumLength {
            compressionType = try source.read(FileRange(Self.minimumLength, length: 1))[0]
        }
    }

    /// Walks the extensions, which end at a type of 0, at the backing file's name, or with the first cluster.
    private mutating func readExtensions(_ source: any ImageSource) throws(ImageError) {
        let nameOffset = backingFileOffset == 0 ? clusterSize : min(backingFileOffset, clusterSize)
        let end = min(nameOffset, source.length)
        var position = headerLength
        while position + 8 <= end {
            let bytes = try source.read(FileRange(position, length: 8))
            let type: UInt32 = bytes.bigEndian(at: 0)
            let length = UInt64(bytes.bigEndian(UInt32.self, at: 4))
            if type == Extension.end { return }
            let data = FileRange(position + 8, length: length)
            guard data.end.bytes <= end else {
                throw ImageError(
                    .corrupt,
                    "qcow2 header extension \(hex(type)) has \(length) bytes, more than fit before byte \(end), where the "
                        + "extensions must end", path: source.name, offset: FileOffset(position))
            }
            if type == Extension.bitmaps { bitmaps = data }
            if type == Extension.encryptionHeader { encryptionHeader = data }
            if type == Extension.backingFormat { backingFormatName = data }
            if type == Extension.dataFileName { dataFileName = data }
            if type == Extension.featureNameTable { featureNames = data }
            position = data.end.bytes + (8 - length % 8) % 8
        }
    }
}

// MARK: - What must hold

extension QCOW2Header {
    /// What must hold before any table is looked up, whoever asks.
    ///
    /// - Parameter unknownFeatures: the names of the incompatible features that are not known, for the error.
    /// - Throws: `unsupported`, `corrupt` or `limit-exceeded`.
    func validate(path: String, unknownFeatures: [String] = []) throws(ImageError) {
        func refusal(_ code: ImageError.Code, _ message: String, _ offset: UInt64) -> ImageError {
            ImageError(code, message, path: path, offset: FileOffset(offset))
        }
        let unknown = incompatibleFeatures.subtracting(.known)
        guard unknown.isEmpty else {
            throw refusal(
                .unsupported,
                "qcow2 incompatible feature bits \(hex(unknown.rawValue)) are not known to Lathe"
                    + (unknownFeatures.isEmpty ? "" : ": \(unknownFeatures.joined(separator: ", "))")
                    + "; convert the image with the program that wrote it", 72)
        }
        guard compressionType <= 1 else {
            throw refusal(
                .unsupported, "qcow2 compression type is \(compressionType); Lathe reads 0 (zlib), 1 (zstd)", 104)
        }
        guard (compressionType != 0) == incompatibleFeatures.contains(.compressionType) else {
            throw refusal(
                .corrupt,
                "qcow2 compression type is \(compressionType), but incompatible feature bit 3, which must be set for all "
                    + "types but 0 and for no other, says otherwise", 104)
        }
        guard refcountOrder <= ImageLimits.QCOW2.refcountOrder else {
            throw refusal(.corrupt, "qcow2 refcount_order is \(refcountOrder), expected 0 (1 bit) to 6 (64 bits)", 96)
        }
        guard backingFileOffset <= clusterSize,
            backingFileOffset == 0
                || UInt64(backingFileSize)
                    <= min(ImageLimits.QCOW2.backingFileNameLength, clusterSize - backingFileOffset)
        else {
            throw refusal(
                .corrupt,
                "qcow2 backing file name of \(backingFileSize) bytes at \(backingFileOffset) is not within the "
                    + "first cluster and \(ImageLimits.QCOW2.backingFileNameLength) bytes", 8)
        }
        try validateFeatures(refusal)
        try validateTables(refusal)
    }

    private func validateFeatures(_ refusal: (ImageError.Code, String, UInt64) -> ImageError) throws(ImageError) {
        guard !hasExtendedL2 || clusterBits >= Self.minimumExtendedClusterBits else {
            throw refusal(
                .corrupt,
                "qcow2 clusters of \(clusterSize) bytes have extended L2 entries, which take clusters of 16 KiB or more",
                20)
        }
    }

    private func validateTables(_ refusal: (ImageError.Code, String, UInt64) -> ImageError) throws(ImageError) {
        guard l1EntryCount <= ImageLimits.QCOW2.l1TableLength / QCOW2Tables.entryLength else {
            throw refusal(
                .limitExceeded,
                "qcow2 L1 table has \(l1EntryCount) entries; at most "
                    + "\(ImageLimits.QCOW2.l1TableLength / QCOW2Tables.entryLength) can be", 36)
        }
        guard neededL1Entries <= l1EntryCount else {
            throw refusal(
                .corrupt,
                "qcow2 L1 table has \(l1EntryCount) entries, but a disk of \(diskSize) bytes needs \(neededL1Entries)",
                36)
        }
        guard l1EntryCount == 0 || l1Offset != 0, isTablePlace(l1Offset) else {
            throw refusal(.corrupt, "qcow2 L1 table at \(l1Offset) is not at a cluster behind the header", 40)
        }
        guard refcountTableRange.length <= ImageLimits.QCOW2.refcountTableLength else {
            throw refusal(
                .limitExceeded,
                "qcow2 refcount table has \(refcountTableClusters) clusters of \(clusterSize) bytes; at most "
                    + "\(ImageLimits.QCOW2.refcountTableLength) bytes can be", 56)
        }
        guard isTablePlace(refcountTableOffset) else {
            throw refusal(.corrupt, "qcow2 refcount table at \(refcountTableOffset) is not at a cluster", 48)
        }
        guard snapshotCount <= ImageLimits.QCOW2.snapshotCount else {
            throw refusal(
                .limitExceeded,
                "qcow2 has \(snapshotCount) snapshots; at most \(ImageLimits.QCOW2.snapshotCount) can be", 60)
        }
        guard snapshotCount == 0 || snapshotsOffset != 0 && isTablePlace(snapshotsOffset) else {
            throw refusal(
                .corrupt, "qcow2 snapshot table at \(snapshotsOffset) is not at a cluster behind the header", 64)
        }
    }

    private func isTablePlace(_ offset: UInt64) -> Bool {
        offset % clusterSize == 0 && offset <= QCOW2Tables.offsetMask
    }

    /// Refuses content that can't be understood.
    ///
    /// - Throws: `unsupported` for encryption.
    func requireReadable(path: String) throws(ImageError) {
        let method: String
        switch encryption {
        case .none: return
        case .aes: method = "AES-CBC as QEMU once had it"
        case .luks: method = "LUKS"
        }
        throw ImageError(
            .unsupported,
            "this qcow2 image is encrypted (\(method)), which Lathe does not read; decrypt it first, with 'qemu-img convert' "
                + "and its key", path: path, offset: FileOffset(32))
    }
}

// MARK: - To bytes

extension QCOW2Header {
    /// The feature name table that QEMU 7.2 and later write: the feature's kind, its bit and its name.
    private static let featureNames: [(kind: UInt8, bit: UInt8, name: String)] = [
        (0, 0, "dirty bit"), (0, 1, "corrupt bit"), (0, 2, "external data file"), (0, 3, "compression type"),
        (0, 4, "extended L2 entries"), (1, 0, "lazy refcounts"), (2, 0, "bitmaps"), (2, 1, "raw external data"),
    ]

    /// The first 512 bytes of a file with neither backing file nor snapshots.
    ///
    /// Version 2 has none of the fields behind the first 72 bytes, and QEMU gives it no feature names: zeros end its extensions.
    func encoded() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(Self.encodedLength))
        bytes.storeBigEndian(Self.magic, at: 0)
        bytes.storeBigEndian(version, at: 4)
        bytes.storeBigEndian(clusterBits, at: 20)
        bytes.storeBigEndian(diskSize, at: 24)
        bytes.storeBigEndian(UInt32(truncatingIfNeeded: l1EntryCount), at: 36)
        bytes.storeBigEndian(l1Offset, at: 40)
        bytes.storeBigEndian(refcountTableOffset, at: 48)
        bytes.storeBigEndian(UInt32(truncatingIfNeeded: refcountTableClusters), at: 56)
        guard version >= 3 else { return bytes }
        bytes.storeBigEndian(incompatibleFeatures.rawValue, at: 72)
        bytes.storeBigEndian(refcountOrder, at: 96)
        bytes.storeBigEndian(UInt32(truncatingIfNeeded: headerLength), at: 100)
        bytes[104] = compressionType
        var position = Int(Self.writtenLength)
        bytes.storeBigEndian(Extension.featureNameTable, at: position)
        bytes.storeBigEndian(UInt32(Self.featureNames.count * Self.featureNameLength), at: position + 4)
        position += 8
        for feature in Self.featureNames {
            bytes[position] = feature.kind
            bytes[position + 1] = feature.bit
            bytes.store(feature.name.utf8, at: position + 2)
            position += Self.featureNameLength
        }
        // The eight bytes that are left are the end extension: type 0, length 0.
        return bytes
    }
}
