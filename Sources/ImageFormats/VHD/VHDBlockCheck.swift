import ImageModel

// Where the blocks of a dynamic disk are: apart from each other, from metadata, and within the file.

extension VHDChecker {
    /// A block's place and number in one word, so that sorting brings neighbours together: a table has at most 4 Mi
    /// entries, and what is held of them is at most 64 MiB.
    private struct Place: Comparable {
        private let word: UInt64

        init(entry: UInt32, block: UInt64) { word = UInt64(entry) << 32 | block }

        var entry: UInt32 { UInt32(truncatingIfNeeded: word >> 32) }
        var block: UInt64 { word & 0xFFFF_FFFF }

        static func < (left: Self, right: Self) -> Bool { left.word < right.word }
    }

    static func checkBlocks(
        _ tables: VHDTables, _ copies: VHDFooterCopies, locators: [FileRange], virtualSize: UInt64,
        isDifferencing: Bool, in source: any ImageSource, _ report: inout CheckReport
    ) throws(ImageError) {
        let names = ["the footer's copy", "the dynamic header", "the block allocation table"]
        let owned = zip(names, tables.metadata) + locators.map { ("a parent locator", $0) }
        let metadata = owned.map(\.1)
        // Taken out of the walk: it is a look into both footers, and a table may have millions of entries.
        let dataLimit = copies.dataLimit
        let blockCount = virtualSize.dividedRoundingUp(by: tables.blockSize)
        report.totalUnits = blockCount
        report.imageEnd = metadata.map(\.end).max() ?? FileOffset(0)
        var places: [Place] = []
        var previousEnd: FileOffset?
        try tables.forEachEntry(of: 0..<tables.entryCount, in: source) { (block, entry) throws(ImageError) in
            guard entry != VHDTables.unusedEntry else { return true }
            let guest = GuestOffset(block * tables.blockSize)
            let range = FileRange(start: tables.bitmapOffset(of: entry), length: tables.blockLength)
            report.allocatedUnits += 1
            if let end = previousEnd, range.start < end || range.start - end >= VHDEncoder.alignment {
                report.fragmentedUnits += 1
            }
            previousEnd = range.end
            if block >= blockCount {
                report.add(
                    .warning, "table entry \(block)", is: "sector \(entry)",
                    expected: "\(hex(VHDTables.unusedEntry)), since the disk has \(blockCount) blocks",
                    "the block is never read", at: tables.entryOffset(of: block))
            }
            if checkPlace(range, of: block, guest, tables, apartFrom: owned, dataLimit: dataLimit, &report) {
                places.append(Place(entry: entry, block: block))
            }
            return true
        }
        places.sort()
        let apart = checkSharing(places, tables, metadata, dataLimit: dataLimit, &report)
        // In a differencing disk a sector that was not written is the parent's.
        if !isDifferencing { try checkBitmaps(apart, tables, in: source, &report) }
    }

    /// Whether a block lies clear of the metadata and within the file.
    private static func checkPlace(
        _ range: FileRange, of block: UInt64, _ guest: GuestOffset, _ tables: VHDTables,
        apartFrom owned: [(String, FileRange)], dataLimit: FileOffset, _ report: inout CheckReport
    ) -> Bool {
        // Only for what is found: there may be millions of blocks.
        func found() -> String { "the place of a block at bytes \(range.start.bytes) to \(range.end.bytes)" }
        for (name, metadata) in owned where VHDTables.overlap(metadata, range) {
            report.add(
                .corruption, "table entry \(block)", is: found(),
                expected: "one apart from \(name) at bytes \(metadata.start.bytes) to \(metadata.end.bytes)",
                "the guest reads what it never wrote, and its writes destroy the disk",
                at: tables.entryOffset(of: block),
                guest: guest)
            return false
        }
        guard range.end <= dataLimit else {
            report.add(
                .corruption, "table entry \(block)", is: found(),
                expected: "one before the end of the data at \(dataLimit.bytes)",
                "the file was cut short or the entry is damaged, and the guest's bytes there are lost",
                at: tables.entryOffset(of: block), guest: guest)
            return false
        }
        return true
    }

    /// Says once where bitmaps are not full, which is as it may be, but not read alike by all.
    ///
    /// - Parameter places: of blocks that share no byte, so that no more is read than the file holds.
    private static func checkBitmaps(
        _ places: [Place], _ tables: VHDTables, in source: any ImageSource, _ report: inout CheckReport
    ) throws(ImageError) {
        let sectors = tables.blockSize / sectorSize
        var first: Place?
        var count = 0
        for place in places {
            var isFull = false
            try tables.forEachRun(of: 0..<sectors, in: place.entry, source: source) { (run, isWritten) in
                isFull = isWritten && run.upperBound == sectors
                return false
            }
            guard !isFull else { continue }
            count += 1
            first = first ?? place
        }
        guard let first else { return }
        report.add(
            .warning, "the bitmap of block \(first.block)", is: "one with sectors that were never written",
            expected: "all bits set, as in all but \(count) of the blocks",
            "such sectors read as zero, but QEMU reads whatever stands there", at: tables.bitmapOffset(of: first.entry),
            guest: GuestOffset(first.block * tables.blockSize))
    }

    /// Finds blocks that share bytes, and gaps that a whole block would fit into.
    ///
    /// Smaller gaps are as they should be: they align the data of the next block, or hold Xen's map of full blocks or a
    /// locator.
    ///
    /// - Parameter places: in the order of the file.
    /// - Returns: those that begin where no block before them reaches.
    private static func checkSharing(
        _ places: [Place], _ tables: VHDTables, _ metadata: [FileRange], dataLimit: FileOffset,
        _ report: inout CheckReport
    ) -> [Place] {
        let metadata = metadata.sorted { $0.start < $1.start }
        var end = FileOffset(0)
        var owner: UInt64?
        var apart: [Place] = []
        func reportGap(upTo limit: FileOffset, _ report: inout CheckReport) {
            var start = end
            for range in metadata + [FileRange(start: limit, length: 0)]
            where range.end >= start && range.start <= limit {
                if range.start > start, range.start - start >= tables.blockLength {
                    report.add(
                        .leak, "a gap in the file", is: "\(range.start - start) bytes long",
                        expected: "less than the \(tables.blockLength) of a block", "the bytes belong to nothing",
                        at: start)
                }
                start = max(start, range.end)
            }
        }
        for place in places {
            let start = tables.bitmapOffset(of: place.entry)
            if start < end, let owner {
                report.add(
                    .corruption, "table entry \(place.block)", is: "the place of a block at byte \(start.bytes)",
                    expected: "one behind the block of entry \(owner), which ends at \(end.bytes)",
                    "two parts of the disk show the same bytes", at: tables.entryOffset(of: place.block),
                    guest: GuestOffset(place.block * tables.blockSize))
            } else {
                reportGap(upTo: start, &report)
                apart.append(place)
            }
            end = start + tables.blockLength
            owner = place.block
        }
        if !places.isEmpty { report.imageEnd = max(report.imageEnd, end) }
        reportGap(upTo: dataLimit, &report)
        return apart
    }
}
