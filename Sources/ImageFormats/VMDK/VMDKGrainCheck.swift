import ImageModel

/// Walks the grain tables: first every entry for itself, then, in windows of bounded memory, what two of them share.
struct VMDKGrainCheck {
    /// What the walk must know of the file beside the tables.
    struct Layout: Sendable {
        var isCompressed = false
        /// Whether grains and tables stand at any sector, one behind the other.
        var isPacked = false
        /// The sectors in front of the first grain.
        var overHead: UInt64
        /// Where the file ends by what stands at its end; nil where the last grain says so.
        var end: UInt64?
        /// Whether bytes behind the last grain are too many: some writers make a file longer by many grains at once.
        var endsWithLastGrain: Bool
    }

    private let tables: VMDKTables
    private let redundant: VMDKTables?
    private let layout: Layout

    /// Where the bytes in use end, in sectors, as far as the walk has seen.
    private(set) var endSector: UInt64
    /// Whether everything in the data area came in the order of its places, so that nothing can overlap.
    private var isOrdered = true
    /// Whether the tables stand in the order of the directory, so that no two can overlap.
    private var hasOrderedTables = true
    /// Whether a plain grain starts where no grain of the layout would.
    private var hasUnalignedGrains = false
    private var previousEnd: UInt64?

    init(_ tables: VMDKTables, redundant: VMDKTables? = nil, _ layout: Layout) {
        self.tables = tables
        self.redundant = redundant
        self.layout = layout
        endSector = layout.overHead
    }

    mutating func run(in source: any ImageSource, _ report: inout CheckReport) throws(ImageError) {
        report.totalUnits = tables.grainCount
        try walkDirectory(in: source, &report)
        if !hasOrderedTables { try findSharedTables(in: source, &report) }
        if layout.isPacked {
            if !isOrdered { try findSharedSectors(in: source, &report) }
        } else {
            try findSharedGrains(in: source, &report)
        }
        let end = endSector * sectorSize
        report.imageEnd = FileOffset(min(layout.end ?? end, source.length))
        if source.length > end, layout.endsWithLastGrain {
            report.add(
                .leak, "\(source.length - end) bytes behind the last grain belong to nothing", at: FileOffset(end))
        }
    }

    // MARK: - Every entry for itself

    private mutating func walkDirectory(in source: any ImageSource, _ report: inout CheckReport) throws(ImageError) {
        let tables = tables
        let directorySectors = (tables.tableCount * VMDKTables.entryLength).dividedRoundingUp(by: sectorSize)
        endSector = max(endSector, tables.directoryOffset + directorySectors)
        var empty = VMDKEmptyTables()
        var visits = VMDKTableVisits()
        var previousTable: UInt64 = 0
        try tables.forEachNamedTable(in: source) { (index, entry) throws(ImageError) in
            let range = tables.tableRange(entry)
            guard range.end.bytes <= source.length else {
                report.add(
                    .corruption,
                    "grain table \(index) at sector \(entry) lies past the file's end at byte \(source.length)",
                    at: tables.directoryEntryOffset(index),
                    guest: GuestOffset(index * tables.entriesPerTable * tables.grainLength))
                return
            }
            if visits.isFirst(range), try !empty.contains(range, of: source) {
                let grains = tables.grains(ofTable: index)
                let entries = try tables.entries(of: grains, directoryEntry: entry, in: source)
                for (step, grainEntry) in entries.enumerated() where grainEntry != 0 {
                    let place = range.start + UInt64(step) * VMDKTables.entryLength
                    try check(grainEntry, ofGrain: grains.lowerBound + UInt64(step), at: place, in: source, &report)
                }
            }
            noteTable(range, previousTable: &previousTable)
        }
    }

    private mutating func noteTable(_ range: FileRange, previousTable: inout UInt64) {
        let start = range.start.bytes / sectorSize
        let end = range.end.bytes.dividedRoundingUp(by: sectorSize)
        if start < previousTable { hasOrderedTables = false }
        previousTable = end
        endSector = max(endSector, end)
        guard start >= layout.overHead else { return }
        if let before = previousEnd, start < before { isOrdered = false }
        previousEnd = end
    }

    private mutating func check(
        _ entry: UInt32, ofGrain grain: UInt64, at place: FileOffset, in source: any ImageSource,
        _ report: inout CheckReport
    ) throws(ImageError) {
        guard case .sector(let sector) = tables.meaning(of: entry) else { return }
        let guest = GuestOffset(grain * tables.grainLength)
        report.allocatedUnits += 1
        if layout.isCompressed { report.compressedUnits += 1 }
        guard sector >= layout.overHead else {
            report.add(
                .corruption, "grain \(grain) is at sector \(sector), inside the \(layout.overHead) sectors of metadata",
                at: place, guest: guest)
            return
        }
        guard let end = try endOfGrain(grain, atSector: sector, entryAt: place, in: source, &report) else { return }
        if let before = previousEnd {
            if sector != before { report.fragmentedUnits += 1 }
            if sector < before { isOrdered = false }
        }
        previousEnd = end
        endSector = max(endSector, end)
        if !layout.isPacked, !isAligned(sector) {
            hasUnalignedGrains = true
            report.add(
                .warning,
                "grain \(grain) is at sector \(sector), which is not a multiple of \(tables.grainSize) sectors "
                    + "behind the metadata", at: place, guest: guest)
        }
    }

    private func isAligned(_ sector: UInt64) -> Bool { (sector - layout.overHead) % tables.grainSize == 0 }

    /// The sector behind a grain; nil, and a finding, where the file does not hold it.
    private func endOfGrain(
        _ grain: UInt64, atSector sector: UInt64, entryAt place: FileOffset, in source: any ImageSource,
        _ report: inout CheckReport
    ) throws(ImageError) -> UInt64? {
        let guest = GuestOffset(grain * tables.grainLength)
        if layout.isCompressed {
            do throws(ImageError) {
                return try storedEnd(of: grain, atSector: sector, in: source)
            } catch  where error.code == .corrupt || error.code == .truncated {
                report.add(.corruption, error.message, at: error.offset, guest: guest)
                return nil
            }
        }
        let start = sector * sectorSize
        let needed = min(tables.grainLength, tables.capacity * sectorSize - guest.bytes)
        guard start + needed <= source.length else {
            report.add(
                .corruption,
                "grain \(grain) is at bytes \(start) to \(start + needed), past the file's end at "
                    + "\(source.length)", at: place, guest: guest)
            return nil
        }
        return sector + tables.grainSize
    }

    private func storedEnd(of grain: UInt64, atSector sector: UInt64, in source: any ImageSource) throws(ImageError)
        -> UInt64
    {
        guard layout.isCompressed else { return sector + tables.grainSize }
        let data = try VMDKMarker.grainData(
            atSector: sector, guestSector: grain * tables.grainSize, grainLength: tables.grainLength, in: source)
        return data.end.bytes.dividedRoundingUp(by: sectorSize)
    }

    // MARK: - What two entries share

    /// Hands out every grain with a place in the data area, and where its entry is.
    private func forEachGrain(
        in source: any ImageSource, _ body: (UInt64, UInt64, FileOffset) throws(ImageError) -> Void
    ) throws(ImageError) {
        var empty = VMDKEmptyTables()
        var visits = VMDKTableVisits()
        try tables.forEachNamedTable(in: source) { (index, entry) throws(ImageError) in
            let range = tables.tableRange(entry)
            guard range.end.bytes <= source.length, visits.isFirst(range),
                try !empty.contains(range, of: source)
            else { return }
            let grains = tables.grains(ofTable: index)
            let entries = try tables.entries(of: grains, directoryEntry: entry, in: source)
            for (step, grainEntry) in entries.enumerated() where grainEntry != 0 {
                guard case .sector(let sector) = tables.meaning(of: grainEntry), sector >= layout.overHead else {
                    continue
                }
                let place = range.start + UInt64(step) * VMDKTables.entryLength
                try body(grains.lowerBound + UInt64(step), sector, place)
            }
        }
    }

    /// Hands out the sectors of every table and directory that reach into the data area.
    private func forEachTableInData(in source: any ImageSource, _ body: (Range<UInt64>, FileOffset) -> Void)
        throws(ImageError)
    {
        for set in [tables, redundant].compactMap({ $0 }) {
            let directoryEnd = (set.directoryOffset * sectorSize + set.tableCount * VMDKTables.entryLength)
                .dividedRoundingUp(by: sectorSize)
            if directoryEnd > layout.overHead {
                body(set.directoryOffset..<directoryEnd, FileOffset(set.directoryOffset * sectorSize))
            }
            try set.forEachNamedTable(in: source) { (index, entry) throws(ImageError) in
                let range = set.tableRange(entry)
                if range.end.bytes <= source.length {
                    let end = range.end.bytes.dividedRoundingUp(by: sectorSize)
                    if end > layout.overHead { body(UInt64(entry)..<end, set.directoryEntryOffset(index)) }
                }
            }
        }
    }

    /// Tables: a slot has the size of one; two that start in one slot overlap.
    private func findSharedTables(in source: any ImageSource, _ report: inout CheckReport) throws(ImageError) {
        let tableSectors = tables.tableLength.dividedRoundingUp(by: sectorSize)
        let slotCount = endSector.dividedRoundingUp(by: tableSectors)
        var window: UInt64 = 0
        while window < slotCount {
            var used = UsageWindow(start: window, limit: slotCount)
            try tables.forEachNamedTable(in: source) { (index, entry) throws(ImageError) in
                if used.claim(UInt64(entry) / tableSectors) == .alreadyClaimed {
                    report.add(
                        .corruption, "grain table \(index) is at sector \(entry), where another table is already",
                        at: tables.directoryEntryOffset(index),
                        guest: GuestOffset(index * tables.entriesPerTable * tables.grainLength))
                }
            }
            window += UsageWindow.capacity
        }
    }

    /// Plain grains: a slot is a grain of the data area; two grains that start in one slot overlap.
    private func findSharedGrains(in source: any ImageSource, _ report: inout CheckReport) throws(ImageError) {
        let grainSize = tables.grainSize
        let slotCount = (endSector - layout.overHead).dividedRoundingUp(by: grainSize)
        var window: UInt64 = 0
        while window < slotCount {
            var used = UsageWindow(start: window, limit: slotCount)
            try forEachGrain(in: source) { (grain, sector, place) throws(ImageError) in
                if used.claim((sector - layout.overHead) / grainSize) == .alreadyClaimed {
                    report.add(
                        .corruption, "grain \(grain) is at sector \(sector), where another grain is already", at: place,
                        guest: GuestOffset(grain * tables.grainLength))
                }
            }
            if !hasUnalignedGrains {
                try claimTables(of: window, slotCount, &used, in: source, &report)
                used.forEachUnclaimed { slot in
                    report.add(
                        .leak, "no grain table points at the \(tables.grainLength) bytes here",
                        at: FileOffset((layout.overHead + slot * grainSize) * sectorSize))
                }
            }
            window += UsageWindow.capacity
        }
    }

    /// Claims the slots that tables touch, for writers put tables between grains; a slot may hold several tables.
    private func claimTables(
        of window: UInt64, _ slotCount: UInt64, _ used: inout UsageWindow, in source: any ImageSource,
        _ report: inout CheckReport
    ) throws(ImageError) {
        var ofTables = UsageWindow(start: window, limit: slotCount)
        try forEachTableInData(in: source) { (sectors, place) in
            let first = max(sectors.lowerBound, layout.overHead) - layout.overHead
            let end = (sectors.upperBound - layout.overHead).dividedRoundingUp(by: tables.grainSize)
            for slot in first / tables.grainSize..<end where ofTables.claim(slot) == .claimed {
                if used.claim(slot) == .alreadyClaimed {
                    report.add(
                        .corruption, "the table or directory at sector \(sectors.lowerBound) lies inside a grain",
                        at: place)
                }
            }
        }
    }

    /// Grains that are packed at any sector: no sector may belong to two of them, or to a grain and a table.
    private func findSharedSectors(in source: any ImageSource, _ report: inout CheckReport) throws(ImageError) {
        var window = layout.overHead
        while window < endSector {
            var used = UsageWindow(start: window, limit: endSector)
            try forEachGrain(in: source) { (grain, sector, place) throws(ImageError) in
                // Damaged markers are findings of the first walk.
                guard let end = try? storedEnd(of: grain, atSector: sector, in: source) else { return }
                let shared = (sector..<end).contains { used.claim($0) == .alreadyClaimed }
                if shared {
                    report.add(
                        .corruption, "grain \(grain) at sector \(sector) overlaps another grain", at: place,
                        guest: GuestOffset(grain * tables.grainLength))
                }
            }
            try forEachTableInData(in: source) { (sectors, place) in
                let shared = sectors.contains { used.claim($0) == .alreadyClaimed }
                if shared {
                    report.add(
                        .corruption,
                        "the table or directory at sector \(sectors.lowerBound) overlaps a grain or a table",
                        at: place)
                }
            }
            window += UsageWindow.capacity
        }
    }
}

/// Which tables of a directory were visited, so that none that is named over and over is read each time.
///
/// Tables that stand in the order of the directory take no memory.
struct VMDKTableVisits {
    private var end: UInt64 = 0
    private var others: Set<UInt64> = []

    /// Whether a table is to be read; false, too, where more of them are out of order than any writer leaves.
    mutating func isFirst(_ table: FileRange) -> Bool {
        if table.start.bytes >= end {
            end = table.end.bytes
            return true
        }
        guard others.count < ImageLimits.VMDK.unorderedTables else { return false }
        return others.insert(table.start.bytes).inserted
    }
}
