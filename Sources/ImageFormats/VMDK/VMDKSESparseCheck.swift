import ImageModel

/// Walks the tables of an seSparse extent: every entry for itself, and that no two share a table or a grain.
struct VMDKSESparseCheck {
    private let extent: VMDKSESparseExtent
    private let header: VMDKSESparseHeader
    private var previousGrain: UInt64?
    private var isOrdered = true
    private var lastGrain: UInt64 = 0

    init(_ extent: VMDKSESparseExtent) {
        self.extent = extent
        header = extent.header
    }

    mutating func run(in source: any ImageSource, _ report: inout CheckReport) throws(ImageError) {
        report.totalUnits = header.grainCount
        checkAreas(fileLength: source.length, &report)
        if header.needsReplay {
            report.add(
                .corruption, "replay_journal of the volatile header", is: "set", expected: "0",
                "writes are in the journal that the tables do not have; let ESXi open the disk once",
                at: header.volatileHeader.range.start + 24)
        }
        try forEachTable(in: source, &report) { (walk, grain, range, report) throws(ImageError) in
            let entries = try VMDKSESparseExtent.entries(
                0..<min(VMDKSESparseHeader.entriesPerTable, walk.header.grainCount - grain), at: range.start, in: source
            )
            for (step, entry) in entries.enumerated() where entry != 0 {
                let place = range.start + UInt64(step) * VMDKSESparseEntry.length
                walk.check(entry, ofGrain: grain + UInt64(step), at: place, fileLength: source.length, &report)
            }
        }
        if !isOrdered { try findSharedGrains(in: source, &report) }
        report.imageEnd = FileOffset(source.length)
    }

    /// Wants the parts that are read to lie in the file, each apart from the others.
    private func checkAreas(fileLength: UInt64, _ report: inout CheckReport) {
        let areas = [
            ("volatile header", header.volatileHeader), ("grain directory", header.directory),
            ("grain tables", header.tables), ("free bitmap", header.freeBitmap), ("back map", header.backmap),
            ("grains", header.grains),
        ].filter { $0.1.size > 0 }.sorted { $0.1.offset < $1.1.offset }
        for (before, next) in zip(areas, areas.dropFirst()) where before.1.range.end > next.1.range.start {
            report.add(
                .corruption, "the place of the \(next.0)", is: "sector \(next.1.offset)",
                expected: "one from sector \(before.1.offset + before.1.size) on",
                "the \(before.0) is there", at: FileOffset(next.1.field))
        }
        for (what, area) in areas where area != header.grains && area.range.end.bytes > fileLength {
            report.add(
                .corruption, "the place of the \(what)",
                is: "bytes \(area.range.start.bytes) to \(area.range.end.bytes)",
                expected: "one before the file's end at byte \(fileLength)", "the extent is cut short",
                at: FileOffset(area.field))
        }
    }

    /// Hands out every table that can be read, once: its first grain and its place; what is wrong with others is a finding.
    private mutating func forEachTable(
        in source: any ImageSource, _ report: inout CheckReport,
        _ body: (inout Self, UInt64, FileRange, inout CheckReport) throws(ImageError) -> Void
    ) throws(ImageError) {
        let tableCount = header.tables.size / VMDKSESparseHeader.tableSize
        var used = UsageWindow(start: 0, limit: min(tableCount, UsageWindow.capacity))
        var empty = VMDKEmptyTables()
        var walk = self
        try extent.forEachDirectoryEntry(of: 0..<header.tableCount, in: source) { (index, entry) throws(ImageError) in
            let first = index * VMDKSESparseHeader.entriesPerTable
            func finding(_ expected: String, _ consequence: String) {
                report.add(
                    .corruption, "grain directory entry \(index)", is: hex(entry), expected: expected, consequence,
                    at: extent.directoryEntryOffset(index), guest: GuestOffset(first * extent.grainLength))
            }
            switch VMDKSESparseEntry(directory: entry) {
            case .unallocated: return true
            case .zero, .invalid: finding("0, or a table's number under 0x10000000", "the grains can't be found")
            case .index(let table):
                let range = walk.header.tableRange(table)
                guard table < tableCount, range.end.bytes <= source.length else {
                    finding("a table of the \(tableCount) that the file has", "the grains can't be found")
                    return true
                }
                guard used.claim(table) == .claimed else {
                    finding("a table that no other entry has", "two parts of the disk share their tables")
                    return true
                }
                if try !empty.contains(range, of: source) { try body(&walk, first, range, &report) }
            }
            return true
        }
        self = walk
    }

    private mutating func check(
        _ entry: UInt64, ofGrain grain: UInt64, at place: FileOffset, fileLength: UInt64, _ report: inout CheckReport
    ) {
        let guest = GuestOffset(grain * extent.grainLength)
        switch VMDKSESparseEntry(table: entry) {
        case .unallocated, .zero: return
        case .invalid:
            report.add(
                .corruption, "the entry of grain \(grain)", is: hex(entry), expected: "0, or one of kind 1 to 3",
                "what the disk holds there can't be told", at: place, guest: guest)
        case .index(let index):
            report.allocatedUnits += 1
            let count = header.grains.size / VMDKSESparseHeader.grainSize
            guard index < count, header.grainRange(index).end.bytes <= fileLength else {
                report.add(
                    .corruption, "the entry of grain \(grain)", is: hex(entry),
                    expected: "a grain of the \(count) in a file of \(fileLength) bytes", "its content is lost",
                    at: place,
                    guest: guest)
                return
            }
            if let before = previousGrain {
                if index != before + 1 { report.fragmentedUnits += 1 }
                if index <= before { isOrdered = false }
            }
            previousGrain = index
            lastGrain = max(lastGrain, index)
        }
    }

    /// Tells grains that two entries name, in windows of bounded memory.
    private mutating func findSharedGrains(in source: any ImageSource, _ report: inout CheckReport) throws(ImageError) {
        var window: UInt64 = 0
        while window <= lastGrain {
            var used = UsageWindow(start: window, limit: lastGrain + 1)
            // What is wrong with tables is in the report already.
            var ignored = CheckReport()
            try forEachTable(in: source, &ignored) { (walk, first, range, _) throws(ImageError) in
                let entries = try VMDKSESparseExtent.entries(
                    0..<min(VMDKSESparseHeader.entriesPerTable, walk.header.grainCount - first), at: range.start,
                    in: source)
                for (step, entry) in entries.enumerated() {
                    guard case .index(let index) = VMDKSESparseEntry(table: entry),
                        used.claim(index) == .alreadyClaimed
                    else { continue }
                    let grain = first + UInt64(step)
                    report.add(
                        .corruption, "the entry of grain \(grain)", is: hex(entry),
                        expected: "a grain that no other entry has",
                        "what is written to one changes the other",
                        at: range.start + UInt64(step) * VMDKSESparseEntry.length,
                        guest: GuestOffset(grain * walk.extent.grainLength))
                }
            }
            window += UsageWindow.capacity
        }
    }
}
