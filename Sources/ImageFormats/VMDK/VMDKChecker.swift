public import ImageModel

/// Checks a VMDK: header, footer and descriptor, both copies of the tables, and that every grain has a place of its own.
public enum VMDKChecker: ImageChecker {
    public static func check(_ source: any ImageSource) -> CheckReport {
        var report = CheckReport()
        do throws(ImageError) {
            let head = try VMDKHeader(source: source)
            let header = try VMDKFooter.effectiveHeader(head, in: source)
            checkHeader(header, head: head, fileLength: source.length, &report)
            checkDescriptor(header, head: head, in: source, &report)
            let tables = try VMDKTables(header, in: source)
            var redundant: VMDKTables?
            if header.flags.contains(.redundantDirectory), header.redundantDirectoryOffset != 0 {
                redundant = try VMDKTables(header, redundant: true, in: source)
            }
            if let redundant { try checkCopies(tables, redundant, in: source, &report) }
            if head.directoryOffset == VMDKHeader.directoryAtEnd { try checkMarkers(tables, in: source, &report) }
            var grains = VMDKGrainCheck(
                header: header, hasFooter: head.directoryOffset == VMDKHeader.directoryAtEnd, tables: tables,
                redundant: redundant)
            try grains.run(in: source, &report)
        } catch {
            report.fail(with: error)
        }
        return report
    }

    private static func checkHeader(
        _ header: VMDKHeader, head: VMDKHeader, fileLength: UInt64, _ report: inout CheckReport
    ) {
        if !header.flags.contains(.newlineTest) {
            report.add(
                .warning, "the header has no newline bytes, so a transfer as text would go by unseen", at: FileOffset(8)
            )
        }
        let unknown = header.flags.subtracting(.known)
        if !unknown.isEmpty {
            report.add(.warning, "the flags \(hex(unknown.rawValue)) have no known meaning", at: FileOffset(8))
        }
        if header.flags.contains(.zeroedGrain), header.version < 2 {
            report.add(.warning, "zeroed grains need version 2, the header says \(header.version)", at: FileOffset(4))
        }
        if head.uncleanShutdown || header.uncleanShutdown {
            report.add(
                .warning,
                "the image was open for writing when its program ended (uncleanShutdown): its tables may be behind "
                    + "its content", at: FileOffset(72))
        }
        if head.descriptorOffset != 1 {
            report.add(
                .warning,
                "the descriptor is at sector \(head.descriptorOffset); QEMU and Glance look for it at sector 1 only",
                at: FileOffset(28))
        }
        if header.overHead > fileLength / sectorSize {
            report.add(
                .corruption,
                "the header keeps \(header.overHead) sectors for metadata, but the file ends at byte \(fileLength)",
                at: FileOffset(64))
        }
        if header.flags.contains(.redundantDirectory), header.redundantDirectoryOffset == 0 {
            report.add(.warning, "the flags promise a redundant directory, but none is named", at: FileOffset(48))
        }
        guard head.directoryOffset == VMDKHeader.directoryAtEnd else { return }
        var expected = head
        expected.directoryOffset = header.directoryOffset
        if expected != header {
            report.add(
                .corruption, "header and footer do not say the same; some programs read one and some the other",
                at: FileOffset(fileLength - 2 * sectorSize))
        }
    }

    private static func checkDescriptor(
        _ header: VMDKHeader, head: VMDKHeader, in source: any ImageSource, _ report: inout CheckReport
    ) {
        let offset = FileOffset(head.descriptorOffset * sectorSize)
        do throws(ImageError) {
            let descriptor = try VMDKDescriptor(header: head, source: source)
            try descriptor.validate(path: source.name, at: offset)
            if let size = descriptor.extents.first?.size, size != header.capacity {
                report.add(
                    .corruption,
                    "the descriptor says \(size) sectors, the header \(header.capacity): programs differ in which they take",
                    at: offset)
            }
            if let name = descriptor.extents.first?.fileName, name.contains("/") {
                report.add(
                    .warning, "the extent's name '\(name.prefix(80))' has a path in it; Glance refuses it", at: offset)
            }
            if let line = descriptor.strayLine {
                report.add(
                    .warning, "the descriptor has a line of no known kind, '\(line)'; Glance refuses it", at: offset)
            }
            if !["1", "2", "3"].contains(descriptor.version ?? "") {
                report.add(
                    .warning, "the descriptor's version is '\(descriptor.version ?? "")', expected 1 to 3", at: offset)
            }
            checkContentID(descriptor, at: offset, &report)
        } catch {
            report.fail(with: error)
        }
    }

    private static func checkContentID(
        _ descriptor: VMDKDescriptor, at offset: FileOffset, _ report: inout CheckReport
    ) {
        // fffffffe is not odd: it says that the long ID holds.
        if descriptor.contentID == VMDKDescriptor.noParent {
            report.add(.warning, "the content ID is ffffffff, which means 'no parent' to a child disk", at: offset)
        }
        let subformat = VMDKSubformat.allCases.first { $0.rawValue.lowercased() == descriptor.createType.lowercased() }
        if descriptor.extents.first?.access == "RDONLY", subformat == .monolithicSparse {
            report.add(.warning, "the extent is RDONLY, expected RW for a monolithicSparse disk", at: offset)
        }
    }

    /// Holds the redundant directory and its tables against the primary ones.
    private static func checkCopies(
        _ tables: VMDKTables, _ copies: VMDKTables, in source: any ImageSource, _ report: inout CheckReport
    ) throws(ImageError) {
        var holes = FileHoles()
        var copyHoles = FileHoles()
        var index: UInt64 = 0
        while index < tables.tableCount {
            let slice = index..<min(index + VMDKTables.sliceCount, tables.tableCount)
            let entries = try tables.directoryEntries(of: slice, in: source)
            let others = try copies.directoryEntries(of: slice, in: source)
            for (entry, other) in zip(entries, others) {
                try compare(
                    tables, copies, table: index, entry: entry, copy: other, &holes, &copyHoles, in: source, &report)
                index += 1
            }
        }
    }

    private static func compare(
        _ tables: VMDKTables, _ copies: VMDKTables, table index: UInt64, entry: UInt32, copy other: UInt32,
        _ holes: inout FileHoles, _ copyHoles: inout FileHoles, in source: any ImageSource, _ report: inout CheckReport
    ) throws(ImageError) {
        if entry == 0, other == 0 { return }
        let range = tables.tableRange(entry)
        let copyRange = copies.tableRange(other)
        // A table past the file's end is the grain check's finding; here there is nothing to compare.
        if entry != 0, !isHeld(range, in: source) { return }
        let guest = GuestOffset(index * tables.entriesPerTable * tables.grainLength)
        guard entry != 0, other != 0, isHeld(copyRange, in: source) else {
            report.add(
                .corruption,
                "grain table \(index) is at sector \(entry), its copy at sector \(other): one of them is missing",
                at: copies.directoryEntryOffset(index), guest: guest)
            return
        }
        let isHole = try holes.cover(range, of: source)
        let copyIsHole = try copyHoles.cover(copyRange, of: source)
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

    private static func isHeld(_ range: FileRange, in source: any ImageSource) -> Bool {
        range.end.bytes <= source.length
    }

    /// Wants a marker in front of the directory and of every table: who reads a stream from its start knows them by it.
    private static func checkMarkers(_ tables: VMDKTables, in source: any ImageSource, _ report: inout CheckReport)
        throws(ImageError)
    {
        func check(_ kind: VMDKMarker.Kind, beforeSector sector: UInt64, _ what: String) throws(ImageError) {
            let start = FileOffset((sector - 1) * sectorSize)
            let bytes = try source.read(FileRange(start: start, length: VMDKMarker.metadataMarkerLength))
            guard bytes[8..<16] != VMDKMarker.metadata(kind, sectors: 0)[8..<16] else { return }
            report.add(
                .corruption,
                "there is no marker of type \(kind.rawValue) in front of \(what) at sector \(sector): a program "
                    + "that reads the stream from its start would lose its way", at: start)
        }
        try check(.grainDirectory, beforeSector: tables.directoryOffset, "the grain directory")
        try tables.forEachDirectoryEntry(of: 0..<tables.tableCount, in: source) { (index, entry) throws(ImageError) in
            if entry != 0, isHeld(tables.tableRange(entry), in: source) {
                try check(.grainTable, beforeSector: UInt64(entry), "grain table \(index)")
            }
            return true
        }
    }
}
