import ImageModel

/// Everything in a qcow2 file that refers to clusters, found by one walk over all tables.
///
/// It holds a record for each L2 table and each refcount block, none for each cluster.
struct QCOW2Survey {
    /// Clusters that one thing in the file owns whole.
    struct Region {
        var clusters: Range<UInt64>
        /// What stands there, for messages.
        var name: String
    }

    /// A refcount block that is within the file.
    struct RefcountBlock {
        /// Its index in the refcount table.
        var index: UInt64
        var offset: UInt64
    }

    /// An L2 table that is within the file.
    struct L2Table {
        var offset: UInt64
        /// How many L1 entries point at it, those of snapshots included.
        var references: UInt32 = 0
        /// The first entry of the active L1 table that points at it.
        var active: (l1Index: UInt64, isCopied: Bool)?
        /// The clusters that its entries touch are within these.
        var touched: Range<UInt64> = .max..<(.max)
    }

    /// Clusters of one window of the counting walk.
    static let windowCapacity: UInt64 = 4 << 20
    /// L2 tables, windows and regions that are remembered at most, of each.
    private static let maximumRecords = 4 << 20
    /// Table entries that are looked at before the check gives up: no image of a real disk comes near it, but tables that
    /// are shared a million times over could keep a checker busy for years.
    private static let maximumWork: UInt64 = 1 << 34

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
    private var tablesByOffset: [UInt64: L2Table] = [:]
    private var lastWindow = UInt64.max
    private var work: UInt64 = 0

    init(header: QCOW2Header, source: any ImageSource) {
        self.header = header
        self.source = source
        bounds = QCOW2FileBounds(header: header, length: source.length)
    }

    /// Whether the stored refcounts can be held against the references.
    var hasRefcounts: Bool { !header.incompatibleFeatures.contains(.dirty) && header.refcountTableClusters > 0 }

    mutating func run(_ report: inout CheckReport) throws(ImageError) {
        own(FileRange(0, length: min(header.clusterSize, source.length)), "the header", &report, from: 0)
        if own(header.l1Range, "the L1 table", &report, from: 40) {
            try surveyL1(at: header.l1Offset, count: header.l1EntryCount, isActive: true, &report)
        }
        if own(header.refcountTableRange, "the refcount table", &report, from: 48) { try surveyRefcounts(&report) }
        if let place = header.encryptionHeader, place.length >= 16 {
            let bytes = try source.read(FileRange(start: place.start, length: 16))
            let range = FileRange(bytes.bigEndian(UInt64.self, at: 0), length: bytes.bigEndian(UInt64.self, at: 8))
            own(range, "the encryption header", &report, from: place.start.bytes)
        }
        try surveySnapshots(&report)
        try surveyBitmaps(&report)
        tables = tablesByOffset.values.sorted {
            ($0.active?.l1Index ?? .max, $0.offset) < ($1.active?.l1Index ?? .max, $1.offset)
        }
        tablesByOffset = [:]
        for index in tables.indices { try surveyL2(index, &report) }
        report.imageEnd = FileOffset(clusterCount * header.clusterSize)
    }

    // MARK: - Marks

    /// Counts work against the bound.
    mutating func spend(_ amount: UInt64) throws(ImageError) {
        work += amount
        guard work <= Self.maximumWork, windows.count <= Self.maximumRecords,
            tablesByOffset.count <= Self.maximumRecords
        else {
            throw ImageError(
                .limitExceeded,
                "the tables of this image refer to more than a disk can have, or to the same clusters over and over; the "
                    + "check was given up", path: source.name)
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

    /// Takes a region in, where it is within the file and at a cluster; all else is a corruption.
    @discardableResult
    mutating func own(_ range: FileRange, _ name: String, _ report: inout CheckReport, from place: UInt64) -> Bool {
        guard bounds.isHeld(range), range.start.bytes % header.clusterSize == 0 else {
            report.add(
                .corruption,
                "\(name) is said to have \(range.length) bytes at \(range.start.bytes), which is not at a "
                    + "cluster within the file's \(source.length) bytes", at: FileOffset(place))
            return false
        }
        let clusters = bounds.clusters(of: range)
        guard let last = clusters.last else { return true }
        regions.append(Region(clusters: clusters, name: name))
        note(clusters.lowerBound)
        note(last)
        return true
    }
}

// MARK: - Tables

extension QCOW2Survey {
    mutating func surveyL1(at offset: UInt64, count: UInt64, isActive: Bool, _ report: inout CheckReport)
        throws(ImageError)
    {
        let seen = try QCOW2Tables.forEachUsedEntry(ofCount: count, tableAt: offset, in: source) {
            (index, entry) throws(ImageError) in
            let place = FileOffset(offset + index * QCOW2Tables.entryLength)
            let guest = isActive ? GuestOffset(index * header.l2Coverage) : nil
            switch QCOW2L1Entry(entry, header) {
            case .unallocated:
                report.add(
                    .corruption,
                    "L1 entry \(index) has the flag of a sole reference, but no L2 table: QEMU takes the header for it",
                    at: place, guest: guest)
            case .invalid(let reason):
                report.add(.corruption, "L1 entry \(index) \(reason)", at: place, guest: guest)
            case .table(let l2Offset):
                guard bounds.isHeld(FileRange(l2Offset, length: header.clusterSize)) else {
                    report.add(
                        .corruption,
                        "L1 entry \(index) points at an L2 table at \(l2Offset), past the file's end at "
                            + "\(source.length)", at: place, guest: guest)
                    return
                }
                var table = tablesByOffset[l2Offset] ?? L2Table(offset: l2Offset)
                table.references = min(table.references, .max - 1) + 1
                if isActive {
                    if let first = table.active {
                        report.add(
                            .corruption,
                            "L1 entry \(index) points at the L2 table at \(l2Offset), which entry "
                                + "\(first.l1Index) has already", at: place, guest: guest)
                    } else {
                        table.active = (index, entry & QCOW2Tables.copiedFlag != 0)
                    }
                }
                tablesByOffset[l2Offset] = table
                note(l2Offset / header.clusterSize)
                try spend(1)
            }
        }
        try spend(seen)
    }

    /// Checks the entries of an L2 table and finds which clusters they touch.
    private mutating func surveyL2(_ tableIndex: Int, _ report: inout CheckReport) throws(ImageError) {
        let table = tables[tableIndex]
        let (header, bounds) = (header, bounds)
        var lowest = UInt64.max
        var end: UInt64 = 0
        var expected: UInt64?
        let seen = try QCOW2Tables.forEachUsedEntry(
            ofCount: header.l2EntryCount, tableAt: table.offset, in: source
        ) { (index, entry) throws(ImageError) in
            let place = FileOffset(table.offset + index * QCOW2Tables.entryLength)
            let guest = table.active.map { GuestOffset($0.l1Index * header.l2Coverage + index * header.clusterSize) }
            guard let touched = bounds.clusters(ofL2Entry: entry, index, at: place, guest: guest, &report) else {
                return
            }
            lowest = min(lowest, touched.lowerBound)
            end = max(end, touched.upperBound)
            note(touched.lowerBound)
            note(touched.upperBound - 1)
            if let guest, guest.bytes < header.virtualSize {
                report.allocatedUnits += 1
                if entry & QCOW2Tables.compressedFlag != 0 {
                    // As QEMU counts: a compressed cluster is never where a plain one would be.
                    report.compressedUnits += 1
                    report.fragmentedUnits += 1
                } else {
                    if let expected, expected != touched.lowerBound { report.fragmentedUnits += 1 }
                    expected = touched.upperBound
                }
            }
        }
        tables[tableIndex].touched = min(lowest, end)..<end
        try spend(seen + 1)
    }

    // MARK: - Refcounts

    private mutating func surveyRefcounts(_ report: inout CheckReport) throws(ImageError) {
        let (header, fileClusters) = (header, bounds.fileClusters)
        let offset = header.refcountTableOffset
        let count = header.refcountTableRange.length / QCOW2Tables.entryLength
        let seen = try QCOW2Tables.forEachUsedEntry(ofCount: count, tableAt: offset, in: source) {
            (index, entry) throws(ImageError) in
            guard entry & QCOW2Tables.reservedRefcountTableBits == 0, entry % header.clusterSize == 0,
                bounds.isHeld(FileRange(entry, length: header.clusterSize))
            else {
                report.add(
                    .corruption,
                    "refcount table entry \(index) is \(hex(entry)), which is not a cluster of "
                        + "\(header.clusterSize) bytes within the file's \(source.length)",
                    at: FileOffset(offset + index * QCOW2Tables.entryLength))
                return
            }
            blocks.append(RefcountBlock(index: index, offset: entry))
            note(entry / header.clusterSize)
        }
        try spend(seen)
        guard hasRefcounts else { return }
        var strays: UInt64 = 0
        for block in blocks {
            let base = block.index * header.refcountsPerBlock
            let seen = try QCOW2Tables.forEachUsedEntry(
                ofCount: header.l2EntryCount, tableAt: block.offset, in: source
            ) { (index, word) throws(ImageError) in
                QCOW2Refcounts(word: word, bits: header.refcountBits).forEachUsed { (place, _) in
                    let cluster = base + index * (64 / header.refcountBits) + place
                    if cluster < fileClusters { note(cluster) } else { strays += 1 }
                }
            }
            try spend(seen + 1)
        }
        if strays > 0 {
            report.add(
                .warning,
                "\(strays) clusters behind the file's end at \(source.length) have refcounts, though nothing "
                    + "is there", at: FileOffset(offset))
        }
    }
}
