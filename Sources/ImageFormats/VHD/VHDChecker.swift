public import ImageModel

/// Checks a VHD: both footers, the header, and that every block has a place of its own in the file.
///
/// What it asks of footer and header is what Xen's `vhd-util check` asks, but for the time, which may not lie in the
/// future: a check without a clock says the same every day.
public enum VHDChecker: ImageChecker {
    public static func check(_ source: any ImageSource) -> CheckReport {
        var report = CheckReport()
        do throws(ImageError) {
            let copies = try VHDFooterCopies(source: source)
            let footer = try copies.footer()
            checkCopies(copies, type: footer.diskType, &report)
            checkFooter(footer, at: copies.tail?.valid == nil ? FileOffset(0) : copies.dataLimit, &report)
            if footer.diskType == .dynamic {
                checkHeader(try VHDHeader(at: footer.dataOffset, source: source), of: footer, &report)
            }
            if let header = try VHDReader.header(of: footer, dataLimit: copies.dataLimit, source: source) {
                try checkBlocks(VHDTables(header: header), copies, virtualSize: footer.virtualSize, in: source, &report)
            } else {
                checkFixed(footer, dataLimit: copies.dataLimit, &report)
            }
            if copies.tail?.valid != nil { report.imageEnd = FileOffset(source.length) }
        } catch {
            report.fail(with: error)
        }
        return report
    }

    /// A dynamic disk needs both of its footers, and the same bytes in both.
    private static func checkCopies(_ copies: VHDFooterCopies, type: VHDFooter.DiskType, _ report: inout CheckReport) {
        if let tail = copies.tail, tail.isShort {
            report.add(
                .warning,
                "the footer at the end has \(VHDFooter.shortLength) bytes, as old writers left it, expected "
                    + "\(VHDFooter.encodedLength)", at: tail.offset)
        }
        guard type != .fixed else { return }
        let places = [
            (copies.head, "at byte 0", FileOffset(0)), (copies.tail, "at the end of the file", copies.dataLimit),
        ]
        for (copy, place, offset) in places {
            switch copy?.footer {
            case nil:
                report.add(.corruption, "there is no footer \(place); the other one is whole", at: offset)
            case .failure(let error)?:
                report.add(
                    .corruption, "the footer \(place) can't be used, the other one is whole: \(error.message)",
                    at: copy?.offset)
            case .success?:
                break
            }
        }
        if let head = copies.head, let tail = copies.tail, head.valid != nil, tail.valid != nil,
            let index = head.bytes.indices.first(where: { head.bytes[$0] != tail.bytes[$0] })
        {
            report.add(
                .corruption,
                "the footer at the end and its copy at byte 0 are not the same: they differ from byte "
                    + "\(index) on", at: tail.offset + UInt64(index))
        }
    }

    private static func checkFooter(_ footer: VHDFooter, at offset: FileOffset, _ report: inout CheckReport) {
        if footer.features & VHDFooter.reservedFeature == 0
            || footer.features & ~(VHDFooter.reservedFeature | VHDFooter.temporaryFeature) != 0
        {
            report.add(
                .warning, "the features are \(hex(footer.features)), expected 2, or 3 for a temporary disk",
                at: offset + 8)
        }
        if footer.version != VHDFooter.version {
            report.add(
                .warning, "the file format version is \(hex(footer.version)), expected \(hex(VHDFooter.version))",
                at: offset + 12)
        }
        if footer.diskType == .fixed, footer.dataOffset != VHDFooter.noDataOffset {
            report.add(
                .warning,
                "a fixed disk has no dynamic header, but its data offset is \(hex(footer.dataOffset)), expected "
                    + "\(hex(VHDFooter.noDataOffset))", at: offset + 16)
        }
        checkSize(footer, at: offset, &report)
        if footer.uniqueID.isZero {
            report.add(.corruption, "the UUID is null; programs tell disks apart by it", at: offset + 68)
        }
        if footer.savedState > 1 {
            report.add(.warning, "the saved state is \(footer.savedState), expected 0 or 1", at: offset + 84)
        } else if footer.savedState == 1 {
            report.add(
                .warning,
                "a machine was saved with this disk: its memory may hold what the disk lacks", at: offset + 84)
        }
        if footer.hidden > 1 {
            report.add(
                .warning,
                "byte 85 is \(footer.hidden), expected 0, or 1 for a disk that Xen hides", at: offset + 85)
        }
        if !footer.reservedIsZero {
            report.add(.warning, "the reserved bytes of the footer are not all zero", at: offset + 86)
        }
    }

    private static func checkSize(_ footer: VHDFooter, at offset: FileOffset, _ report: inout CheckReport) {
        if footer.currentSize % sectorSize != 0 {
            report.add(
                .warning, "the current size of \(footer.currentSize) bytes is not in whole sectors of \(sectorSize)",
                at: offset + 48)
        }
        if footer.virtualSize != footer.currentSize.roundedDown(toMultipleOf: sectorSize) {
            report.add(
                .warning,
                "the disk has \(footer.virtualSize) bytes by the geometry of its writer, which QEMU and Virtual PC "
                    + "go by, but \(footer.currentSize) by its current size, which others go by", at: offset + 48)
        }
        if footer.virtualSize > VHDTables.maximumSectorCount * sectorSize {
            report.add(
                .warning, "the disk has \(footer.virtualSize) bytes; many programs refuse more than 2040 GiB",
                at: offset + 48)
        }
        let geometry = VHDGeometry(forSize: footer.currentSize)
        if geometry.encoded < footer.geometry.encoded {
            report.add(
                .warning,
                "the geometry is \(footer.geometry), more than the \(geometry) of a disk of \(footer.currentSize) "
                    + "bytes; Xen refuses such a disk", at: offset + 56)
        }
    }

    private static func checkFixed(_ footer: VHDFooter, dataLimit: FileOffset, _ report: inout CheckReport) {
        // An empty disk has a sector in front of its footer, so that the footer does not stand at byte 0.
        let end = max(footer.virtualSize, footer.currentSize, sectorSize)
        if end < dataLimit.bytes {
            report.add(
                .leak, "\(dataLimit.bytes - end) bytes between the end of the disk and its footer belong to nothing",
                at: FileOffset(end))
        }
    }

    private static func checkHeader(_ header: VHDHeader, of footer: VHDFooter, _ report: inout CheckReport) {
        let offset = FileOffset(header.offset)
        if header.version != VHDHeader.version {
            report.add(
                .warning,
                "the header version is \(hex(header.version)), expected \(hex(VHDHeader.version))", at: offset + 24)
        }
        if header.dataOffset != VHDHeader.noDataOffset {
            report.add(
                .warning,
                "the header's data offset is \(hex(header.dataOffset)), expected "
                    + "\(hex(VHDHeader.noDataOffset))", at: offset + 8)
        }
        if header.tableOffset % sectorSize != 0 {
            report.add(
                .corruption,
                "the block allocation table at \(header.tableOffset) is not at a whole sector", at: offset + 16)
        }
        if !header.parentIsAbsent {
            report.add(.warning, "the header names a parent, but the disk is not a differencing one", at: offset + 40)
        }
        if !header.reservedIsZero {
            report.add(.warning, "the reserved bytes of the header are not all zero", at: offset + 60)
        }
        guard header.blockSize > 0 else { return }
        let needed = footer.virtualSize.dividedRoundingUp(by: header.blockSize)
        if header.maxTableEntries > needed {
            report.add(
                .warning,
                "the block allocation table has \(header.maxTableEntries) entries, expected the \(needed) of the "
                    + "disk's blocks; Azure refuses more", at: offset + 28)
        }
    }
}

// MARK: - Blocks

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

    private static func checkBlocks(
        _ tables: VHDTables, _ copies: VHDFooterCopies, virtualSize: UInt64, in source: any ImageSource,
        _ report: inout CheckReport
    ) throws(ImageError) {
        let metadata = tables.metadata
        report.totalUnits = virtualSize.dividedRoundingUp(by: tables.blockSize)
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
            if block >= report.totalUnits {
                report.add(
                    .warning, "table entry \(block) has a block, but the disk ends before it",
                    at: tables.entryOffset(of: block))
            }
            if checkPlace(range, of: block, guest, tables, dataLimit: copies.dataLimit, &report) {
                places.append(Place(entry: entry, block: block))
            }
            return true
        }
        places.sort()
        let apart = checkSharing(places, tables, copies, &report)
        try checkBitmaps(apart, tables, in: source, &report)
    }

    /// Whether a block lies clear of the metadata and within the file.
    private static func checkPlace(
        _ range: FileRange, of block: UInt64, _ guest: GuestOffset, _ tables: VHDTables, dataLimit: FileOffset,
        _ report: inout CheckReport
    ) -> Bool {
        let names = ["the footer's copy", "the dynamic header", "the block allocation table"]
        for (name, metadata) in zip(names, tables.metadata) where VHDTables.overlap(metadata, range) {
            report.add(
                .corruption,
                "table entry \(block) has a block at bytes \(range.start.bytes) to \(range.end.bytes), on top of "
                    + "\(name) at \(metadata.start.bytes)", at: tables.entryOffset(of: block), guest: guest)
            return false
        }
        guard range.end <= dataLimit else {
            report.add(
                .corruption,
                "table entry \(block) has a block at bytes \(range.start.bytes) to \(range.end.bytes), past the "
                    + "end of the data at \(dataLimit.bytes)", at: tables.entryOffset(of: block), guest: guest)
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
            .warning,
            "blocks with sectors that, by their bitmaps, were never written: \(count); such sectors read as zero, but "
                + "QEMU reads whatever stands there", at: tables.bitmapOffset(of: first.entry),
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
        _ places: [Place], _ tables: VHDTables, _ copies: VHDFooterCopies, _ report: inout CheckReport
    ) -> [Place] {
        let metadata = tables.metadata.sorted { $0.start < $1.start }
        var end = FileOffset(0)
        var owner: UInt64?
        var apart: [Place] = []
        func reportGap(upTo limit: FileOffset, _ report: inout CheckReport) {
            var start = end
            for range in metadata + [FileRange(start: limit, length: 0)]
            where range.end >= start && range.start <= limit {
                if range.start > start, range.start - start >= tables.blockLength {
                    report.add(
                        .leak, "\(range.start - start) bytes, enough for a block, belong to nothing", at: start)
                }
                start = max(start, range.end)
            }
        }
        for place in places {
            let start = tables.bitmapOffset(of: place.entry)
            if start < end, let owner {
                report.add(
                    .corruption,
                    "table entry \(place.block) has a block at byte \(start.bytes), inside the block of entry "
                        + "\(owner), which ends at \(end.bytes)", at: tables.entryOffset(of: place.block),
                    guest: GuestOffset(place.block * tables.blockSize))
            } else {
                reportGap(upTo: start, &report)
                apart.append(place)
            }
            end = start + tables.blockLength
            owner = place.block
        }
        if !places.isEmpty { report.imageEnd = max(report.imageEnd, end) }
        reportGap(upTo: copies.dataLimit, &report)
        return apart
    }
}
