import ImageModel

/// The refcounts in eight bytes of a refcount block.
///
/// Source: QEMU `docs/interop/qcow2.rst`, "Host cluster management": refcounts of 8 bits and more are big-endian, narrower
/// ones fill each byte from its least significant bit on.
struct QCOW2Refcounts {
    /// The eight bytes, read as a big-endian integer.
    var word: UInt64
    /// The width of a refcount, 1 to 64.
    var bits: UInt64

    /// Hands out those that are not zero, each with its place in the word.
    func forEachUsed(_ body: (UInt64, UInt64) -> Void) {
        let mask = UInt64.max >> (64 - bits)
        for place in 0..<64 / bits {
            let shift: UInt64
            if bits >= 8 {
                shift = 64 - bits * (place + 1)
            } else {
                shift = 56 - place * bits / 8 * 8 + place * bits % 8
            }
            let value = word >> shift & mask
            if value != 0 { body(place, value) }
        }
    }
}

/// References and stored refcounts of a run of clusters.
private struct QCOW2RefcountWindow {
    /// Set in a count for what must not be shared.
    private static let soleFlag: UInt32 = 1 << 31
    /// Counts end here; more is never stored by a program that means it.
    private static let maximumCount = soleFlag - 1

    let clusters: Range<UInt64>
    private var references: [UInt32]
    private var stored: [UInt32]

    init(_ clusters: Range<UInt64>) {
        self.clusters = clusters
        references = [UInt32](repeating: 0, count: clusters.count)
        stored = references
    }

    /// Adds references to the part of `touched` that is in this window.
    mutating func refer(to touched: Range<UInt64>, times: UInt32 = 1, solely: Bool) {
        for cluster in touched.clamped(to: clusters) {
            let index = Int(cluster - clusters.lowerBound)
            let sum = (references[index] & Self.maximumCount).addingReportingOverflow(min(times, Self.maximumCount))
            let flag = references[index] & Self.soleFlag | (solely ? Self.soleFlag : 0)
            references[index] = min(sum.partialValue, Self.maximumCount) | flag
        }
    }

    mutating func store(_ refcount: UInt64, of cluster: UInt64) {
        guard clusters.contains(cluster) else { return }
        stored[Int(cluster - clusters.lowerBound)] = UInt32(min(refcount, UInt64(Self.maximumCount)))
    }

    /// The flag must say whether the refcount is one: a program writes in place where it is set.
    func checkCopied(
        _ isCopied: Bool, _ cluster: UInt64, _ report: inout CheckReport,
        _ entry: @autoclosure () -> String, at place: UInt64, guest: UInt64
    ) {
        guard clusters.contains(cluster) else { return }
        let refcount = stored[Int(cluster - clusters.lowerBound)]
        guard (refcount == 1) != isCopied else { return }
        report.add(
            .corruption,
            "\(entry()) \(isCopied ? "has" : "lacks") the flag of a sole reference, but the refcount of cluster "
                + "\(cluster) is \(refcount)", at: FileOffset(place), guest: GuestOffset(guest))
    }

    /// Hands out the clusters whose counts are worth a word.
    func forEachFinding(_ body: (_ cluster: UInt64, _ references: UInt32, _ stored: UInt32, _ isSole: Bool) -> Void) {
        for (index, entry) in references.enumerated() {
            let count = entry & Self.maximumCount
            let isShared = entry & Self.soleFlag != 0 && count > 1
            if count != stored[index] || isShared {
                body(clusters.lowerBound + UInt64(index), count, stored[index], isShared)
            }
        }
    }
}

extension QCOW2Survey {
    /// Counts all references, window by window, and holds them against the refcounts and the flags of sole references.
    mutating func countReferences(_ report: inout CheckReport) throws(ImageError) {
        for index in windows.sorted() {
            let start = index * Self.windowCapacity
            var window = QCOW2RefcountWindow(start..<min(start + Self.windowCapacity, clusterCount))
            try spend(UInt64(window.clusters.count) + UInt64(tables.count + blocks.count + regions.count))
            if hasRefcounts { try readRefcounts(&window) }
            for region in regions { window.refer(to: region.clusters, solely: true) }
            for block in blocks {
                let cluster = block.offset / header.clusterSize
                window.refer(to: cluster..<cluster + 1, solely: true)
            }
            for table in tables { try count(table, &window, &report) }
            compare(window, &report)
        }
    }

    private mutating func readRefcounts(_ window: inout QCOW2RefcountWindow) throws(ImageError) {
        let header = header
        for block in blocks {
            let base = block.index * header.refcountsPerBlock
            guard window.clusters.overlaps(base..<base + header.refcountsPerBlock) else { continue }
            let seen = try QCOW2Tables.forEachUsedEntry(
                ofCount: header.l2EntryCount, tableAt: block.offset, in: source
            ) { (index, word) throws(ImageError) in
                QCOW2Refcounts(word: word, bits: header.refcountBits).forEachUsed { (place, refcount) in
                    window.store(refcount, of: base + index * (64 / header.refcountBits) + place)
                }
            }
            try spend(seen)
        }
    }

    /// Without snapshots nothing but compressed bytes may share a cluster.
    private var clustersAreSole: Bool { header.snapshotCount == 0 }

    private mutating func count(_ table: L2Table, _ window: inout QCOW2RefcountWindow, _ report: inout CheckReport)
        throws(ImageError)
    {
        let (header, hasRefcounts, clustersAreSole) = (header, hasRefcounts, clustersAreSole)
        let cluster = table.offset / header.clusterSize
        window.refer(to: cluster..<cluster + 1, times: table.references, solely: clustersAreSole)
        if let active = table.active, hasRefcounts {
            window.checkCopied(
                active.isCopied, cluster, &report, "L1 entry \(active.l1Index)",
                at: header.l1Offset + active.l1Index * QCOW2Tables.entryLength,
                guest: active.l1Index * header.l2Coverage)
        }
        guard table.touched.overlaps(window.clusters) else { return }
        let seen = try QCOW2Tables.forEachUsedEntry(
            ofCount: header.l2EntryCount, tableAt: table.offset, in: source
        ) { (index, entry) throws(ImageError) in
            switch QCOW2L2Entry(entry, header) {
            case .unallocated, .invalid, .zero(kept: 0):
                break
            case .compressed(let stored):
                let first = stored.start.bytes / header.clusterSize
                let end = stored.end.bytes.dividedRoundingUp(by: header.clusterSize)
                window.refer(to: first..<end, times: table.references, solely: false)
            case .zero(let offset), .data(let offset):
                let cluster = offset / header.clusterSize
                window.refer(to: cluster..<cluster + 1, times: table.references, solely: clustersAreSole)
                guard let active = table.active, hasRefcounts else { break }
                window.checkCopied(
                    entry & QCOW2Tables.copiedFlag != 0, cluster, &report, "L2 entry \(index)",
                    at: table.offset + index * QCOW2Tables.entryLength,
                    guest: active.l1Index * header.l2Coverage + index * header.clusterSize)
            }
        }
        try spend(seen)
    }

    private func compare(_ window: QCOW2RefcountWindow, _ report: inout CheckReport) {
        window.forEachFinding { (cluster, references, stored, isShared) in
            let place = FileOffset(cluster * header.clusterSize)
            if isShared {
                report.add(
                    .corruption,
                    "cluster \(cluster)\(owner(of: cluster)) has \(references) references, but must not be shared",
                    at: place)
            } else if hasRefcounts {
                report.add(
                    stored < references ? .corruption : .leak,
                    "cluster \(cluster) has refcount \(stored), but \(references) references", at: place)
            }
        }
    }

    /// What of the metadata stands in a cluster, for messages.
    private func owner(of cluster: UInt64) -> String {
        regions.first { $0.clusters.contains(cluster) }.map { " of \($0.name)" } ?? ""
    }
}
