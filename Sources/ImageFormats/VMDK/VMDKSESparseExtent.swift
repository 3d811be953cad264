import ImageModel

/// An seSparse extent: its headers, and where the grains are.
struct VMDKSESparseExtent: VMDKGrainMap, Hashable {
    let header: VMDKSESparseHeader

    /// - Throws: `truncated`, `corrupt`, `unsupported` or `limit-exceeded`.
    init(source: any ImageSource) throws(ImageError) {
        header = try VMDKSESparseHeader(source: source)
    }

    var grainLength: UInt64 { VMDKSESparseHeader.grainSize * sectorSize }

    func extents(in range: GuestRange, atMost count: Int, from source: any ImageSource) throws(ImageError)
        -> [MappedExtent]
    {
        guard !header.needsReplay else {
            throw ImageError(
                .unsupported,
                "the journal of the seSparse extent has writes that its tables do not have (replay_journal); let ESXi open the "
                    + "disk once", path: source.name, offset: header.volatileHeader.range.start + 24)
        }
        let span = VMDKSESparseHeader.tableCoverage * sectorSize
        let touched = range.start.bytes / span..<range.end.bytes.dividedRoundingUp(by: span)
        var list = ExtentList()
        var empty = VMDKEmptyTables()
        try forEachDirectoryEntry(of: touched, in: source) { (index, entry) throws(ImageError) in
            let start = max(index * span, range.start.bytes)
            let part = GuestRange(start, length: min((index + 1) * span, range.end.bytes) - start)
            switch VMDKSESparseEntry(directory: entry) {
            case .unallocated: list.append(MappedExtent(range: part, mapping: .hole))
            case .index(let table):
                let place = try tableRange(table, in: source)
                if try empty.contains(place, of: source) {
                    list.append(MappedExtent(range: part, mapping: .hole))
                } else {
                    try map(part, tableAt: place, atMost: count, into: &list, &empty, from: source)
                }
            case .zero, .invalid:
                throw corruption("grain directory entry \(index) is \(hex(entry))", directoryEntryOffset(index), source)
            }
            return list.count <= count
        }
        return Array(list.extents.prefix(count))
    }

    /// Maps a range that one table covers.
    private func map(
        _ span: GuestRange, tableAt table: FileRange, atMost count: Int, into list: inout ExtentList,
        _ empty: inout VMDKEmptyTables, from source: any ImageSource
    ) throws(ImageError) {
        var grain = span.start.bytes / grainLength
        let first = grain % VMDKSESparseHeader.entriesPerTable
        let grainCount = span.end.bytes.dividedRoundingUp(by: grainLength) - grain
        let entries = try Self.entries(first..<first + grainCount, at: table.start, in: source)
        var isEmpty = grainCount == VMDKSESparseHeader.entriesPerTable
        for (step, entry) in entries.enumerated() {
            let start = max(grain * grainLength, span.start.bytes)
            let part = GuestRange(start, length: min((grain + 1) * grainLength, span.end.bytes) - start)
            let mapping: Mapping
            switch VMDKSESparseEntry(table: entry) {
            case .unallocated: mapping = .hole
            case .zero: mapping = .zero
            case .index(let index):
                // Of a number that no file can have, so much is left that the file does not hold it.
                let place = header.grainRange(min(index, 1 << 50)).start + (start - grain * grainLength)
                try source.requireHeld(FileRange(start: place, length: part.length))
                mapping = .raw(place)
            case .invalid:
                let place = table.start + (first + UInt64(step)) * VMDKSESparseEntry.length
                throw corruption("the entry of grain \(grain) is \(hex(entry))", place, source)
            }
            if mapping != .hole { isEmpty = false }
            list.append(MappedExtent(range: part, mapping: mapping))
            if list.count > count { return }
            grain += 1
        }
        if isEmpty { empty.insert(table) }
    }

    /// - Throws: `corrupt` where there is no such table; `truncated`.
    private func tableRange(_ index: UInt64, in source: any ImageSource) throws(ImageError) -> FileRange {
        let range = header.tableRange(index)
        try source.requireHeld(range)
        return range
    }

    private func corruption(_ what: String, _ offset: FileOffset, _ source: any ImageSource) -> ImageError {
        ImageError(
            .corrupt, "\(what) in the seSparse extent, which means nothing; run 'lathe check'", path: source.name,
            offset: offset)
    }

    // MARK: - Tables

    func directoryEntryOffset(_ index: UInt64) -> FileOffset {
        header.directory.range.start + index * VMDKSESparseEntry.length
    }

    /// Hands the directory's entries to `body`, in order, until it answers false.
    func forEachDirectoryEntry(
        of tables: Range<UInt64>, in source: any ImageSource, _ body: (UInt64, UInt64) throws(ImageError) -> Bool
    ) throws(ImageError) {
        try VMDKTables.forEachEntry(
            of: tables,
            { (slice) throws(ImageError) in
                try Self.entries(slice, at: header.directory.range.start, in: source)
            }, body)
    }

    /// Some entries of a table that starts at an offset.
    static func entries(_ indices: Range<UInt64>, at start: FileOffset, in source: any ImageSource) throws(ImageError)
        -> [UInt64]
    {
        let bytes = try source.read(
            FileRange(
                start: start + indices.lowerBound * VMDKSESparseEntry.length,
                length: UInt64(indices.count) * VMDKSESparseEntry.length))
        return stride(from: 0, to: bytes.count - 7, by: 8).map { bytes.littleEndian(at: $0) }
    }
}
