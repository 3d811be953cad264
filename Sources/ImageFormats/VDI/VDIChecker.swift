public import ImageModel

/// Checks a VDI: the header, and that every block of the map has a place of its own in the file.
public enum VDIChecker: ImageChecker {
    public static func check(_ source: any ImageSource) -> CheckReport {
        var report = CheckReport()
        do throws(ImageError) {
            let header = try VDIHeader(source: source)
            try header.validate(path: source.name)
            checkHeader(header, &report)
            try checkMap(header, in: source, &report)
        } catch {
            report.fail(with: error)
        }
        return report
    }

    private static func checkHeader(_ header: VDIHeader, _ report: inout CheckReport) {
        if header.creationUUID.isZero {
            report.add(
                .corruption, "the creation UUID is null, and VirtualBox refuses such an image", at: FileOffset(392))
        }
        if header.modificationUUID.isZero {
            report.add(
                .corruption, "the modification UUID is null, and VirtualBox refuses such an image", at: FileOffset(408))
        }
        if header.diskSize % sectorSize != 0 {
            report.add(
                .warning,
                "the disk size of \(header.diskSize) bytes is not in whole sectors: QEMU rounds up, VirtualBox down",
                at: FileOffset(368))
        }
        if header.allocatedBlocks > header.blockCount {
            report.add(
                .corruption, "\(header.allocatedBlocks) blocks are said to be allocated, of \(header.blockCount)",
                at: FileOffset(388))
        }
    }

    /// Walks the map once for each window of the data area, so that the record of used blocks stays small.
    private static func checkMap(_ header: VDIHeader, in source: any ImageSource, _ report: inout CheckReport)
        throws(ImageError)
    {
        report.totalUnits = header.blockCount
        report.imageEnd = FileOffset(header.dataOffset)
        var highest: UInt64 = 0
        var previous: UInt32?
        try VDITables.forEachEntry(of: 0..<header.blockCount, mapAt: header.mapOffset, in: source) {
            (block, entry) throws(ImageError) in
            guard entry != VDITables.freeBlock, entry != VDITables.zeroBlock else { return true }
            report.allocatedUnits += 1
            if let before = previous, entry != before &+ 1 { report.fragmentedUnits += 1 }
            previous = entry
            checkEntry(entry, of: block, header, fileLength: source.length, &report)
            if UInt64(entry) < header.blockCount { highest = max(highest, UInt64(entry) + 1) }
            return true
        }
        try checkSharing(header, usedBlocks: highest, in: source, &report)
        report.imageEnd = FileOffset(header.dataOffset + highest * (header.blockSize + header.blockExtra))
        let mapped = report.allocatedUnits
        if mapped != header.allocatedBlocks {
            report.add(
                .corruption, "the header counts \(header.allocatedBlocks) allocated blocks, the map has \(mapped)",
                at: FileOffset(388))
        }
    }

    private static func checkEntry(
        _ entry: UInt32, of block: UInt64, _ header: VDIHeader, fileLength: UInt64, _ report: inout CheckReport
    ) {
        let entryOffset = FileOffset(header.mapOffset + block * VDITables.entryLength)
        let guest = GuestOffset(block * header.blockSize)
        guard UInt64(entry) < header.blockCount else {
            report.add(
                .corruption, "map entry \(block) is \(entry), expected less than \(header.blockCount)", at: entryOffset,
                guest: guest)
            return
        }
        let start = header.dataOffset(ofBlock: entry)
        let needed = min(header.blockSize, header.virtualSize - guest.bytes)
        if start + needed > fileLength {
            report.add(
                .corruption,
                "map entry \(block) points at bytes \(start) to \(start + needed), past the file's end at "
                    + "\(fileLength)", at: entryOffset, guest: guest)
        }
    }

    /// Finds blocks that two entries claim and blocks that none does.
    private static func checkSharing(
        _ header: VDIHeader, usedBlocks: UInt64, in source: any ImageSource, _ report: inout CheckReport
    ) throws(ImageError) {
        var window: UInt64 = 0
        while window < usedBlocks {
            var used = UsageWindow(start: window, limit: usedBlocks)
            try VDITables.forEachEntry(of: 0..<header.blockCount, mapAt: header.mapOffset, in: source) {
                (block, entry) throws(ImageError) in
                if UInt64(entry) < header.blockCount, used.claim(UInt64(entry)) == .alreadyClaimed {
                    report.add(
                        .corruption, "map entry \(block) points at block \(entry), which another entry has already",
                        at: FileOffset(header.mapOffset + block * VDITables.entryLength),
                        guest: GuestOffset(block * header.blockSize))
                }
                return true
            }
            used.forEachUnclaimed { block in
                report.add(
                    .leak, "block \(block) of the data area belongs to no map entry",
                    at: FileOffset(header.dataOffset + block * (header.blockSize + header.blockExtra)))
            }
            window += UsageWindow.capacity
        }
    }
}
