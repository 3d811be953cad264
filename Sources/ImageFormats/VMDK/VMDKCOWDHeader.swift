import ImageModel

/// The header of a COWD extent, in which ESX keeps what differs from the disk under it (vmfsSparse).
///
/// Source: VMware Virtual Disk Format 5.0, `COWDisk_Header`; all integers are little-endian, 32 bits wide, and count sectors.
struct VMDKCOWDHeader: Hashable, Sendable {
    static let magic = Array("COWD".utf8)
    /// Bytes of the header.
    static let encodedLength: UInt64 = 2048
    /// Entries of a grain table.
    static let entriesPerTable: UInt64 = 4096
    /// Sectors of a grain: ESX makes grains of one.
    static let grainSizes: ClosedRange<UInt64> = 1...131_072
    /// `COWDISK_INCONSISTENT` of `flags`.
    static let inconsistent: UInt32 = 4

    /// Where fields stand that findings speak of.
    static let (flagsOffset, directorySizeOffset, freeSectorOffset, shutdownOffset) = (
        FileOffset(8), FileOffset(24), FileOffset(28), FileOffset(1648)
    )

    let flags: UInt32
    /// `numSectors`.
    let capacity: UInt64
    let grainSize: UInt64
    /// `gdOffset`.
    let directoryOffset: UInt64
    /// `numGDEntries`.
    let directoryEntries: UInt64
    /// `freeSector`: where the next grain or table goes.
    let freeSector: UInt64
    let uncleanShutdown: Bool

    /// - Throws: `truncated`, `corrupt` or `unsupported`.
    init(source: any ImageSource) throws(ImageError) {
        let bytes = try source.read(FileRange(0, length: Self.encodedLength))
        func field(_ offset: Int) -> UInt64 { UInt64(bytes.littleEndian(UInt32.self, at: offset)) }
        func refusal(_ code: ImageError.Code, _ message: String, _ field: UInt64) -> ImageError {
            ImageError(code, message, path: source.name, offset: FileOffset(field))
        }
        guard field(4) == 1 else { throw refusal(.unsupported, "COWD version is \(field(4)); Lathe reads 1", 4) }
        flags = bytes.littleEndian(at: 8)
        capacity = field(12)
        grainSize = field(16)
        directoryOffset = field(20)
        directoryEntries = field(24)
        freeSector = field(28)
        uncleanShutdown = bytes.littleEndian(UInt32.self, at: 1648) != 0
        guard grainSize.nonzeroBitCount == 1, Self.grainSizes.contains(grainSize) else {
            throw refusal(
                .corrupt, "COWD grain size is \(grainSize) sectors, expected a power of two up to 131072", 16)
        }
        guard directoryOffset * sectorSize >= Self.encodedLength else {
            throw refusal(
                .corrupt, "the COWD grain directory is at sector \(directoryOffset), inside the header of 4 sectors", 20
            )
        }
        let needed = capacity.dividedRoundingUp(by: grainSize * Self.entriesPerTable)
        guard directoryEntries >= needed else {
            throw refusal(
                .corrupt,
                "the COWD grain directory has \(directoryEntries) entries, expected \(needed) for \(capacity) sectors",
                24)
        }
    }

    /// The first sector behind the directory.
    var firstGrainSector: UInt64 {
        directoryOffset + (directoryEntries * VMDKTables.entryLength).dividedRoundingUp(by: sectorSize)
    }
}
