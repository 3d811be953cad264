import ImageModel

// Internal snapshots own clusters too: their table, and an L1 table each, with all that it refers to.
// Source: QEMU `docs/interop/qcow2.rst`, section "Snapshots".

extension QCOW2Survey {
    /// The fixed fields of a snapshot table entry, in bytes.
    private static let fixedLength: UInt64 = 40
    /// QEMU's `QCOW_MAX_SNAPSHOT_EXTRA_DATA`.
    private static let maximumExtraLength: UInt64 = 1024
    /// QEMU's `QCOW_MAX_SNAPSHOTS_SIZE`.
    private static let maximumTableLength: UInt64 = 64 << 20

    mutating func surveySnapshots(_ report: inout CheckReport) throws(ImageError) {
        let start = header.snapshotsOffset
        var position = start
        for index in 0..<header.snapshotCount {
            let entry = FileRange(position, length: Self.fixedLength)
            guard entry.end.bytes <= source.length, entry.end.bytes - start <= Self.maximumTableLength else {
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
            guard extraLength <= Self.maximumExtraLength, end <= source.length else {
                reportTableEnd(index, at: position, &report)
                break
            }
            if header.version >= 3 && extraLength < 16 {
                report.add(
                    .corruption, "snapshot \(index) has \(extraLength) bytes of extra data, expected at least 16",
                    at: FileOffset(position + 36))
            }
            try surveySnapshot(index, l1Offset: l1Offset, l1Count: l1Count, entryAt: position, &report)
            position = end + (8 - (end - start) % 8) % 8
        }
        let length = min(position, source.length) - min(start, source.length)
        if length > 0 { own(FileRange(start, length: length), "the snapshot table", &report, from: 64) }
    }

    private func reportTableEnd(_ index: UInt64, at position: UInt64, _ report: inout CheckReport) {
        report.add(
            .corruption,
            "the snapshot table breaks off at entry \(index) of \(header.snapshotCount): the entry is longer "
                + "than it may be, or ends past the file's end at \(source.length)", at: FileOffset(position))
    }

    private mutating func surveySnapshot(
        _ index: UInt64, l1Offset: UInt64, l1Count: UInt64, entryAt position: UInt64, _ report: inout CheckReport
    ) throws(ImageError) {
        guard l1Count <= QCOW2Tables.maximumL1Length / QCOW2Tables.entryLength else {
            report.add(
                .corruption, "snapshot \(index) has an L1 table of \(l1Count) entries, more than can be",
                at: FileOffset(position + 8))
            return
        }
        let range = FileRange(l1Offset, length: l1Count * QCOW2Tables.entryLength)
        guard own(range, "the L1 table of snapshot \(index)", &report, from: position) else { return }
        try surveyL1(at: l1Offset, count: l1Count, isActive: false, &report)
    }
}
