public import ImageModel

/// Checks a VDI: the header, and that every block of the map has a place of its own in the file.
///
/// A parent is never opened.
public enum VDIChecker: ImageChecker {
    public static func check(_ source: any ImageSource) -> CheckReport {
        var report = CheckReport()
        do throws(ImageError) {
            let header = try VDIHeader(source: source)
            try header.withoutParent.validate(path: source.name)
            checkHeader(header, &report)
            checkParent(header, &report)
            try checkMap(header, in: source, &report)
        } catch {
            report.fail(with: error)
        }
        return report
    }

    private static func checkHeader(_ header: VDIHeader, _ report: inout CheckReport) {
        if header.creationUUID.isZero {
            report.add(
                .corruption, "the creation UUID", is: "null", expected: "one that no other image has",
                "VirtualBox refuses such an image", at: FileOffset(392))
        }
        if header.modificationUUID.isZero {
            report.add(
                .corruption, "the modification UUID", is: "null", expected: "one that changes with the content",
                "VirtualBox refuses such an image", at: FileOffset(408))
        }
        if header.diskSize % sectorSize != 0 {
            report.add(
                .warning, "the size of the disk", is: "\(header.diskSize) bytes",
                expected: "whole sectors of \(sectorSize)", "QEMU rounds up, VirtualBox down", at: FileOffset(368))
        }
    }

    private static func checkParent(_ header: VDIHeader, _ report: inout CheckReport) {
        let hasLinkage = !header.linkageUUID.isZero
        switch header.type {
        case .undo, .differencing:
            if !hasLinkage {
                report.add(
                    .corruption, "the linkage UUID", is: "null", expected: "that of the parent",
                    "nothing proves that a parent is the right one", at: FileOffset(424))
            }
        case .normal, .fixed:
            if hasLinkage {
                report.add(
                    .corruption, "the linkage UUID", is: uuidText(littleEndianFields: header.linkageUUID),
                    expected: "null, since an image of type \(header.type.rawValue) has no parent",
                    "QEMU refuses such an image, and free blocks may be the parent's", at: FileOffset(424))
            }
        }
    }

    /// Walks the map once for each window of the data area, so that the record of used blocks stays small.
    private static func checkMap(_ header: VDIHeader, in source: any ImageSource, _ report: inout CheckReport)
        throws(ImageError)
    {
        // A header can say two gibibytes of map; none is walked to find that the file ends within it, and no number that was counted
        // half way is left for a repair to write down.
        try source.requireHeld(FileRange(header.mapOffset, length: header.blockCount * VDITables.entryLength))
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
        if header.type == .fixed, mapped < header.blockCount {
            report.add(
                .warning, "the block map", is: "one of \(mapped) blocks",
                expected: "all \(header.blockCount), since the image is static",
                "a program may take no room for the others",
                at: FileOffset(header.mapOffset))
        }
        if mapped != header.allocatedBlocks {
            report.add(
                .corruption, "the number of allocated blocks in the header", is: "\(header.allocatedBlocks)",
                expected: "\(mapped), as many as the map has of the disk's \(header.blockCount)",
                "a program puts the next block where it is not expected, and VirtualBox refuses more than there are; "
                    + "'lathe check --repair all' sets it right", at: FileOffset(388))
        }
    }

    private static func checkEntry(
        _ entry: UInt32, of block: UInt64, _ header: VDIHeader, fileLength: UInt64, _ report: inout CheckReport
    ) {
        let entryOffset = FileOffset(header.mapOffset + block * VDITables.entryLength)
        let guest = GuestOffset(block * header.blockSize)
        guard UInt64(entry) < header.blockCount else {
            report.add(
                .corruption, "map entry \(block)", is: "\(entry)",
                expected: "less than the \(header.blockCount) blocks",
                "the entry is damaged, and the guest's bytes there can't be found", at: entryOffset, guest: guest)
            return
        }
        let start = header.dataOffset(ofBlock: entry)
        let needed = min(header.blockSize, header.virtualSize - guest.bytes)
        if header.isOnMap(FileRange(start, length: needed)) {
            report.add(
                .corruption, "map entry \(block)", is: "\(entry), a block at bytes \(start) to \(start + needed)",
                expected: "one that is not on the map, at \(header.mapOffset) to \(header.mapRange.end.bytes)",
                "the guest would write over the map", at: entryOffset, guest: guest)
        }
        if start + needed > fileLength {
            report.add(
                .corruption, "map entry \(block)", is: "\(entry), a block at bytes \(start) to \(start + needed)",
                expected: "one before the file's end at \(fileLength)",
                "the file was cut short or the entry is damaged, and the guest's bytes there are lost", at: entryOffset,
                guest: guest)
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
                        .corruption, "map entry \(block)", is: "\(entry), as another entry is",
                        expected: "a block of its own", "two parts of the disk show the same bytes",
                        at: FileOffset(header.mapOffset + block * VDITables.entryLength),
                        guest: GuestOffset(block * header.blockSize))
                }
                return true
            }
            used.forEachUnclaimed { block in
                report.add(
                    .leak, "block \(block) of the data area", is: "in no map entry", expected: "in one",
                    "the bytes belong to nothing",
                    at: FileOffset(header.dataOffset + block * (header.blockSize + header.blockExtra)))
            }
            window += UsageWindow.capacity
        }
    }
}

extension VDIHeader {
    /// The header of an image that is whole by itself: what must hold of places and sizes is the same with a parent.
    var withoutParent: Self {
        var header = self
        header.type = type == .fixed ? .fixed : .normal
        header.linkageUUID = [UInt8](repeating: 0, count: 16)
        return header
    }
}
