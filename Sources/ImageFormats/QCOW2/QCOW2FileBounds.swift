import ImageModel

/// What of a file the tables may refer to.
struct QCOW2FileBounds {
    let header: QCOW2Header
    /// Of the file, in bytes.
    let length: UInt64

    func isHeld(_ range: FileRange) -> Bool {
        let (end, overflow) = range.start.bytes.addingReportingOverflow(range.length)
        return !overflow && end <= length
    }

    func clusters(of range: FileRange) -> Range<UInt64> {
        range.start.bytes / header.clusterSize..<range.end.bytes.dividedRoundingUp(by: header.clusterSize)
    }

    /// The clusters that an L2 entry refers to; nil for none, or for what is wrong and has been said.
    func clusters(
        ofL2Entry entry: UInt64, _ index: UInt64, at place: FileOffset, guest: GuestOffset?, _ report: inout CheckReport
    ) -> Range<UInt64>? {
        switch QCOW2L2Entry(entry, header) {
        case .unallocated:
            if entry & QCOW2Tables.copiedFlag != 0 {
                report.add(
                    .warning, "L2 entry \(index) has the flag of a sole reference, but refers to nothing", at: place,
                    guest: guest)
            }
            return nil
        case .invalid(let reason):
            report.add(.corruption, "L2 entry \(index) \(reason)", at: place, guest: guest)
            return nil
        case .zero(let kept):
            return kept == 0 ? nil : clusters(ofPlainAt: kept, needing: 0, index, at: place, guest: guest, &report)
        case .data(let offset):
            // Bytes behind the disk's end may be missing; what a snapshot's disk needs is not known here.
            let left = guest.map { header.virtualSize - min($0.bytes, header.virtualSize) } ?? 0
            let needed = min(header.clusterSize, left)
            return clusters(ofPlainAt: offset, needing: needed, index, at: place, guest: guest, &report)
        case .compressed(let stored):
            if entry & QCOW2Tables.copiedFlag != 0 {
                report.add(
                    .corruption,
                    "L2 entry \(index) is compressed and has the flag of a sole reference, which compressed "
                        + "clusters never have", at: place, guest: guest)
            }
            let clusters = clusters(of: stored)
            guard stored.start.bytes < length, clusters.upperBound <= fileClusters else {
                report.add(
                    .corruption,
                    "L2 entry \(index) points at compressed bytes \(stored.start.bytes) to \(stored.end.bytes), "
                        + "past the file's end at \(length)", at: place, guest: guest)
                return nil
            }
            return clusters
        }
    }

    /// How many clusters the file has, the last one perhaps in part.
    var fileClusters: UInt64 { length.dividedRoundingUp(by: header.clusterSize) }

    private func clusters(
        ofPlainAt offset: UInt64, needing needed: UInt64, _ index: UInt64, at place: FileOffset, guest: GuestOffset?,
        _ report: inout CheckReport
    ) -> Range<UInt64>? {
        guard offset < length, isHeld(FileRange(offset, length: needed)) else {
            report.add(
                .corruption,
                "L2 entry \(index) points at a cluster at \(offset), past the file's end at \(length)",
                at: place, guest: guest)
            return nil
        }
        let cluster = offset / header.clusterSize
        return cluster..<cluster + 1
    }
}
