public import ImageModel

/// Checks a VHD: both footers, the header, what it says of a parent, and that every block has a place of its own in the file.
///
/// A parent is never opened.
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
            if footer.diskType == .fixed {
                checkFixed(footer, dataLimit: copies.dataLimit, &report)
            } else {
                let header = try VHDHeader(at: footer.dataOffset, source: source)
                try checkDynamic(header, footer, copies, in: source, &report)
            }
            if copies.tail?.valid != nil { report.imageEnd = FileOffset(source.length) }
        } catch {
            report.fail(with: error)
        }
        return report
    }

    private static func checkDynamic(
        _ header: VHDHeader, _ footer: VHDFooter, _ copies: VHDFooterCopies, in source: any ImageSource,
        _ report: inout CheckReport
    ) throws(ImageError) {
        checkHeader(header, of: footer, &report)
        try header.validate(virtualSize: footer.virtualSize, source: source)
        let tables = VHDTables(header: header)
        let isDifferencing = footer.diskType == .differencing
        var locators: [FileRange] = []
        if isDifferencing { locators = try VHDParentCheck(header, in: source).check(tables, copies, &report) }
        try checkBlocks(
            tables, copies, locators: locators, virtualSize: footer.virtualSize, isDifferencing: isDifferencing,
            in: source, &report)
    }

    /// A dynamic disk needs both of its footers, and the same bytes in both.
    private static func checkCopies(_ copies: VHDFooterCopies, type: VHDFooter.DiskType, _ report: inout CheckReport) {
        if let tail = copies.tail, tail.isShort {
            report.add(
                .warning, "the footer at the end", is: "\(VHDFooter.shortLength) bytes long",
                expected: "\(VHDFooter.encodedLength)",
                "old writers left it so, and others take the file for a raw one; 'lathe check --repair all' adds the byte",
                at: tail.offset)
        }
        guard type != .fixed else { return }
        let places = [
            (copies.head, "at byte 0", FileOffset(0)), (copies.tail, "at the end of the file", copies.dataLimit),
        ]
        let advice = "the other one is whole, and 'lathe check --repair all' copies it"
        for (copy, place, offset) in places {
            switch copy?.footer {
            case nil:
                report.add(
                    .corruption, "the footer \(place)", is: "not there",
                    expected: "'conectix' and the bytes of the other one",
                    "\(advice); some programs look at one of them alone", at: offset)
            case .failure(let error)?:
                report.add(
                    .corruption, "the footer \(place)", is: "damaged (\(error.message))",
                    expected: "the bytes of the other one", "\(advice); some programs look at one of them alone",
                    at: copy?.offset ?? offset)
            case .success?:
                break
            }
        }
        if let head = copies.head, let tail = copies.tail, head.valid != nil, tail.valid != nil,
            let index = head.bytes.indices.first(where: { head.bytes[$0] != tail.bytes[$0] })
        {
            report.add(
                .corruption, "byte \(index) of the footer at the end", is: "\(tail.bytes[index])",
                expected: "\(head.bytes[index]), as in its copy at byte \(index)",
                "programs that go by one or the other see two disks", at: tail.offset + UInt64(index))
        }
    }

    private static func checkFooter(_ footer: VHDFooter, at offset: FileOffset, _ report: inout CheckReport) {
        if footer.features & VHDFooter.reservedFeature == 0
            || footer.features & ~(VHDFooter.reservedFeature | VHDFooter.temporaryFeature) != 0
        {
            report.add(
                .warning, "the features field of the footer", is: hex(footer.features),
                expected: "2, or 3 for a temporary disk", "a program may refuse what it does not know", at: offset + 8)
        }
        if footer.version != VHDFooter.version {
            report.add(
                .warning, "the file format version of the footer", is: hex(footer.version),
                expected: hex(VHDFooter.version), "a program may refuse another minor version", at: offset + 12)
        }
        if footer.diskType == .fixed, footer.dataOffset != VHDFooter.noDataOffset {
            report.add(
                .warning, "the data offset of the footer", is: hex(footer.dataOffset),
                expected: "\(hex(VHDFooter.noDataOffset)), since a fixed disk has no dynamic header",
                "a program may look for a header there", at: offset + 16)
        }
        checkSize(footer, at: offset, &report)
        if footer.uniqueID.isZero {
            report.add(
                .corruption, "the UUID of the footer", is: "null", expected: "one that no other disk has",
                "programs tell disks apart by it, and refuse this one or take it for another", at: offset + 68)
        }
        if footer.savedState > 1 {
            report.add(
                .warning, "the saved state of the footer", is: "\(footer.savedState)", expected: "0 or 1",
                "a program may take the disk for one in use", at: offset + 84)
        } else if footer.savedState == 1 {
            report.add(
                .warning, "the saved state of the footer", is: "1", expected: "0, for a disk by itself",
                "a machine was saved with this disk, and its memory may hold what the disk lacks", at: offset + 84)
        }
        if footer.hidden > 1 {
            report.add(
                .warning, "byte 85 of the footer", is: "\(footer.hidden)",
                expected: "0, or 1 for a disk that Xen hides", "the byte has no other meaning", at: offset + 85)
        }
        if !footer.reservedIsZero {
            report.add(
                .warning, "the reserved part of the footer", is: "not all zero", expected: "427 zeros",
                "a program may refuse what it does not know", at: offset + 86)
        }
    }

    private static func checkSize(_ footer: VHDFooter, at offset: FileOffset, _ report: inout CheckReport) {
        if footer.currentSize % sectorSize != 0 {
            report.add(
                .warning, "the current size in the footer", is: "\(footer.currentSize) bytes",
                expected: "whole sectors of \(sectorSize)", "it is rounded down", at: offset + 48)
        }
        if footer.virtualSize != footer.currentSize.roundedDown(toMultipleOf: sectorSize) {
            report.add(
                .warning, "the current size in the footer", is: "\(footer.currentSize) bytes",
                expected: "\(footer.virtualSize), the size by the geometry of this writer",
                "QEMU and Virtual PC go by the geometry, others by the size", at: offset + 48)
        }
        if footer.virtualSize > VHDTables.maximumSectorCount * sectorSize {
            report.add(
                .warning, "the size of the disk", is: "\(footer.virtualSize) bytes",
                expected: "2040 GiB (\(VHDTables.maximumSectorCount * sectorSize) bytes) at most",
                "many programs refuse a larger one", at: offset + 48)
        }
        let geometry = VHDGeometry(forSize: footer.currentSize)
        if geometry.encoded < footer.geometry.encoded {
            report.add(
                .warning, "the geometry in the footer", is: "\(footer.geometry)",
                expected: "\(geometry) at most, for a disk of \(footer.currentSize) bytes",
                "Xen refuses such a disk", at: offset + 56)
        }
    }

    /// "The VHD … must have a virtual size aligned to 1 MB" (Azure, "Prepare a VHD to upload").
    private static let azureMultiple: UInt64 = 1 << 20

    private static func checkFixed(_ footer: VHDFooter, dataLimit: FileOffset, _ report: inout CheckReport) {
        if footer.virtualSize % azureMultiple != 0 {
            report.remark(
                "The disk has \(footer.virtualSize) bytes, and Azure takes only whole MiB; 'lathe convert -O vhd -o "
                    + "subformat=fixed,align=1M' rounds it up.")
        }
        // An empty disk has a sector in front of its footer, so that the footer does not stand at byte 0.
        let end = max(footer.virtualSize, footer.currentSize, sectorSize)
        if footer.virtualSize > dataLimit.bytes {
            report.add(
                .corruption, "the footer", is: "at \(dataLimit.bytes)",
                expected: "behind the \(footer.virtualSize) bytes of the disk",
                "the file was cut short, and the end of the disk is lost", at: dataLimit)
        } else if end < dataLimit.bytes {
            report.add(
                .leak, "what follows the disk", is: "\(dataLimit.bytes - end) bytes of nothing",
                expected: "its footer, which stands at \(dataLimit.bytes)", "the bytes belong to nothing",
                at: FileOffset(end))
        }
    }

    private static func checkHeader(_ header: VHDHeader, of footer: VHDFooter, _ report: inout CheckReport) {
        let offset = FileOffset(header.offset)
        if header.version != VHDHeader.version {
            report.add(
                .warning, "the version of the dynamic header", is: hex(header.version),
                expected: hex(VHDHeader.version),
                "a program may refuse another minor version", at: offset + 24)
        }
        if header.dataOffset != VHDHeader.noDataOffset {
            report.add(
                .warning, "the data offset of the dynamic header", is: hex(header.dataOffset),
                expected: hex(VHDHeader.noDataOffset), "a program may refuse what it does not know", at: offset + 8)
        }
        if header.tableOffset % sectorSize != 0 {
            report.add(
                .corruption, "the place of the block allocation table", is: "\(header.tableOffset)",
                expected: "a multiple of \(sectorSize)", "programs that count in sectors miss it", at: offset + 16)
        }
        if footer.diskType != .differencing, !header.parentIsAbsent {
            report.add(
                .warning, "what the dynamic header says of a parent", is: "not all zero",
                expected: "zeros, since the disk is not a differencing one", "a program may look for the parent",
                at: offset + 40)
        }
        if !header.reservedIsZero {
            report.add(
                .warning, "a reserved part of the dynamic header", is: "not all zero", expected: "zeros",
                "a program may refuse what it does not know", at: offset + 60)
        }
        guard header.blockSize > 0 else { return }
        let needed = footer.virtualSize.dividedRoundingUp(by: header.blockSize)
        if header.maxTableEntries > needed {
            report.add(
                .warning, "the length of the block allocation table", is: "\(header.maxTableEntries) entries",
                expected: "\(needed), one for each block of the disk", "Azure refuses more", at: offset + 28)
        }
    }
}
