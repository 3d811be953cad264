import ImageModel

/// The headers of an seSparse extent, in which ESXi 6.5 and later keep what differs from the disk under it: one that never changes
/// (`SESparseConstHeader`), and one that does.
///
/// VMware has published nothing on it; the facts are those that QEMU reads by (`block/vmdk.c`). All integers are 64 bits wide and
/// little-endian, and count sectors.
struct VMDKSESparseHeader: Hashable, Sendable {
    /// 0xCAFEBABE.
    static let magic: [UInt8] = [0xBE, 0xBA, 0xFE, 0xCA, 0, 0, 0, 0]
    static let version: UInt64 = 0x2_0000_0001
    /// Of the volatile header.
    static let volatileMagic: UInt64 = 0xCAFE_CAFE
    /// Sectors of a grain, and of a grain table: 4096 entries.
    static let (grainSize, tableSize): (UInt64, UInt64) = (8, 64)

    /// A part of the file.
    struct Area: Hashable, Sendable {
        var offset: UInt64
        var size: UInt64
        /// Where the header has the offset; the size is behind it.
        var field: UInt64

        var range: FileRange { FileRange(offset * sectorSize, length: size * sectorSize) }
    }

    let capacity: UInt64
    let flags: UInt64
    /// Where the volatile header stands.
    let volatileHeader: Area
    /// `grain_dir`.
    let directory: Area
    /// `grain_tables`.
    let tables: Area
    /// `free_bitmap`, `backmap`: for those who write.
    let freeBitmap, backmap: Area
    let grains: Area
    /// `replay_journal` of the volatile header: writes are in the journal that the tables do not have.
    let needsReplay: Bool

    /// - Throws: `truncated`, `corrupt`, `unsupported` or `limit-exceeded`.
    init(source: any ImageSource) throws(ImageError) {
        let bytes = try source.read(FileRange(0, length: sectorSize))
        func field(_ offset: UInt64) -> UInt64 { bytes.littleEndian(at: Int(offset)) }
        func refusal(_ code: ImageError.Code, _ message: String, _ field: UInt64) -> ImageError {
            ImageError(code, message, path: source.name, offset: FileOffset(field))
        }
        func area(_ what: String, at offset: UInt64) throws(ImageError) -> Area {
            let area = Area(offset: field(offset), size: field(offset + 8), field: offset)
            let (end, overflow) = area.offset.addingReportingOverflow(area.size)
            guard !overflow, end <= UInt64(Int64.max) / sectorSize else {
                throw refusal(
                    .corrupt,
                    "the \(what) of the seSparse extent has \(area.size) sectors at sector \(area.offset), more than "
                        + "any file has", offset)
            }
            return area
        }
        guard field(8) == Self.version else {
            throw refusal(.unsupported, "seSparse version is \(hex(field(8))); Lathe reads \(hex(Self.version))", 8)
        }
        for (name, place, expected) in [("grain size", 24, Self.grainSize), ("grain table size", 32, Self.tableSize)]
            as [(String, UInt64, UInt64)]
        where field(place) != expected {
            throw refusal(.unsupported, "seSparse \(name) is \(field(place)) sectors; Lathe reads \(expected)", place)
        }
        capacity = field(16)
        guard capacity <= ImageLimits.VMDK.seSparseCapacity else {
            throw refusal(
                .limitExceeded,
                "seSparse capacity is \(capacity) sectors, expected at most \(ImageLimits.VMDK.seSparseCapacity)", 16)
        }
        flags = field(40)
        guard flags == 0 else {
            throw refusal(.unsupported, "seSparse flags are \(hex(flags)); Lathe knows none", 40)
        }
        volatileHeader = try area("volatile header", at: 80)
        directory = try area("grain directory", at: 128)
        tables = try area("grain tables", at: 144)
        freeBitmap = try area("free bitmap", at: 160)
        backmap = try area("back map", at: 176)
        grains = try area("grains", at: 192)
        let volatile = try source.read(FileRange(volatileHeader.range.start.bytes, length: 32))
        guard volatile.littleEndian(UInt64.self, at: 0) == Self.volatileMagic else {
            throw refusal(
                .corrupt,
                "the magic number of the seSparse volatile header at sector \(volatileHeader.offset) is "
                    + "\(hex(volatile.littleEndian(UInt64.self, at: 0))), expected \(hex(Self.volatileMagic))", 80)
        }
        needsReplay = volatile.littleEndian(UInt64.self, at: 24) != 0
        let wanted = capacity.dividedRoundingUp(by: Self.tableCoverage) * VMDKSESparseEntry.length
        guard directory.size * sectorSize >= wanted else {
            throw refusal(
                .corrupt,
                "the seSparse grain directory has \(directory.size) sectors, expected \(wanted) bytes for \(capacity) sectors of "
                    + "disk", 136)
        }
        try source.requireHeld(FileRange(start: directory.range.start, length: wanted))
    }

    /// Entries of a grain table.
    static let entriesPerTable = tableSize * sectorSize / VMDKSESparseEntry.length
    /// Sectors of disk that one table covers: 16 MiB.
    static let tableCoverage = entriesPerTable * grainSize

    /// Grain tables of the disk.
    var tableCount: UInt64 { capacity.dividedRoundingUp(by: Self.tableCoverage) }
    var grainCount: UInt64 { capacity.dividedRoundingUp(by: Self.grainSize) }

    /// The file range of the table with a number.
    func tableRange(_ index: UInt64) -> FileRange {
        FileRange((tables.offset + index * Self.tableSize) * sectorSize, length: Self.tableSize * sectorSize)
    }

    /// The file range of the grain with a number.
    func grainRange(_ index: UInt64) -> FileRange {
        FileRange((grains.offset + index * Self.grainSize) * sectorSize, length: Self.grainSize * sectorSize)
    }
}

/// What an entry of an seSparse directory or table says.
enum VMDKSESparseEntry: Hashable, Sendable {
    /// Bytes of an entry.
    static let length: UInt64 = 8

    /// The disk under it shows.
    case unallocated
    /// Given back by the guest (`UNMAP`), or set to zero: no content of the disk under it shows any more.
    case zero
    /// The number of a table or grain.
    case index(UInt64)
    case invalid

    /// An entry of the directory: 0, or 1 in the top nibble and the table's number in the lower half.
    init(directory entry: UInt64) {
        if entry == 0 {
            self = .unallocated
        } else {
            self = entry >> 32 == 0x1000_0000 ? .index(entry & 0xFFFF_FFFF) : .invalid
        }
    }

    /// An entry of a table: its top nibble is the kind; a grain's number has its low 12 bits above, and the others below.
    init(table entry: UInt64) {
        switch entry >> 60 {
        case 0: self = entry == 0 ? .unallocated : .invalid
        case 1, 2: self = .zero
        case 3: self = .index((entry >> 48) & 0xFFF | (entry & 0xFFFF_FFFF_FFFF) << 12)
        default: self = .invalid
        }
    }
}
