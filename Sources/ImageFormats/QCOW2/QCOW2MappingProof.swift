public import ImageModel

extension QCOW2Repairer {
    /// Compares header, L1 and L2 tables, snapshot table, bitmaps and encryption header word by word: all but the refcount table's place, the marks of a
    /// dirty or corrupt image, and the flags of sole references must be the same.
    public static func requireSameMapping(_ before: any ImageSource, _ after: any ImageSource) throws(ImageError) {
        var ignored = CheckReport()
        let header = try QCOW2Checker.header(of: before, &ignored)
        var survey = QCOW2Survey(header: header, source: before)
        try survey.run(&ignored)
        let proof = MappingProof(before: before, after: after)
        try proof.requireSame(FileRange(0, length: min(header.clusterSize, before.length))) { offset, old, new in
            switch offset {
            case 48: true
            case 56: old & 0xFFFF_FFFF == new & 0xFFFF_FFFF
            case 72 where header.version >= 3: (old ^ new) & ~0b11 == 0
            default: old == new
            }
        }
        let (rules, flag) = (survey.bounds.rules, QCOW2Tables.copiedFlag)
        for table in survey.l1Tables { try proof.requireSame(table) { _, old, new in (old ^ new) & ~flag == 0 } }
        for table in survey.tables {
            try proof.requireSame(FileRange(table.offset, length: header.clusterSize)) { offset, old, new in
                if rules.isExtended, (offset - table.offset) % 16 == 8 { return old == new }
                // In a data file the flag alone says that offset 0 is a place.
                if rules.hasDataFile, old & QCOW2Tables.offsetMask == 0 {
                    return old == new || old & QCOW2Tables.compressedFlag != 0
                }
                return (old ^ new) & ~flag == 0
            }
        }
        let compared = Set([0] + survey.l1Tables.map(\.start.bytes))
        for region in survey.regions where !region.isRefcounts {
            let start = region.clusters.lowerBound * header.clusterSize
            let end = min(region.clusters.upperBound * header.clusterSize, before.length)
            guard !compared.contains(start) else { continue }
            try proof.requireSame(FileRange(start, length: end - start)) { _, old, new in old == new }
        }
    }
}

/// Compares words of 64 bits of two files.
private struct MappingProof {
    /// In bytes, a multiple of 8.
    private static let sliceLength: UInt64 = 64 << 10

    let before: any ImageSource
    let after: any ImageSource

    /// - Parameter isSame: takes a word's file offset, and what it was and is; asked only where they differ.
    func requireSame(_ range: FileRange, _ isSame: (UInt64, UInt64, UInt64) -> Bool) throws(ImageError) {
        var done: UInt64 = 0
        while done < range.length {
            // What is a hole of both is the same.
            let place = range.start + done
            let data = [
                try before.nextData(from: place, limit: range.end), try after.nextData(from: place, limit: range.end),
            ]
            guard let next = data.compactMap({ $0?.start }).min() else { return }
            done = max(done, (next - range.start).roundedDown(toMultipleOf: 8))
            let slice = FileRange(start: range.start + done, length: min(Self.sliceLength, range.length - done))
            let (old, new) = (try padded(before, slice), try padded(after, slice))
            if old != new {
                for place in stride(from: 0, to: old.count, by: 8) {
                    let (was, now): (UInt64, UInt64) = (old.bigEndian(at: place), new.bigEndian(at: place))
                    guard was == now || isSame(slice.start.bytes + UInt64(place), was, now) else {
                        throw ImageError(
                            .verificationFailed,
                            "the repair would turn \(hex(was)) at byte \(slice.start.bytes + UInt64(place)) into "
                                + "\(hex(now)), and change what the guest reads; nothing was written",
                            path: before.name,
                            offset: slice.start + UInt64(place))
                    }
                }
            }
            done += slice.length
        }
    }

    private func padded(_ source: any ImageSource, _ range: FileRange) throws(ImageError) -> [UInt8] {
        let bytes = try source.read(range)
        return bytes.count % 8 == 0 ? bytes : bytes + [UInt8](repeating: 0, count: 8 - bytes.count % 8)
    }
}
