import ImageModel

/// Holds the redundant directory and its tables against the primary ones.
struct VMDKCopyCheck {
    private let tables: VMDKTables
    private let copies: VMDKTables
    private var empty = VMDKEmptyTables()
    private var emptyCopies = VMDKEmptyTables()
    private var visits = VMDKTableVisits()
    private var copyVisits = VMDKTableVisits()

    init(_ tables: VMDKTables, _ copies: VMDKTables) {
        self.tables = tables
        self.copies = copies
    }

    mutating func run(in source: any ImageSource, _ report: inout CheckReport) throws(ImageError) {
        var index: UInt64 = 0
        while true {
            // What is a hole in both directories names no table in either.
            index = try min(
                tables.firstStoredEntry(from: index, in: source), copies.firstStoredEntry(from: index, in: source))
            guard index < tables.tableCount else { return }
            let slice = index..<min(index + VMDKTables.sliceCount, tables.tableCount)
            let entries = try tables.directoryEntries(of: slice, in: source)
            let others = try copies.directoryEntries(of: slice, in: source)
            for (entry, other) in zip(entries, others) {
                try compare(index, entry: entry, copy: other, in: source, &report)
                index += 1
            }
        }
    }

    private mutating func compare(
        _ index: UInt64, entry: UInt32, copy other: UInt32, in source: any ImageSource, _ report: inout CheckReport
    ) throws(ImageError) {
        if entry == 0, other == 0 { return }
        let range = tables.tableRange(entry)
        let copyRange = copies.tableRange(other)
        // A table past the file's end is the grain check's finding; here there is nothing to compare.
        if entry != 0, range.end.bytes > source.length { return }
        let guest = GuestOffset(index * tables.entriesPerTable * tables.grainLength)
        guard entry != 0, other != 0, copyRange.end.bytes <= source.length else {
            report.add(
                .corruption,
                "grain table \(index) is at sector \(entry), its copy at sector \(other): one of them is missing",
                at: copies.directoryEntryOffset(index), guest: guest)
            return
        }
        // A table that is named again is the grain check's finding; to read it each time would have no bound.
        let (isFirst, isFirstCopy) = (visits.isFirst(range), copyVisits.isFirst(copyRange))
        guard isFirst, isFirstCopy else { return }
        let isHole = try empty.contains(range, of: source)
        let copyIsHole = try emptyCopies.contains(copyRange, of: source)
        if isHole, copyIsHole { return }
        let table = try source.read(range)
        let copy = try source.read(copyRange)
        guard let place = table.indices.first(where: { table[$0] != copy[$0] }) else { return }
        let step = UInt64(place) / VMDKTables.entryLength
        report.add(
            .corruption,
            "grain table \(index) and its copy differ at entry \(step): which one a program reads decides what the disk "
                + "holds", at: range.start + step * VMDKTables.entryLength, guest: guest + step * tables.grainLength)
    }
}
