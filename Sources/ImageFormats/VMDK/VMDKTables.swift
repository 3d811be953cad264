import ImageModel

/// Where the grain directory and its grain tables are: sectors, as 32-bit little-endian entries.
///
/// Hosted sparse extents have them, and COWD extents.
///
/// Source: VMware Virtual Disk Format 5.0, "Grain Directories and Grain Tables".
struct VMDKTables: Hashable, Sendable {
    /// Bytes of a directory or table entry.
    static let entryLength: UInt64 = 4
    /// `numGTEsPerGT` of every program that is known; QEMU opens no more.
    static let standardEntriesPerTable: UInt64 = 512
    /// Sectors of a grain: from a page to 64 MiB.
    static let grainSizes: ClosedRange<UInt64> = 8...131_072
    /// As many directory entries as QEMU opens.
    static let maximumTableCount: UInt64 = 32 << 20
    /// An entry has 32 bits, so no grain and no table can stand behind this many sectors (2 TiB).
    static let maximumFileSectors: UInt64 = 1 << 32

    /// What a grain table says of a grain.
    enum Entry: Hashable, Sendable {
        case unallocated
        case zeroed
        case sector(UInt64)
    }

    /// The disk's size in sectors.
    let capacity: UInt64
    /// Sectors of a grain.
    let grainSize: UInt64
    let entriesPerTable: UInt64
    /// The directory's first sector.
    let directoryOffset: UInt64
    let hasZeroedGrains: Bool

    /// How many entries are read at once.
    static let sliceCount: UInt64 = 16 << 10

    /// Bytes of a grain.
    var grainLength: UInt64 { grainSize * sectorSize }
    var grainCount: UInt64 { capacity.dividedRoundingUp(by: grainSize) }
    var tableCount: UInt64 { capacity.dividedRoundingUp(by: grainSize * entriesPerTable) }
    /// Bytes of a grain table.
    var tableLength: UInt64 { entriesPerTable * Self.entryLength }

    /// The tables of a COWD extent, whose header is validated.
    ///
    /// - Throws: `truncated` where the file does not hold the directory.
    init(_ header: VMDKCOWDHeader, in source: any ImageSource) throws(ImageError) {
        capacity = header.capacity
        grainSize = header.grainSize
        entriesPerTable = VMDKCOWDHeader.entriesPerTable
        hasZeroedGrains = false
        directoryOffset = header.directoryOffset
        try source.requireHeld(FileRange(directoryOffset * sectorSize, length: tableCount * Self.entryLength))
    }

    /// The tables behind the directory of a validated header, the redundant one where the other is missing.
    ///
    /// - Throws: `corrupt` where there is no directory; `truncated` where the file does not hold it.
    init(_ header: VMDKHeader, redundant: Bool = false, in source: any ImageSource) throws(ImageError) {
        capacity = header.capacity
        grainSize = header.grainSize
        entriesPerTable = header.entriesPerTable
        hasZeroedGrains = header.flags.contains(.zeroedGrain)
        let useRedundant = redundant || header.directoryOffset == 0
        directoryOffset = useRedundant ? header.redundantDirectoryOffset : header.directoryOffset
        guard directoryOffset != 0 else {
            throw ImageError(
                .corrupt, "the VMDK header names no grain directory", path: source.name, offset: FileOffset(56))
        }
        guard directoryOffset < Self.maximumFileSectors else {
            throw ImageError(
                .corrupt, "the VMDK grain directory is at sector \(directoryOffset), past what a VMDK can have",
                path: source.name, offset: FileOffset(useRedundant ? 48 : 56))
        }
        try source.requireHeld(FileRange(directoryOffset * sectorSize, length: tableCount * Self.entryLength))
    }

    /// File offset of the directory entry of table `index`.
    func directoryEntryOffset(_ index: UInt64) -> FileOffset {
        FileOffset(directoryOffset * sectorSize + index * Self.entryLength)
    }

    /// The file range of the table that a directory entry names.
    func tableRange(_ entry: UInt32) -> FileRange { FileRange(UInt64(entry) * sectorSize, length: tableLength) }

    /// The grains of table `index`.
    func grains(ofTable index: UInt64) -> Range<UInt64> {
        index * entriesPerTable..<min((index + 1) * entriesPerTable, grainCount)
    }

    /// What a table entry means.
    func meaning(of entry: UInt32) -> Entry {
        if entry == 0 { return .unallocated }
        return entry == 1 && hasZeroedGrains ? .zeroed : .sector(UInt64(entry))
    }

    /// Hands the directory's entries to `body`, in order, until it answers false.
    func forEachDirectoryEntry(
        of tables: Range<UInt64>, in source: any ImageSource, _ body: (UInt64, UInt32) throws(ImageError) -> Bool
    ) throws(ImageError) {
        try Self.forEachEntry(
            of: tables, { (slice) throws(ImageError) in try directoryEntries(of: slice, in: source) }, body)
    }

    /// Reads entries in slices, a short one first, for often only a few are wanted, and hands them to `body`, in order, until it
    /// answers false.
    static func forEachEntry<Entry>(
        of entries: Range<UInt64>, _ read: (Range<UInt64>) throws(ImageError) -> [Entry],
        _ body: (UInt64, Entry) throws(ImageError) -> Bool
    ) throws(ImageError) {
        var index = entries.lowerBound
        var wanted: UInt64 = 64
        while index < entries.upperBound {
            let count = min(wanted, entries.upperBound - index)
            for entry in try read(index..<index + count) {
                guard try body(index, entry) else { return }
                index += 1
            }
            wanted = sliceCount
        }
    }

    /// Hands out the entries of the directory that name a table, in order; what is a hole of the file is passed over.
    ///
    /// A directory may say tens of millions of tables in a file that has none of them.
    func forEachNamedTable(in source: any ImageSource, _ body: (UInt64, UInt32) throws(ImageError) -> Void)
        throws(ImageError)
    {
        var index = try firstStoredEntry(from: 0, in: source)
        while index < tableCount {
            let slice = index..<min(index + Self.sliceCount, tableCount)
            for (index, entry) in zip(slice, try directoryEntries(of: slice, in: source)) where entry != 0 {
                try body(index, entry)
            }
            index = try firstStoredEntry(from: slice.upperBound, in: source)
        }
    }

    /// The first entry of the directory at or behind an index that is in no hole of the file; `tableCount` where all are.
    func firstStoredEntry(from index: UInt64, in source: any ImageSource) throws(ImageError) -> UInt64 {
        let end = directoryEntryOffset(tableCount)
        guard let data = try source.nextData(from: directoryEntryOffset(index), limit: end) else { return tableCount }
        return max(index, (data.start - directoryEntryOffset(0)) / Self.entryLength)
    }

    /// The directory's entries of some tables.
    func directoryEntries(of tables: Range<UInt64>, in source: any ImageSource) throws(ImageError) -> [UInt32] {
        let start = directoryEntryOffset(tables.lowerBound)
        return Self.decoded(try source.read(FileRange(start: start, length: UInt64(tables.count) * Self.entryLength)))
    }

    /// The entries of `grains`, which must belong to the one table that `directoryEntry` names.
    ///
    /// - Throws: `truncated` where the file does not hold the table.
    func entries(of grains: Range<UInt64>, directoryEntry: UInt32, in source: any ImageSource) throws(ImageError)
        -> [UInt32]
    {
        let first = grains.lowerBound % entriesPerTable * Self.entryLength
        let range = FileRange(
            start: tableRange(directoryEntry).start + first, length: UInt64(grains.count) * Self.entryLength)
        return Self.decoded(try source.read(range))
    }

    private static func decoded(_ bytes: [UInt8]) -> [UInt32] {
        var entries: [UInt32] = []
        entries.reserveCapacity(bytes.count / 4)
        for start in stride(from: 0, to: bytes.count - 3, by: 4) {
            let low = UInt32(bytes[start]) | UInt32(bytes[start + 1]) << 8
            entries.append(low | UInt32(bytes[start + 2]) << 16 | UInt32(bytes[start + 3]) << 24)
        }
        return entries
    }
}

/// Tells tables that hold no grain: holes of the file, which are all zero and need not be read, and those that were read before.
///
/// A monolithic disk has a place for every grain table, 2 KiB for 32 MiB of disk, and most of a large new disk's are
/// holes. The source is asked once for each run, not once for each table. A directory that names an empty table over and over costs
/// no more than one that names it once.
struct VMDKEmptyTables {
    private var hole: Range<UInt64> = 0..<0
    private var data: Range<UInt64> = 0..<0
    private var seen: Set<UInt64> = []

    /// Whether a table, which the source holds, is known to be zero.
    mutating func contains(_ table: FileRange, of source: any ImageSource) throws(ImageError) -> Bool {
        let start = table.start.bytes
        if !hole.contains(start) {
            if data.contains(start) { return !seen.isEmpty && seen.contains(start) }
            let found = try source.nextData(from: table.start, limit: FileOffset(source.length))
            hole = start..<max(start, found?.start.bytes ?? source.length)
            data = hole.upperBound..<max(hole.upperBound, found?.end.bytes ?? source.length)
        }
        return table.end.bytes <= hole.upperBound || (!seen.isEmpty && seen.contains(start))
    }

    /// Remembers a table that was read whole and found to be zero, while there is room.
    mutating func insert(_ table: FileRange) {
        if seen.count < ImageLimits.VMDK.emptyTables { seen.insert(table.start.bytes) }
    }
}
