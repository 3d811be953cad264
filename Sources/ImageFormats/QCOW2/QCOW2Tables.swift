import ImageModel

/// L1, L2 and refcount tables: their entries, their bounds, and walks over them in slices.
///
/// Source: QEMU `docs/interop/qcow2.rst`, sections "Host cluster management" and "Cluster mapping".
enum QCOW2Tables {
    /// Bytes of an entry of L1, L2 (standard) and refcount tables.
    static let entryLength: UInt64 = 8
    /// `QCOW_OFLAG_COPIED`: the refcount of what the entry points at is exactly one.
    static let copiedFlag: UInt64 = 1 << 63
    /// `QCOW_OFLAG_COMPRESSED`.
    static let compressedFlag: UInt64 = 1 << 62
    /// `QCOW_OFLAG_ZERO`: reads as zeros; version 3 only.
    static let zeroFlag: UInt64 = 1
    /// Bits 9 to 55 of an L1 or L2 entry: a file offset.
    static let offsetMask: UInt64 = 0x00FF_FFFF_FFFF_FE00
    static let reservedL1Bits: UInt64 = 0x7F00_0000_0000_01FF
    static let reservedL2Bits: UInt64 = 0x3F00_0000_0000_01FE
    static let reservedRefcountTableBits: UInt64 = 0x1FF

    /// How many entries are read at once.
    private static let sliceCount: UInt64 = 8 << 10

    /// Hands the entries `range` of a table to `body`, in order, until it answers false.
    static func forEachEntry(
        of range: Range<UInt64>, tableAt tableOffset: UInt64, in source: any ImageSource,
        _ body: (UInt64, UInt64) throws(ImageError) -> Bool
    ) throws(ImageError) {
        var index = range.lowerBound
        // Whoever asks for few extents shall not pay for a whole slice.
        var wanted: UInt64 = 64
        while index < range.upperBound {
            let first = index
            let count = min(wanted, range.upperBound - index)
            let slice = FileRange(tableOffset + first * entryLength, length: count * entryLength)
            let goesOn = try source.withBytes(of: slice) { (bytes) throws(ImageError) in
                for step in 0..<count {
                    guard try body(first + step, word(step, of: bytes)) else { return false }
                }
                return true
            }
            guard goesOn else { return }
            index += count
            wanted = sliceCount
        }
    }

    /// Hands the entries `range` of an L2 table to `body`, in order, until it answers false: the index, the entry, and the bitmap
    /// of its subclusters, 0 in an image that has none.
    static func forEachL2Entry(
        of range: Range<UInt64>, tableAt tableOffset: UInt64, _ header: QCOW2Header, in source: any ImageSource,
        _ body: (UInt64, UInt64, UInt64) throws(ImageError) -> Bool
    ) throws(ImageError) {
        guard header.hasExtendedL2 else {
            return try forEachEntry(of: range, tableAt: tableOffset, in: source) { (index, entry) throws(ImageError) in
                try body(index, entry, 0)
            }
        }
        var entry: UInt64 = 0
        try forEachEntry(of: 2 * range.lowerBound..<2 * range.upperBound, tableAt: tableOffset, in: source) {
            (index, word) throws(ImageError) in
            if index % 2 == 0 {
                entry = word
                return true
            }
            return try body(index / 2, entry, word)
        }
    }

    /// Hands the entries of a table that are not zero to `body`, in order; holes of the file are not even read.
    ///
    /// - Parameter tableOffset: a multiple of 8; the table is within the file.
    /// - Returns: how many entries were looked at.
    @discardableResult
    static func forEachUsedEntry(
        ofCount count: UInt64, tableAt tableOffset: UInt64, in source: any ImageSource,
        _ body: (UInt64, UInt64) throws(ImageError) -> Void
    ) throws(ImageError) -> UInt64 {
        var index: UInt64 = 0
        var seen: UInt64 = 0
        let limit = FileOffset(tableOffset + count * entryLength)
        while index < count,
            let data = try source.nextData(from: FileOffset(tableOffset + index * entryLength), limit: limit)
        {
            index = max(index, (data.start.bytes - tableOffset) / entryLength)
            let dataEnd = min(count, (data.end.bytes - tableOffset).dividedRoundingUp(by: entryLength))
            guard index < dataEnd else { break }
            while index < dataEnd {
                let first = index
                let step = min(sliceCount, dataEnd - index)
                let slice = FileRange(tableOffset + first * entryLength, length: step * entryLength)
                try source.withBytes(of: slice) { (bytes) throws(ImageError) in
                    var place: UInt64 = 0
                    while place < step {
                        let entry = word(place, of: bytes)
                        if entry != 0 { try body(first + place, entry) }
                        place += 1
                    }
                }
                index += step
                seen += step
            }
        }
        return seen
    }

    /// Entry `index` of a slice, loaded at once: tables are walked as fast as memory gives them.
    private static func word(_ index: UInt64, of bytes: borrowing Span<UInt8>) -> UInt64 {
        let place = Int(index * entryLength)
        return unsafe UInt64(bigEndian: bytes.bytes.unsafeLoadUnaligned(fromByteOffset: place, as: UInt64.self))
    }
}

// MARK: - Entries

/// What an L1 entry says.
enum QCOW2L1Entry: Hashable, Sendable {
    /// No L2 table: nothing of the range is allocated.
    case unallocated
    /// The file offset of an L2 table.
    case table(UInt64)
    /// What no entry may be, and why.
    case invalid(String)

    init(_ entry: UInt64, _ header: QCOW2Header) {
        let offset = entry & QCOW2Tables.offsetMask
        if entry & QCOW2Tables.reservedL1Bits != 0 {
            self = .invalid("has reserved bits \(hex(entry & QCOW2Tables.reservedL1Bits)) set")
        } else if offset % header.clusterSize != 0 {
            self = .invalid(
                "points at an L2 table at \(offset), which is not at a cluster of \(header.clusterSize) bytes")
        } else {
            self = offset == 0 ? .unallocated : .table(offset)
        }
    }
}

/// What a standard L2 entry says.
enum QCOW2L2Entry: Hashable, Sendable {
    case unallocated
    /// Reads as zeros; a cluster may be kept for it all the same, which is not read (0 for none).
    case zero(kept: UInt64)
    /// The file offset of a cluster of guest bytes.
    case data(UInt64)
    /// Where the compressed bytes are at most: whole sectors from the first byte's on, not yet clamped to the file's end.
    case compressed(FileRange)
    /// What no entry may be, and why.
    case invalid(String)

    init(_ entry: UInt64, _ header: QCOW2Header) {
        if entry & QCOW2Tables.compressedFlag != 0 {
            guard !header.hasDataFile else {
                self = .invalid("is compressed, which clusters in a data file can't be")
                return
            }
            let sizeShift = 62 - (UInt64(header.clusterBits) - 8)
            let offset = entry & (1 << sizeShift - 1)
            let additionalSectors = (entry & (1 << 62 - 1)) >> sizeShift
            self = .compressed(
                FileRange(offset, length: (additionalSectors + 1) * sectorSize - offset % sectorSize))
            return
        }
        let offset = entry & QCOW2Tables.offsetMask
        let isZero = entry & QCOW2Tables.zeroFlag != 0
        // A data file may have a cluster at its very start, and the flag then says that there is one.
        let isAllocated = offset != 0 || header.hasDataFile && entry & QCOW2Tables.copiedFlag != 0
        if entry & QCOW2Tables.reservedL2Bits != 0 {
            self = .invalid("has reserved bits \(hex(entry & QCOW2Tables.reservedL2Bits)) set")
        } else if isZero && header.version < 3 {
            self = .invalid("has the zero flag set, which version 2 does not have")
        } else if isZero && header.hasExtendedL2 {
            self = .invalid("has bit 0 set, which extended entries do not have")
        } else if offset % header.clusterSize != 0 {
            self = .invalid("points at byte \(offset), which is not at a cluster of \(header.clusterSize) bytes")
        } else if isZero {
            self = .zero(kept: offset)
        } else {
            self = isAllocated ? .data(offset) : .unallocated
        }
    }
}
