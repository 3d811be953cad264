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

    /// The greatest refcount of a width.
    static func maximum(bits: UInt64) -> UInt64 { .max >> (64 - bits) }

    /// How far the refcount at a place in the word stands from the word's low end.
    private func shift(of place: UInt64) -> UInt64 {
        bits >= 8 ? 64 - bits * (place + 1) : 56 - place * bits / 8 * 8 + place * bits % 8
    }

    /// Hands out those that are not zero, each with its place in the word.
    func forEachUsed(_ body: (UInt64, UInt64) -> Void) {
        let mask = Self.maximum(bits: bits)
        for place in 0..<64 / bits {
            let value = word >> shift(of: place) & mask
            if value != 0 { body(place, value) }
        }
    }

    /// The refcount at a place in the word.
    func refcount(at place: UInt64) -> UInt64 { word >> shift(of: place) & Self.maximum(bits: bits) }

    /// Puts a refcount, which fits the width, at a place in the word.
    mutating func set(_ refcount: UInt64, at place: UInt64) {
        let shift = shift(of: place)
        word = word & ~(Self.maximum(bits: bits) << shift) | refcount << shift
    }
}

/// References and stored refcounts of a run of clusters.
struct QCOW2RefcountWindow {
    /// What refers to a cluster; in the count of its references a flag for each.
    enum Use: UInt32 {
        /// Nothing else may be in it.
        case whole = 0x8000_0000
        case l2Table = 0x4000_0000
        case plainContent = 0x2000_0000
        case packedContent = 0x1000_0000
    }

    /// Counts end here; more is never stored by a program that means it.
    static let maximumCount: UInt32 = 0x0FFF_FFFF

    let clusters: Range<UInt64>
    /// Whether snapshots may have L2 tables and clusters in common with the disk, and with each other.
    private let hasSnapshots: Bool
    private var references: [UInt32]
    private var stored: [UInt32]

    init(_ clusters: Range<UInt64>, hasSnapshots: Bool) {
        self.clusters = clusters
        self.hasSnapshots = hasSnapshots
        references = [UInt32](repeating: 0, count: clusters.count)
        stored = references
    }

    /// Adds references to the part of `touched` that is in this window.
    mutating func refer(to touched: Range<UInt64>, times: UInt32 = 1, as use: Use) {
        for cluster in touched.clamped(to: clusters) {
            let index = Int(cluster - clusters.lowerBound)
            let sum = (references[index] & Self.maximumCount).addingReportingOverflow(min(times, Self.maximumCount))
            let flags = references[index] & ~Self.maximumCount | use.rawValue
            references[index] = min(sum.partialValue, Self.maximumCount) | flags
        }
    }

    mutating func store(_ refcount: UInt64, of cluster: UInt64) {
        guard clusters.contains(cluster) else { return }
        stored[Int(cluster - clusters.lowerBound)] = UInt32(min(refcount, UInt64(Self.maximumCount)))
    }

    /// How many things refer to a cluster of this window.
    func references(to cluster: UInt64) -> UInt32 {
        references[Int(cluster - clusters.lowerBound)] & Self.maximumCount
    }

    /// What the file says of that, for a cluster of this window.
    func refcount(of cluster: UInt64) -> UInt32 { stored[Int(cluster - clusters.lowerBound)] }

    /// Hands out the clusters that have a reference or a refcount, in order.
    func forEachUsed(_ body: (_ cluster: UInt64, _ references: UInt32, _ stored: UInt32) -> Void) {
        for (index, entry) in references.enumerated() where entry != 0 || stored[index] != 0 {
            body(clusters.lowerBound + UInt64(index), entry & Self.maximumCount, stored[index])
        }
    }

    /// What is wrong with how many things refer to a cluster.
    enum Sharing {
        case allowed
        /// Things share it that never may.
        case ofOtherKinds
        /// Things of one kind share it, and the refcount does not say so.
        case withoutRefcount
    }

    /// Hands out the clusters whose counts are worth a word.
    func forEachFinding(_ body: (_ cluster: UInt64, _ references: UInt32, _ stored: UInt32, Sharing) -> Void) {
        for (index, entry) in references.enumerated() {
            let count = entry & Self.maximumCount
            let sharing = count > 1 ? sharing(entry, stored[index]) : .allowed
            if count != stored[index] || sharing != .allowed {
                body(clusters.lowerBound + UInt64(index), count, stored[index], sharing)
            }
        }
    }

    /// L2 tables and clusters of content may be shared by as many as their refcount says, with snapshots and without.
    ///
    /// Who writes makes a copy first. Packed content shares in any case.
    ///
    /// Source: QEMU `docs/interop/qcow2.rst`, "Host cluster management".
    private func sharing(_ entry: UInt32, _ stored: UInt32) -> Sharing {
        let uses = entry & ~Self.maximumCount
        if uses & Use.whole.rawValue != 0 || uses.nonzeroBitCount > 1 { return .ofOtherKinds }
        if hasSnapshots || uses == Use.packedContent.rawValue { return .allowed }
        return stored < entry & Self.maximumCount ? .withoutRefcount : .allowed
    }
}

// MARK: - Counting

extension QCOW2Survey {
    /// A window's clusters with all references to them, and with the stored refcounts where they can be read.
    ///
    /// - Parameters:
    ///   - index: of the window.
    ///   - limit: the first cluster behind the last that matters.
    ///   - withRefcounts: whether the refcount table and its blocks count as references.
    ///   - onActive: takes each entry of the active disk whose cluster is in the window, while it is counted: the L2 table (nil
    ///     for an entry of the L1 table), the index, the entry, the cluster, and the refcount that is stored for it.
    mutating func window(
        _ index: UInt64, limit: UInt64, withRefcounts: Bool,
        onActive: (L2Table?, UInt64, UInt64, UInt64, UInt32) -> Void = { _, _, _, _, _ in }
    ) throws(ImageError) -> QCOW2RefcountWindow {
        let start = index * Self.windowCapacity
        var window = QCOW2RefcountWindow(
            start..<max(start, min(start + Self.windowCapacity, limit)), hasSnapshots: header.snapshotCount > 0)
        try spend(UInt64(window.clusters.count) + UInt64(tables.count + blocks.count + regions.count))
        if hasRefcounts { try readRefcounts(&window) }
        for region in regions where withRefcounts || !region.isRefcounts {
            try spend(UInt64(region.clusters.clamped(to: window.clusters).count))
            window.refer(to: region.clusters, as: .whole)
        }
        if withRefcounts {
            for block in blocks {
                let cluster = block.offset / header.clusterSize
                window.refer(to: cluster..<cluster + 1, as: .whole)
            }
        }
        for table in tables { try count(table, &window, onActive) }
        return window
    }

    private mutating func readRefcounts(_ window: inout QCOW2RefcountWindow) throws(ImageError) {
        let header = header
        for block in blocks {
            let base = block.index * header.refcountsPerBlock
            guard window.clusters.overlaps(base..<base + header.refcountsPerBlock) else { continue }
            let seen = try QCOW2Tables.forEachUsedEntry(
                ofCount: bounds.rules.wordCount, tableAt: block.offset, in: source
            ) { (index, word) throws(ImageError) in
                QCOW2Refcounts(word: word, bits: header.refcountBits).forEachUsed { (place, refcount) in
                    window.store(refcount, of: base + index * (64 / header.refcountBits) + place)
                }
            }
            try spend(seen)
        }
    }

    private mutating func count(
        _ table: L2Table, _ window: inout QCOW2RefcountWindow,
        _ onActive: (L2Table?, UInt64, UInt64, UInt64, UInt32) -> Void
    ) throws(ImageError) {
        let (rules, bounds) = (bounds.rules, bounds)
        let cluster = table.offset / header.clusterSize
        window.refer(to: cluster..<cluster + 1, times: table.references, as: .l2Table)
        if let active = table.active, window.clusters.contains(cluster) {
            onActive(nil, active.l1Index, active.entry(of: table), cluster, window.refcount(of: cluster))
        }
        guard table.touches(window) else { return }
        let seen = try rules.forEachUsedEntry(ofTableAt: table.offset, in: source) {
            (index, entry, bitmap) throws(ImageError) in
            switch rules.use(of: entry, bitmap) {
            case .nothing, .dataFile, .misplaced, .packedElsewhere: break
            case .compressed(let stored):
                window.refer(to: bounds.clusters(of: stored), times: table.references, as: .packedContent)
            case .cluster(let offset, _):
                let cluster = offset / rules.clusterSize
                window.refer(to: cluster..<cluster + 1, times: table.references, as: .plainContent)
                if table.active != nil, window.clusters.contains(cluster) {
                    onActive(table, index, entry, cluster, window.refcount(of: cluster))
                }
            }
        }
        try spend(seen)
    }

    /// Hands out the entries of the active disk whose cluster is in a window, each with that cluster and with whether it has
    /// the flag of a sole reference: first the L1 entries, then those of each table.
    ///
    /// - Parameter body: takes the L2 table (nil for an entry of the L1 table), the entry's index, the entry and its bitmap,
    ///   and the cluster; nil for what has none in this file but says something of the flag.
    mutating func forEachActiveEntry(
        of window: QCOW2RefcountWindow,
        _ body: (L2Table?, UInt64, UInt64, UInt64, UInt64) throws(ImageError) -> Void
    ) throws(ImageError) {
        let (rules, clusterSize) = (bounds.rules, header.clusterSize)
        for table in tables {
            guard let active = table.active else { continue }
            let cluster = table.offset / clusterSize
            if window.clusters.contains(cluster) {
                try body(nil, active.l1Index, active.entry(of: table), 0, cluster)
            }
            guard table.touches(window) else { continue }
            let seen = try rules.forEachUsedEntry(ofTableAt: table.offset, in: source) {
                (index, entry, bitmap) throws(ImageError) in
                guard case .cluster(let offset, _) = rules.use(of: entry, bitmap) else { return }
                guard window.clusters.contains(offset / clusterSize) else { return }
                try body(table, index, entry, bitmap, offset / clusterSize)
            }
            try spend(seen)
        }
    }
}

// MARK: - Findings

extension QCOW2Survey {
    /// Counts all references, window by window, and holds them against the refcounts and the flags of sole references.
    mutating func countReferences(_ report: inout CheckReport) throws(ImageError) {
        let (rules, l1Offset, hasRefcounts) = (bounds.rules, header.l1Offset, hasRefcounts)
        for index in windows.sorted() {
            let window = try window(index, limit: clusterCount, withRefcounts: true) {
                (table, index, entry, cluster, refcount) in
                let isCopied = entry & QCOW2Tables.copiedFlag != 0
                guard hasRefcounts, (refcount == 1) != isCopied else { return }
                let inL1 = l1Offset + index * QCOW2Tables.entryLength
                let place = table.map { $0.offset + index * rules.entryLength } ?? inL1
                let guest =
                    (table?.active?.l1Index ?? index) * rules.coverage
                    + (table == nil ? 0 : index * rules.clusterSize)
                report.add(
                    .corruption,
                    table.map { "L2 entry \(index) of the table at \($0.offset)" } ?? "L1 entry \(index)",
                    is: "\(entry & QCOW2Tables.offsetMask) \(isCopied ? "with" : "without") the flag of a sole "
                        + "reference",
                    expected: "the flag \(isCopied ? "clear" : "set"), since cluster \(cluster) has the refcount "
                        + "\(refcount)",
                    isCopied
                        ? "a program writes in place what others may read"
                        : "a program copies the cluster at the next write, which wastes it",
                    at: FileOffset(place), guest: GuestOffset(guest))
            }
            compare(window, &report)
        }
    }

    private func compare(_ window: QCOW2RefcountWindow, _ report: inout CheckReport) {
        window.forEachFinding { (cluster, references, stored, sharing) in
            let place = FileOffset(cluster * header.clusterSize)
            // Made only for findings that are kept.
            func name() -> String { "cluster \(cluster)\(owner(of: cluster))" }
            if sharing != .allowed {
                report.add(
                    .corruption, name(), is: "referred to \(references) times",
                    expected: sharing == .ofOtherKinds
                        ? "a single reference, or references of one kind, since tables share with nothing else"
                        : hasRefcounts
                            ? "no more than its refcount of \(stored)"
                            : "a single reference, since no refcount says more",
                    "a write to one of them changes the others", at: place)
            } else if hasRefcounts, stored < references {
                report.add(
                    .corruption, "the refcount of \(name())", is: "\(stored)",
                    expected: "\(references), the number of references to it",
                    "a program may give the cluster to somebody else, and what it holds is overwritten", at: place)
            } else if hasRefcounts {
                report.add(
                    .leak, "the refcount of \(name())", is: "\(stored)",
                    expected: "\(references), the number of references to it",
                    references == 0 ? "the cluster is used by nothing" : "the cluster is never given back", at: place)
            }
        }
    }

    /// What of the metadata stands in a cluster, for messages; clusters of bitmaps come last, and there may be millions.
    private func owner(of cluster: UInt64) -> String {
        regions.prefix(64 << 10).first { $0.clusters.contains(cluster) }.map { " (\($0.name))" } ?? ""
    }
}
