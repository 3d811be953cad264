import ImageModel

/// Says where the sectors of an extent are in its file.
protocol VMDKGrainMap: Sendable {
    /// Bytes of a grain.
    var grainLength: UInt64 { get }

    /// Maps a range of the extent, as `ImageReader.extents` does; offsets count from the extent's start, and in its own file.
    func extents(in range: GuestRange, atMost count: Int, from source: any ImageSource) throws(ImageError)
        -> [MappedExtent]
}

/// A sparse extent with tables of 32 bits: hosted (KDMV), with plain or compressed grains, or COWD.
struct VMDKSparseExtent: VMDKGrainMap, Hashable {
    let tables: VMDKTables
    let isCompressed: Bool
    /// Sectors before this one hold no grain.
    private let firstGrainSector: UInt64

    /// - Parameter header: validated; the footer where there is one.
    init(_ header: VMDKHeader, in source: any ImageSource) throws(ImageError) {
        tables = try VMDKTables(header, in: source)
        isCompressed = header.isCompressed
        firstGrainSector = header.firstGrainSector
    }

    init(_ header: VMDKCOWDHeader, in source: any ImageSource) throws(ImageError) {
        tables = try VMDKTables(header, in: source)
        isCompressed = false
        firstGrainSector = VMDKCOWDHeader.encodedLength / sectorSize
    }

    var grainLength: UInt64 { tables.grainLength }

    func extents(in range: GuestRange, atMost count: Int, from source: any ImageSource) throws(ImageError)
        -> [MappedExtent]
    {
        let tableSpan = tables.grainLength * tables.entriesPerTable
        let touched = range.start.bytes / tableSpan..<range.end.bytes.dividedRoundingUp(by: tableSpan)
        var list = ExtentList()
        var empty = VMDKEmptyTables()
        try tables.forEachDirectoryEntry(of: touched, in: source) { (table, entry) throws(ImageError) in
            let start = max(table * tableSpan, range.start.bytes)
            let length = min((table + 1) * tableSpan, range.end.bytes) - start
            let span = GuestRange(start, length: length)
            if try isEmpty(directoryEntry: entry, &empty, in: source) {
                list.append(MappedExtent(range: span, mapping: .hole))
            } else {
                try map(span, directoryEntry: entry, atMost: count, into: &list, &empty, from: source)
            }
            return list.count <= count
        }
        return Array(list.extents.prefix(count))
    }

    /// Whether a table holds no grain, as far as can be said without reading it.
    private func isEmpty(directoryEntry: UInt32, _ empty: inout VMDKEmptyTables, in source: any ImageSource)
        throws(ImageError) -> Bool
    {
        if directoryEntry == 0 { return true }
        let range = tables.tableRange(directoryEntry)
        try source.requireHeld(range)
        return try empty.contains(range, of: source)
    }

    /// Maps a range that one table covers.
    private func map(
        _ span: GuestRange, directoryEntry: UInt32, atMost count: Int, into list: inout ExtentList,
        _ empty: inout VMDKEmptyTables, from source: any ImageSource
    ) throws(ImageError) {
        let grainLength = tables.grainLength
        var grain = span.start.bytes / grainLength
        let grains = grain..<span.end.bytes.dividedRoundingUp(by: grainLength)
        let entries = try tables.entries(of: grains, directoryEntry: directoryEntry, in: source)
        var isEmpty = UInt64(entries.count) == tables.entriesPerTable
        for entry in entries {
            let start = max(grain * grainLength, span.start.bytes)
            let length = min((grain + 1) * grainLength, span.end.bytes) - start
            let part = GuestRange(start, length: length)
            let mapping: Mapping
            switch tables.meaning(of: entry) {
            case .unallocated: mapping = .hole
            case .zeroed:
                mapping = .zero
                isEmpty = false
            case .sector(let sector):
                mapping = try mappingOfGrain(grain, atSector: sector, part, in: source)
                isEmpty = false
            }
            list.append(MappedExtent(range: part, mapping: mapping))
            if list.count > count { return }
            grain += 1
        }
        if isEmpty { empty.insert(tables.tableRange(directoryEntry)) }
    }

    private func mappingOfGrain(
        _ grain: UInt64, atSector sector: UInt64, _ part: GuestRange, in source: any ImageSource
    ) throws(ImageError) -> Mapping {
        let guestStart = grain * tables.grainLength
        guard sector >= firstGrainSector else {
            throw ImageError(
                .corrupt,
                "the grain table says that grain \(grain) is at file sector \(sector), inside the header or the "
                    + "descriptor; run 'lathe check'", path: source.name, offset: FileOffset(sector * sectorSize))
        }
        if isCompressed {
            let stored = try VMDKMarker.grainData(
                atSector: sector, guestSector: grain * tables.grainSize, grainLength: tables.grainLength, in: source)
            // VMware and we fill the last grain of a disk with zeros; QEMU's inflates to no more than what the disk has.
            let content = GuestRange(guestStart, length: tables.grainLength)
            return .compressed(CompressedUnit(stored: stored, content: content, method: .zlib))
        }
        let offset = FileOffset(sector * sectorSize + (part.start.bytes - guestStart))
        try source.requireHeld(FileRange(start: offset, length: part.length))
        return .raw(offset)
    }
}
