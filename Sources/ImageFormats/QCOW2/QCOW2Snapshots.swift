import ImageModel

// Internal snapshots own clusters too: their table, and an L1 table each, with all that it refers to.
// Source: QEMU `docs/interop/qcow2.rst`, section "Snapshots".

extension QCOW2Survey {
    static let snapshotTableName = "the snapshot table"
    /// The fixed fields of a snapshot table entry, in bytes.
    private static let fixedLength: UInt64 = 40

    mutating func surveySnapshots(_ report: inout CheckReport) throws(ImageError) {
        let start = header.snapshotsOffset
        var position = start
        for index in 0..<header.snapshotCount {
            let entry = FileRange(position, length: Self.fixedLength)
            guard entry.end.bytes <= source.length, entry.end.bytes - start <= ImageLimits.QCOW2.snapshotTableLength
            else {
                reportTableEnd(index, at: position, &report)
                break
            }
            let bytes = try source.read(entry)
            let l1Offset: UInt64 = bytes.bigEndian(at: 0)
            let l1Count = UInt64(bytes.bigEndian(UInt32.self, at: 8))
            let idLength = UInt64(bytes.bigEndian(UInt16.self, at: 12))
            let nameLength = UInt64(bytes.bigEndian(UInt16.self, at: 14))
            let extraLength = UInt64(bytes.bigEndian(UInt32.self, at: 36))
            let end = entry.end.bytes + extraLength + idLength + nameLength
            guard extraLength <= ImageLimits.QCOW2.snapshotExtraLength, end <= source.length else {
                reportTableEnd(index, at: position, &report)
                break
            }
            if header.version >= 3 && extraLength < 16 {
                report.add(
                    .corruption, "the length of the extra data of snapshot \(index)", is: "\(extraLength)",
                    expected: "16 or more in version 3", "the size of its disk is not known",
                    at: FileOffset(position + 36))
            }
            try surveySnapshot(index, l1Offset: l1Offset, l1Count: l1Count, entryAt: position, &report)
            position = end + (8 - (end - start) % 8) % 8
        }
        let length = min(position, source.length) - min(start, source.length)
        if length > 0 { own(FileRange(start, length: length), Self.snapshotTableName, &report, from: 64) }
    }

    private mutating func reportTableEnd(_ index: UInt64, at position: UInt64, _ report: inout CheckReport) {
        let fault = QCOW2EntryFault(
            found: "one that is longer than it may be, or reaches behind the table's or the file's end",
            expected:
                "an entry with at most \(ImageLimits.QCOW2.snapshotExtraLength) bytes of extra data, in a table of at most "
                + "\(ImageLimits.QCOW2.snapshotTableLength) bytes that ends before the file does, at \(source.length)",
            consequence: "this snapshot and those behind it are lost, and their clusters count as leaks")
        let count = header.snapshotCount
        reject("entry \(index) of the \(count) of the snapshot table", fault, at: position, &report)
    }

    private mutating func surveySnapshot(
        _ index: UInt64, l1Offset: UInt64, l1Count: UInt64, entryAt position: UInt64, _ report: inout CheckReport
    ) throws(ImageError) {
        guard l1Count <= ImageLimits.QCOW2.l1TableLength / QCOW2Tables.entryLength else {
            let fault = QCOW2EntryFault(
                found: "\(l1Count) entries",
                expected: "at most \(ImageLimits.QCOW2.l1TableLength / QCOW2Tables.entryLength)",
                consequence: "the snapshot can't be read, and its clusters count as leaks")
            reject("the length of the L1 table of snapshot \(index)", fault, at: position + 8, &report)
            return
        }
        let range = FileRange(l1Offset, length: l1Count * QCOW2Tables.entryLength)
        guard ownTable(range, "the L1 table of snapshot \(index)", &report, from: position) else { return }
        try surveyL1(at: l1Offset, count: l1Count, snapshot: index, &report)
    }
}
