package import ImageModel

/// The header of a hosted sparse extent, and the footer of a stream, which has the same fields.
///
/// Source: VMware Virtual Disk Format 5.0, `SparseExtentHeader`; all integers are little-endian and count sectors of 512
/// bytes.
package struct VMDKHeader: Hashable, Sendable {
    /// `SPARSE_MAGICNUMBER`: `KDMV` as bytes.
    package static let magicNumber: UInt32 = 0x564D_444B
    /// `GD_AT_END`: the footer knows where the grain directory is.
    static let directoryAtEnd: UInt64 = 0xFFFF_FFFF_FFFF_FFFF
    /// `COMPRESSION_DEFLATE`; what is stored is an RFC 1950 stream, whatever the name says.
    static let compressionDeflate: UInt16 = 1
    /// Bytes of the fields; zeros follow up to the end of the sector.
    static let encodedLength: UInt64 = 79
    /// `singleEndLineChar`, `nonEndLineChar`, `doubleEndLineChar1` and `2`: a transfer as text would change them.
    static let newlineTest: [UInt8] = [0x0A, 0x20, 0x0D, 0x0A]

    /// Where the newline bytes start.
    static let newlineTestOffset: UInt64 = 73

    /// The `flags` field.
    struct Flags: OptionSet, Hashable, Sendable {
        let rawValue: UInt32

        /// Bit 0: the newline bytes are there.
        static let newlineTest = Flags(rawValue: 1)
        /// Bit 1: there is a redundant grain directory.
        static let redundantDirectory = Flags(rawValue: 2)
        /// Bit 2: a grain table entry of 1 is a grain of zeros.
        static let zeroedGrain = Flags(rawValue: 4)
        /// Bit 16: grains are compressed.
        static let compressed = Flags(rawValue: 1 << 16)
        /// Bit 17: grains and tables have markers in front.
        static let markers = Flags(rawValue: 1 << 17)

        /// Every flag with a known meaning.
        static let known: Flags = [.newlineTest, .redundantDirectory, .zeroedGrain, .compressed, .markers]
    }

    var version: UInt32
    var flags: Flags
    /// The disk's size in sectors.
    var capacity: UInt64
    /// `grainSize`, in sectors.
    var grainSize: UInt64
    /// The first sector of the embedded descriptor; 0 where there is none.
    var descriptorOffset: UInt64
    /// In sectors.
    var descriptorSize: UInt64
    /// `numGTEsPerGT`: entries of a grain table.
    var entriesPerTable: UInt64
    /// `rgdOffset`: the first sector of the redundant grain directory.
    var redundantDirectoryOffset: UInt64
    /// `gdOffset`: the first sector of the grain directory.
    var directoryOffset: UInt64
    /// `overHead`: the sectors in front of the first grain.
    var overHead: UInt64
    /// Whether a program had the image open for writing when it ended.
    var uncleanShutdown = false
    /// The four bytes as they are.
    var newlineBytes = newlineTest
    var compressAlgorithm: UInt16

    /// The virtual size in bytes; holds once `validate` has passed.
    var virtualSize: UInt64 { capacity * sectorSize }

    var isCompressed: Bool { flags.contains(.compressed) }
}

// MARK: - From bytes

extension VMDKHeader {
    /// Reads the fields at the start of a file; see `validate` for what they must hold.
    ///
    /// - Throws: `truncated`; `corrupt` where it is not a hosted sparse extent.
    package init(source: any ImageSource) throws(ImageError) { try self.init(source: source, at: FileOffset(0)) }

    /// Reads the fields at `offset`.
    init(source: any ImageSource, at offset: FileOffset) throws(ImageError) {
        let bytes = try source.read(FileRange(start: offset, length: Self.encodedLength))
        let magic: UInt32 = bytes.littleEndian(at: 0)
        guard magic == Self.magicNumber else {
            throw ImageError(
                .corrupt, "VMDK magic number is \(hex(magic)), expected \(hex(Self.magicNumber))", path: source.name,
                offset: offset)
        }
        version = bytes.littleEndian(at: 4)
        flags = Flags(rawValue: bytes.littleEndian(at: 8))
        capacity = bytes.littleEndian(at: 12)
        grainSize = bytes.littleEndian(at: 20)
        descriptorOffset = bytes.littleEndian(at: 28)
        descriptorSize = bytes.littleEndian(at: 36)
        entriesPerTable = UInt64(bytes.littleEndian(UInt32.self, at: 44))
        redundantDirectoryOffset = bytes.littleEndian(at: 48)
        directoryOffset = bytes.littleEndian(at: 56)
        overHead = bytes.littleEndian(at: 64)
        uncleanShutdown = bytes[72] != 0
        newlineBytes = Array(bytes[73..<77])
        compressAlgorithm = bytes.littleEndian(at: 77)
    }

    /// What must hold before any grain is looked up.
    ///
    /// The directory's place is checked by `VMDKTables`.
    ///
    /// - Parameter offset: where the header or footer stands.
    /// - Throws: `unsupported`, `corrupt` or `limit-exceeded`.
    func validate(path: String, at offset: FileOffset = FileOffset(0)) throws(ImageError) {
        func refusal(_ code: ImageError.Code, _ message: String, _ field: UInt64) -> ImageError {
            ImageError(code, message, path: path, offset: offset + field)
        }
        guard (1...3).contains(version) else {
            throw refusal(.unsupported, "VMDK version is \(version); Lathe reads 1, 2 and 3", 4)
        }
        guard !flags.contains(.newlineTest) || newlineBytes == Self.newlineTest else {
            throw refusal(
                .corrupt,
                "the newline bytes of the VMDK header are \(newlineBytes), expected \(Self.newlineTest): the file was "
                    + "transferred as text; transfer it again as binary", Self.newlineTestOffset)
        }
        guard capacity <= ImageLimits.virtualSize / sectorSize else {
            throw refusal(.limitExceeded, "VMDK capacity is \(capacity) sectors, more than a disk can have", 12)
        }
        guard grainSize.nonzeroBitCount == 1, VMDKTables.grainSizes.contains(grainSize) else {
            throw refusal(
                .corrupt, "VMDK grain size is \(grainSize) sectors, expected a power of two from 8 to 131072", 20)
        }
        guard (1...VMDKTables.standardEntriesPerTable).contains(entriesPerTable) else {
            throw refusal(.corrupt, "a VMDK grain table has \(entriesPerTable) entries, expected 512", 44)
        }
        guard capacity.dividedRoundingUp(by: grainSize * entriesPerTable) <= VMDKTables.maximumTableCount else {
            throw refusal(
                .limitExceeded,
                "VMDK capacity of \(capacity) sectors needs more than \(VMDKTables.maximumTableCount) grain tables", 12)
        }
        guard overHead <= VMDKTables.maximumFileSectors else {
            throw refusal(.corrupt, "VMDK metadata takes \(overHead) sectors, more than a VMDK file can have", 64)
        }
        try validateDescriptorPlace(refusal)
        try validateCompression(refusal)
    }

    private func validateCompression(_ refusal: (ImageError.Code, String, UInt64) -> ImageError) throws(ImageError) {
        guard compressAlgorithm <= Self.compressionDeflate else {
            throw refusal(.unsupported, "VMDK compression algorithm is \(compressAlgorithm); Lathe reads 0 and 1", 77)
        }
        guard isCompressed == (compressAlgorithm == Self.compressionDeflate) else {
            throw refusal(
                .corrupt,
                "VMDK flags are \(hex(flags.rawValue)), but the compression algorithm is \(compressAlgorithm): one says "
                    + "compressed and one does not", 8)
        }
        guard flags.contains(.markers) == isCompressed else {
            throw refusal(
                .unsupported,
                "VMDK flags are \(hex(flags.rawValue)); Lathe reads compressed grains with markers and plain ones without",
                8)
        }
    }

    /// Whether there is room for a descriptor; the extents of a disk in several files need have none.
    var hasDescriptorPlace: Bool { descriptorOffset != 0 && descriptorSize != 0 }

    /// Where the metadata at the start of the file end at least, in sectors: no grain can stand before.
    var firstGrainSector: UInt64 { hasDescriptorPlace ? descriptorOffset + descriptorSize : 1 }

    /// Refuses a place of the descriptor that can't be true.
    ///
    /// - Throws: `limit-exceeded`.
    private func validateDescriptorPlace(_ refusal: (ImageError.Code, String, UInt64) -> ImageError)
        throws(ImageError)
    {
        guard hasDescriptorPlace else { return }
        guard descriptorOffset <= UInt64(UInt32.max),
            descriptorSize <= ImageLimits.VMDK.descriptorLength / sectorSize
        else {
            throw refusal(
                .limitExceeded,
                "the VMDK descriptor has \(descriptorSize) sectors at sector \(descriptorOffset), expected at most "
                    + "\(ImageLimits.VMDK.descriptorLength) bytes", 28)
        }
    }
}

// MARK: - To bytes

extension VMDKHeader {
    /// The fields; the rest of the sector is zero and need not be written.
    func encoded() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(Self.encodedLength))
        bytes.storeLittleEndian(Self.magicNumber, at: 0)
        bytes.storeLittleEndian(version, at: 4)
        bytes.storeLittleEndian(flags.rawValue, at: 8)
        bytes.storeLittleEndian(capacity, at: 12)
        bytes.storeLittleEndian(grainSize, at: 20)
        bytes.storeLittleEndian(descriptorOffset, at: 28)
        bytes.storeLittleEndian(descriptorSize, at: 36)
        bytes.storeLittleEndian(UInt32(truncatingIfNeeded: entriesPerTable), at: 44)
        bytes.storeLittleEndian(redundantDirectoryOffset, at: 48)
        bytes.storeLittleEndian(directoryOffset, at: 56)
        bytes.storeLittleEndian(overHead, at: 64)
        bytes[72] = uncleanShutdown ? 1 : 0
        bytes.store(newlineBytes, at: 73)
        bytes.storeLittleEndian(compressAlgorithm, at: 77)
        return bytes
    }
}
