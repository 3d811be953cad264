import ImageModel

/// Everything in a qcow2 file that refers to clusters, found by one walk over all tables.
///
/// It holds a record for each L2 table and each refcount block, none for each cluster.
struct QCOW2Survey: Sendable {
    /// Clusters that one thing in the file owns whole.
    struct Region: Sendable {
        var clusters: Range<UInt64>
        /// What stands there, for messages.
        var name: String
        /// Whether it is the refcount table, which a repair leaves behind.
        var isRefcounts = false
    }

    /// A refcount block that is within the file.
    struct RefcountBlock: Sendable {
        /// Its index in the refcount table.
        var index: UInt64
        var offset: UInt64
    }

    /// Clusters of one window of the counting walk.
    static let windowCapacity: UInt64 = 4 << 20

    let header: QCOW2Header
    let source: any ImageSource
    // Walks take copies of header and bounds: a closure that changes the survey and reads it too would copy it all.
    let bounds: QCOW2FileBounds
    private(set) var regions: [Region] = []
    private(set) var blocks: [RefcountBlock] = []
    /// In the order of the disk; tables of snapshots alone come last, in the order of the file.
    private(set) var tables: [L2Table] = []
    /// Windows with a reference or a refcount in them.
    private(set) var windows: Set<UInt64> = []
    /// The first cluster behind all that have a reference or a refcount.
    private(set) var clusterCount: UInt64 = 1
    /// All L1 tables, the active one first, those of snapshots behind it.
    private(set) var l1Tables: [FileRange] = []
    /// Where something refers to clusters that can't be known, if anything does.
    private(set) var firstUnknown: FileOffset?
    /// Corruptions of the refcount table, which say nothing of content.
    private(set) var refcountFaults = 0
    /// Corruptions of flags of sole references that no refcount decides.
    private(set) var flagFaults = 0
    private var refcountTableIsLost = false
    /// Whether it was said that the file ends inside a cluster of content.
    private var isCut = false
    /// L1 tables and tables of bitmaps, by their place and apart from each other.
    private var walkedTables: [FileRange] = []
    private var found = QCOW2TableList()
    private var lastWindow = UInt64.max
    private var work: UInt64 = 0

    init(header: QCOW2Header, source: any ImageSource) {
        self.header = header
        self.source = source
        bounds = QCOW2FileBounds(header: header, length: source.length)
    }

    /// Whether the stored refcounts can be held against the references.
    ///
    /// Those of a dirty image too: what is stale in them is told as what it is (QEMU `docs/interop/qcow2.rst`, incompatible bit 0).
    var hasRefcounts: Bool { header.refcountTableClusters > 0 && !refcountTableIsLost }

    mutating func run(_ report: inout CheckReport) throws(ImageError) {
        own(FileRange(0, length: min(header.clusterSize, source.length)), "the header", &report, from: 0)
        if ownTable(header.l1Range, "the L1 table", &report, from: 40) {
            try surveyL1(at: header.l1Offset, count: header.l1EntryCount, snapshot: nil, &report)
        }
        if own(header.refcountTableRange, "the refcount table", &report, from: 48) {
            try surveyRefcounts(&report)
        } else {
            refcountTableIsLost = true
        }
        if let place = header.encryptionHeader, place.length >= 16 {
            let bytes = try source.read(FileRange(start: place.start, length: 16))
            let range = FileRange(bytes.bigEndian(UInt64.self, at: 0), length: bytes.bigEndian(UInt64.self, at: 8))
            own(range, "the encryption header", &report, from: place.start.bytes)
        }
        try surveySnapshots(&report)
        try surveyBitmaps(&report)
        found.merge()
        try spend(0)
        tables = found.takeOnDiskOrder()
        for index in tables.indices { try surveyL2(index, &report) }
        report.imageEnd = FileOffset(clusterCount * header.clusterSize)
    }

    /// The file ends inside a cluster that the guest reads: allowed, and what a file looks like that lost its end.
    private func reportEnd(
        of cluster: UInt64, _ missing: UInt64, at place: UInt64, _ guest: GuestOffset?, _ report: inout CheckReport
    ) {
        report.add(
            .warning, "the end of the file", is: "\(source.length), inside cluster \(cluster)",
            expected: "the cluster's end at \((cluster + 1) * header.clusterSize), if the file is whole",
            "the \(missing) bytes that are missing read as zeros, as QEMU leaves them out; if the file was cut short, they are "
                + "lost", at: FileOffset(place), guest: guest)
    }

    // MARK: - Marks

    /// Counts work against the bound.
    mutating func spend(_ amount: UInt64) throws(ImageError) {
        work += amount
        let records = ImageLimits.QCOW2.recordCount
        // Each window counts with all its clusters, so more of them could not be counted.
        let mostWindows = ImageLimits.QCOW2.checkedEntries / Self.windowCapacity
        guard work <= ImageLimits.QCOW2.checkedEntries, windows.count <= mostWindows, regions.count <= records,
            found.tables.count <= records * 5 / 4
        else {
            throw ImageError(
                .limitExceeded,
                "the tables of this image refer to more than a disk can have, or to the same clusters over and over; the "
                    + "check was given up after \(ImageLimits.QCOW2.checkedEntries) entries", path: source.name)
        }
    }

    /// Records that a cluster has a reference or a refcount.
    private mutating func note(_ cluster: UInt64) {
        clusterCount = max(clusterCount, cluster + 1)
        let window = cluster / Self.windowCapacity
        guard window != lastWindow else { return }
        windows.insert(window)
        lastWindow = window
    }

    /// A corruption by which some references are not known.
    mutating func reject(
        _ subject: @autoclosure () -> String, _ fault: QCOW2EntryFault, at place: UInt64, guest: GuestOffset? = nil,
        _ report: inout CheckReport
    ) {
        if firstUnknown == nil { firstUnknown = FileOffset(place) }
        report.add(
            .corruption, subject(), is: fault.found, expected: fault.expected, fault.consequence, at: FileOffset(place),
            guest: guest)
    }

    /// Takes a table in that nothing else may be in, before it is walked: the same table named over and over would be walked each
    /// time.
    ///
    /// - Returns: false, with a corruption, where it shares bytes with another one.
    mutating func ownTable(_ range: FileRange, _ name: String, _ report: inout CheckReport, from place: UInt64) -> Bool
    {
        guard !range.isEmpty, bounds.isHeld(range) else { return own(range, name, &report, from: place) }
        // They are apart from each other, so those that end behind the start of this one begin with the first that may share.
        var (low, high) = (0, walkedTables.count)
        while low < high {
            let middle = (low + high) / 2
            if walkedTables[middle].end > range.start { high = middle } else { low = middle + 1 }
        }
        if low < walkedTables.count, walkedTables[low].start < range.end {
            let other = walkedTables[low]
            let fault = QCOW2EntryFault(
                found: "\(range.start.bytes), of \(range.length) bytes",
                expected: "one apart from the \(other.length) bytes of the table at \(other.start.bytes)",
                consequence: "what is written to one changes the other")
            reject("the place of \(name)", fault, at: place, &report)
            return false
        }
        guard own(range, name, &report, from: place) else { return false }
        walkedTables.insert(range, at: low)
        return true
    }

    /// Takes a region in, where it is within the file and at a cluster; all else is a corruption.
    @discardableResult
    mutating func own(_ range: FileRange, _ name: String, _ report: inout CheckReport, from place: UInt64) -> Bool {
        let isRefcounts = place == 48
        guard bounds.isHeld(range), range.start.bytes % header.clusterSize == 0,
            range.length <= ImageLimits.QCOW2.regionLength
        else {
            let fault = QCOW2EntryFault(
                found: "\(range.start.bytes), of \(range.length) bytes",
                expected:
                    "a multiple of the cluster size \(header.clusterSize), and at most \(ImageLimits.QCOW2.regionLength) bytes, all "
                    + "before the file's end at \(source.length)",
                consequence: isRefcounts
                    ? "nobody knows which clusters are free; 'lathe check --repair all' counts them anew"
                    : "what stands there, and what it refers to, can't be read")
            let known = firstUnknown
            reject("the place of \(name)", fault, at: place, &report)
            if isRefcounts {
                firstUnknown = known
                refcountFaults += 1
            }
            return false
        }
        let clusters = bounds.clusters(of: range)
        guard let last = clusters.last else { return true }
        regions.append(Region(clusters: clusters, name: name, isRefcounts: isRefcounts))
        note(clusters.lowerBound)
        note(last)
        return true
    }
}

// MARK: - Tables

extension QCOW2Survey {
    /// - Parameter snapshot: whose table it is; nil for the active one.
    mutating func surveyL1(at offset: UInt64, count: UInt64, snapshot: UInt64?, _ report: inout CheckReport)
        throws(ImageError)
    {
        let (rules, clusterSize) = (bounds.rules, header.clusterSize)
        let owner = snapshot.map { " of snapshot \($0)" } ?? ""
        l1Tables.append(FileRange(offset, length: count * QCOW2Tables.entryLength))
        let seen = try QCOW2Tables.forEachUsedEntry(ofCount: count, tableAt: offset, in: source) {
            (index, entry) throws(ImageError) in
            let place = offset + index * QCOW2Tables.entryLength
            let guest = snapshot == nil ? GuestOffset(index * rules.coverage) : nil
            let l2Offset = entry & QCOW2Tables.offsetMask
            let reserved = entry & QCOW2Tables.reservedL1Bits
            if reserved != 0 {
                reject(
                    "L1 entry \(index)\(owner)", .reservedBits(reserved, of: entry), at: place, guest: guest, &report)
            }
            let fault: QCOW2EntryFault
            if l2Offset % clusterSize != 0 {
                fault = .misplaced(l2Offset, clusterSize: clusterSize)
            } else if l2Offset == 0, reserved != 0 {
                return
            } else if l2Offset == 0 {
                flagFaults += 1
                report.add(
                    .corruption, "L1 entry \(index)\(owner)", is: "the flag of a sole reference alone",
                    expected: "0, or the place of an L2 table", "QEMU takes the header for the table",
                    at: FileOffset(place), guest: guest)
                return
            } else if !bounds.isHeld(FileRange(l2Offset, length: clusterSize)) {
                fault = QCOW2EntryFault(
                    found: "the place of an L2 table at \(l2Offset)",
                    expected: "one whose \(clusterSize) bytes end before the file does, at \(source.length)",
                    consequence: "\(rules.coverage) bytes of the disk can't be found any more")
            } else {
                try take(l2Offset, entry, index, snapshot: snapshot, &report)
                return
            }
            reject("L1 entry \(index)\(owner)", fault, at: place, guest: guest, &report)
        }
        try spend(seen)
    }

    /// Takes a reference to an L2 table in.
    private mutating func take(
        _ l2Offset: UInt64, _ entry: UInt64, _ index: UInt64, snapshot: UInt64?, _ report: inout CheckReport
    ) throws(ImageError) {
        let active = snapshot == nil ? ActiveEntry(l1Index: index, isCopied: entry & QCOW2Tables.copiedFlag != 0) : nil
        found.add(L2Table(offset: l2Offset, active: active))
        note(l2Offset / header.clusterSize)
        try spend(1)
    }

    /// Checks the entries of an L2 table and finds which clusters they touch.
    private mutating func surveyL2(_ tableIndex: Int, _ report: inout CheckReport) throws(ImageError) {
        let table = tables[tableIndex]
        let (header, bounds, rules) = (header, bounds, bounds.rules)
        var lowest = UInt64.max
        var end: UInt64 = 0
        var expected: UInt64?
        let seen = try rules.forEachUsedEntry(ofTableAt: table.offset, in: source) {
            (index, entry, bitmap) throws(ImageError) in
            let place = table.offset + index * rules.entryLength
            let guest = table.active.map { GuestOffset($0.l1Index * rules.coverage + index * header.clusterSize) }
            let use = rules.use(of: entry, bitmap)
            if let fault = rules.fault(of: entry, bitmap) {
                reject(
                    "L2 entry \(index) of the table at \(table.offset)", fault, at: place, guest: guest, &report)
            }
            if bounds.reportFlag(
                of: entry, "L2 entry \(index) of the table at \(table.offset)", use: use, at: FileOffset(place),
                guest: guest, &report)
            {
                flagFaults += 1
            }
            switch bounds.touched(by: use, guest: guest) {
            case .nothing: break
            case .fault(let fault):
                reject(
                    "L2 entry \(index) of the table at \(table.offset)", fault, at: place, guest: guest, &report)
                return
            case .clusters(let touched):
                lowest = min(lowest, touched.lowerBound)
                end = max(end, touched.upperBound)
                note(touched.lowerBound)
                note(touched.upperBound - 1)
                if !isCut, let missing = bounds.missing(of: use, guest: guest) {
                    isCut = true
                    reportEnd(of: touched.lowerBound, missing, at: place, guest, &report)
                }
            }
            guard let guest, guest.bytes < header.virtualSize else { return }
            switch use {
            case .nothing, .misplaced, .packedElsewhere: break
            case .compressed:
                // As QEMU counts: a compressed cluster is never where a plain one would be.
                report.allocatedUnits += 1
                report.compressedUnits += 1
                report.fragmentedUnits += 1
            case .cluster(let offset, _), .dataFile(let offset):
                report.allocatedUnits += 1
                if let expected, expected != offset { report.fragmentedUnits += 1 }
                expected = offset + header.clusterSize
            }
        }
        tables[tableIndex].touch(min(lowest, end)..<end)
        try spend(seen + 1)
    }

    // MARK: - Refcounts

    private mutating func surveyRefcounts(_ report: inout CheckReport) throws(ImageError) {
        let header = header
        let offset = header.refcountTableOffset
        let count = header.refcountTableRange.length / QCOW2Tables.entryLength
        let seen = try QCOW2Tables.forEachUsedEntry(ofCount: count, tableAt: offset, in: source) {
            (index, entry) throws(ImageError) in
            guard entry & QCOW2Tables.reservedRefcountTableBits == 0, entry % header.clusterSize == 0,
                bounds.isHeld(FileRange(entry, length: header.clusterSize))
            else {
                let first = index.multipliedReportingOverflow(by: header.refcountsPerBlock).partialValue
                refcountFaults += 1
                report.add(
                    .corruption, "refcount table entry \(index)", is: hex(entry),
                    expected: "a multiple of the cluster size \(header.clusterSize), for a block that ends before the "
                        + "file does, at \(source.length)",
                    "the refcounts of \(header.refcountsPerBlock) clusters from \(first) on are lost; "
                        + "'lathe check --repair all' counts them anew",
                    at: FileOffset(offset + index * QCOW2Tables.entryLength))
                return
            }
            blocks.append(RefcountBlock(index: index, offset: entry))
            note(entry / header.clusterSize)
        }
        try spend(seen)
        guard hasRefcounts else { return }
        try surveyBlocks(&report)
    }

    private mutating func surveyBlocks(_ report: inout CheckReport) throws(ImageError) {
        let (header, fileClusters) = (header, bounds.fileClusters)
        var strays: UInt64 = 0
        for block in blocks {
            let base = block.index * header.refcountsPerBlock
            let seen = try QCOW2Tables.forEachUsedEntry(
                ofCount: bounds.rules.wordCount, tableAt: block.offset, in: source
            ) { (index, word) throws(ImageError) in
                QCOW2Refcounts(word: word, bits: header.refcountBits).forEachUsed { (place, _) in
                    let cluster = base + index * (64 / header.refcountBits) + place
                    if cluster < fileClusters { note(cluster) } else { strays += 1 }
                }
            }
            try spend(seen + 1)
        }
        guard strays > 0 else { return }
        report.add(
            .warning, "the refcount table", is: "one with refcounts for \(strays) clusters behind the file's end",
            expected: "none behind \(source.length)", "they count nothing, since nothing is there",
            at: FileOffset(header.refcountTableOffset))
    }
}
