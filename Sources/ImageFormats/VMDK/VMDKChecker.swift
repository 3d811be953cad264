public import ImageModel

/// Checks a file of a VMDK: header, footer and descriptor, both copies of the tables, and that every grain has a place of its own.
public enum VMDKChecker: ImageChecker {
    public static func check(_ source: any ImageSource) -> CheckReport {
        var report = CheckReport()
        do throws(ImageError) {
            switch try VMDKFile.kind(of: source) {
            case .hosted: try checkHosted(source, &report)
            case .cowd: try checkCOWD(source, &report)
            case .seSparse:
                var check = try VMDKSESparseCheck(VMDKSESparseExtent(source: source))
                try check.run(in: source, &report)
            case .descriptor: try VMDKDescriptorCheck.checkFile(source, &report)
            }
        } catch {
            report.fail(with: error)
        }
        return report
    }

    /// Checks a disk with its extents, where its descriptor is a file of its own.
    ///
    /// - Parameter opened: all files, those of the disk itself first, as `VMDKExtents` has them.
    static func check(_ source: any ImageSource, openedAs opened: any ImageSource) -> CheckReport {
        var report = check(source)
        guard report.incomplete?.code == .externalReference, let descriptor = try? VMDKDescriptor(file: source) else {
            return report
        }
        report.incomplete = nil
        let files = opened.files
        let indices = VMDKExtents.fileIndices(descriptor)
        var seen: Set<Int> = []
        for line in descriptor.extents where line.hasTables {
            guard let index = indices[PathText.bytes(of: line.fileName)], index < files.count,
                seen.insert(index).inserted
            else { continue }
            report.add(check(files[index]), of: files[index].name)
        }
        return report
    }

    private static func checkHosted(_ source: any ImageSource, _ report: inout CheckReport) throws(ImageError) {
        let extent = try VMDKHostedExtent(source: source)
        let (header, tables) = (extent.header, extent.grains.tables)
        checkHeader(header, head: extent.head, fileLength: source.length, &report)
        if let footer = extent.footer { checkFooter(footer, head: extent.head, fileLength: source.length, &report) }
        VMDKDescriptorCheck.checkEmbedded(in: extent, source, &report)
        if header.isCompressed, header.capacity % max(1, header.grainSize) != 0 {
            report.remark(
                "The disk has \(header.capacity) sectors, no multiple of the grain of \(header.grainSize), as VMware's specification "
                    + "wants it; 'lathe convert -o align=\(header.grainSize * sectorSize / 1024)k' rounds it up.")
        }
        var redundant: VMDKTables?
        if header.flags.contains(.redundantDirectory), header.redundantDirectoryOffset != 0 {
            redundant = try VMDKTables(header, redundant: true, in: source)
        }
        if let redundant {
            var copies = VMDKCopyCheck(tables, redundant)
            try copies.run(in: source, &report)
        }
        if extent.footer != nil { try checkMarkers(tables, in: source, &report) }
        // Behind its last compressed grain QEMU leaves room for a whole one, which is no fault.
        let layout = VMDKGrainCheck.Layout(
            isCompressed: header.isCompressed, isPacked: header.isCompressed, overHead: header.overHead,
            end: extent.footer?.end, endsWithLastGrain: !header.isCompressed)
        var grains = VMDKGrainCheck(tables, redundant: redundant, layout)
        try grains.run(in: source, &report)
    }

    private static func checkCOWD(_ source: any ImageSource, _ report: inout CheckReport) throws(ImageError) {
        let header = try VMDKCOWDHeader(source: source)
        let extent = try VMDKSparseExtent(header, in: source)
        if header.uncleanShutdown {
            report.add(
                .warning,
                "the extent was open for writing when its program ended (uncleanShutdown): its tables may be behind its content",
                at: VMDKCOWDHeader.shutdownOffset)
        }
        if header.flags & VMDKCOWDHeader.inconsistent != 0 {
            report.add(
                .corruption, "the flags", is: hex(header.flags), expected: "bit 2 not set",
                "ESX has found the extent inconsistent", at: VMDKCOWDHeader.flagsOffset)
        }
        let layout = VMDKGrainCheck.Layout(
            isPacked: true, overHead: header.firstGrainSector, endsWithLastGrain: false)
        var grains = VMDKGrainCheck(extent.tables, layout)
        try grains.run(in: source, &report)
        if header.freeSector < grains.endSector {
            report.add(
                .corruption, "freeSector", is: "\(header.freeSector)", expected: "at least \(grains.endSector)",
                "the next grain that is written would take the place of another", at: VMDKCOWDHeader.freeSectorOffset)
        }
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
        if head.hasDescriptorPlace, head.descriptorOffset != 1 {
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
    }

    private static func checkFooter(
        _ footer: VMDKFooter, head: VMDKHeader, fileLength: UInt64, _ report: inout CheckReport
    ) {
        var expected = head
        expected.directoryOffset = footer.header.directoryOffset
        if expected != footer.header {
            report.add(
                .corruption, "header and footer do not say the same; some programs read one and some the other",
                at: footer.offset)
        }
        if fileLength != footer.end {
            report.add(
                .corruption,
                "the file ends at byte \(fileLength), expected \(footer.end), where the end-of-stream marker behind the footer "
                    + "ends; programs that look for the footer from the end do not find it", at: footer.offset)
        }
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
        try tables.forEachNamedTable(in: source) { (index, entry) throws(ImageError) in
            if isHeld(tables.tableRange(entry), in: source) {
                try check(.grainTable, beforeSector: UInt64(entry), "grain table \(index)")
            }
        }
    }
}
