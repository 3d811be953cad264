public import ImageModel

/// Makes the refcounts of a qcow2 image right, with the flags of sole references that go with them.
///
/// Where refcounts are only too high, they are lowered where they stand. All else has them counted anew: blocks and table go
/// behind the end of the file, and the header names them when they are on the disk; the old ones are free from then on.
public enum QCOW2Repairer: ImageRepairer {
    public static func plan(_ source: any ImageSource, _ report: CheckReport, scope: RepairScope) throws(ImageError)
        -> RepairPlan?
    {
        guard report.incomplete == nil else { return nil }
        var found = CheckReport()
        let header = try QCOW2Checker.header(of: source, &found)
        let isMarked = !header.incompatibleFeatures.isDisjoint(with: [.dirty, .corrupt])
        guard !report.isSound || scope == .all && isMarked else { return nil }
        let headerFaults = found.corruptions
        var survey = QCOW2Survey(header: header, source: source)
        try survey.run(&found)
        if let place = survey.firstUnknown {
            throw ImageError(
                .corrupt,
                "what stands at byte \(place.bytes) should refer to clusters, and can't be right: whatever it meant would be "
                    + "given away as free, so the refcounts are not touched", path: source.name, offset: place)
        }
        QCOW2Checker.checkFeatures(header.withoutMarks, &found)
        let state = try QCOW2RefcountState(
            &survey, others: found.corruptions - headerFaults - survey.refcountFaults - survey.flagFaults)
        guard scope == .all else {
            return state.tooHigh > 0 ? try QCOW2RefcountPatch(survey, state).plan(clearingMarks: false) : nil
        }
        if headerFaults + survey.refcountFaults > 0 || state.needsRebuild || !survey.hasRefcounts {
            return try QCOW2RefcountRebuild(survey, state).plan()
        }
        let isNeeded =
            state.tooHigh > 0 || state.wrongFlags > 0 || survey.flagFaults > 0 || isMarked && state.isMendable
        return isNeeded ? try QCOW2RefcountPatch(survey, state).plan(clearingMarks: state.isMendable) : nil
    }
}

extension QCOW2Header {
    /// The header of an image that is neither dirty nor corrupt.
    var withoutMarks: Self {
        var header = self
        header.incompatibleFeatures.subtract([.dirty, .corrupt])
        return header
    }
}

/// What is wrong with the refcounts of an image, and which of its refcount blocks count anything.
struct QCOW2RefcountState: Sendable {
    /// Clusters whose refcount is too high.
    private(set) var tooHigh = 0
    /// Clusters whose refcount is too low.
    private(set) var tooLow = 0
    /// Entries whose flag of a sole reference does not follow from the references.
    private(set) var wrongFlags = 0
    /// Clusters that are shared and must not be: no refcount makes that right.
    private(set) var shared = 0
    /// Whether the refcount table or a block stands where something else does.
    private(set) var structureIsShared = false
    /// Indexes of refcount blocks with a cluster in use, the old refcount table and blocks not counted.
    private(set) var usedBlocks: Set<UInt64> = []
    /// Corruptions that no refcount has to do with.
    let others: Int

    var needsRebuild: Bool { tooLow > 0 || structureIsShared }
    /// Whether nothing is left that is wrong when refcounts and flags are right.
    var isMendable: Bool { shared == 0 && others == 0 }

    /// Counts all references.
    ///
    /// - Throws: `corrupt` where tables share clusters with anything else: a flag written to one would change the other;
    ///   `limit-exceeded` where no refcount table is long enough.
    init(_ survey: inout QCOW2Survey, others: Int) throws(ImageError) {
        self.others = others
        let clusterSize = survey.header.clusterSize
        var structure: [UInt64: UInt32] = [:]
        for block in survey.blocks { structure[block.offset / clusterSize, default: 0] += 1 }
        for region in survey.regions where region.isRefcounts {
            for cluster in region.clusters { structure[cluster, default: 0] += 1 }
        }
        structureIsShared = structure.values.contains { $0 > 1 }
        for index in survey.windows.sorted() {
            let window = try survey.window(index, limit: survey.clusterCount, withRefcounts: false)
            try Self.requireTablesApart(in: window, survey)
            count(window, structure, survey)
            guard UInt64(usedBlocks.count) <= ImageLimits.QCOW2.refcountTableLength / QCOW2Tables.entryLength else {
                throw ImageError(
                    .limitExceeded,
                    "the clusters in use take more refcount blocks than a refcount table of at most "
                        + "\(ImageLimits.QCOW2.refcountTableLength) bytes has; copy the image with 'lathe convert'",
                    path: survey.source.name)
            }
            window.forEachFinding { (_, _, _, sharing) in
                if sharing != .allowed { shared += 1 }
            }
            try survey.forEachActiveEntry(of: window) { (_, _, entry, _, cluster) in
                if (entry & QCOW2Tables.copiedFlag != 0) != (window.references(to: cluster) == 1) { wrongFlags += 1 }
            }
        }
    }

    private mutating func count(
        _ window: QCOW2RefcountWindow, _ structure: [UInt64: UInt32], _ survey: QCOW2Survey
    ) {
        let perBlock = survey.header.refcountsPerBlock
        var block = UInt64.max
        window.forEachUsed { (cluster, references, stored) in
            let own = structure[cluster] ?? 0
            if references > 0 {
                if own > 0 { structureIsShared = true }
                if cluster / perBlock != block {
                    block = cluster / perBlock
                    usedBlocks.insert(block)
                }
            }
            guard survey.hasRefcounts else { return }
            let all = references + own
            if stored > all { tooHigh += 1 }
            if stored < all { tooLow += 1 }
        }
    }

    private static func requireTablesApart(in window: QCOW2RefcountWindow, _ survey: QCOW2Survey) throws(ImageError) {
        func requireSole(_ cluster: UInt64, _ references: UInt32, _ name: String) throws(ImageError) {
            guard window.clusters.contains(cluster), window.references(to: cluster) != references else { return }
            let offset = cluster * survey.header.clusterSize
            throw ImageError(
                .corrupt,
                "\(name) is in cluster \(cluster) at byte \(offset), which \(window.references(to: cluster)) things refer to, "
                    + "expected \(references): nothing is written to an image where one write would change two things",
                path: survey.source.name, offset: FileOffset(offset))
        }
        for region in survey.regions where !region.isRefcounts {
            for cluster in region.clusters.clamped(to: window.clusters) { try requireSole(cluster, 1, region.name) }
        }
        for table in survey.tables {
            try requireSole(table.offset / survey.header.clusterSize, table.references, "the L2 table")
        }
    }
}

// MARK: - Flags

/// Gathers entries that change and stand one behind the other, so that they are one write.
struct QCOW2EntryWrites {
    /// In bytes; a longer run is two.
    private static let longestRun = 64 << 10

    private var start: UInt64 = 0
    private var bytes: [UInt8] = []

    /// - Parameter words: an entry, and its bitmap where it has one.
    mutating func add(
        _ words: [UInt64], at place: UInt64, _ body: (RepairStep) throws(ImageError) -> Void
    ) throws(ImageError) {
        if place != start + UInt64(bytes.count) || bytes.count >= Self.longestRun { try finish(body) }
        if bytes.isEmpty { start = place }
        for word in words {
            bytes += [UInt8](repeating: 0, count: 8)
            bytes.storeBigEndian(word, at: bytes.count - 8)
        }
    }

    mutating func finish(_ body: (RepairStep) throws(ImageError) -> Void) throws(ImageError) {
        if !bytes.isEmpty { try body(.write(MetadataSegment(at: FileOffset(start), bytes))) }
        bytes = []
    }
}

extension QCOW2Survey {
    /// Writes the entries of the active disk whose flag of a sole reference is not what the references in a window make it.
    ///
    /// - Parameter isSettled: whether the refcount of a cluster is, or will be, the number of its references.
    mutating func mendFlags(
        _ window: QCOW2RefcountWindow, where isSettled: (UInt64) -> Bool,
        _ body: (RepairStep) throws(ImageError) -> Void
    ) throws(ImageError) {
        let (rules, l1Offset) = (bounds.rules, header.l1Offset)
        var writes = QCOW2EntryWrites()
        try forEachActiveEntry(of: window) { (table, index, entry, bitmap, cluster) throws(ImageError) in
            let isSole = window.references(to: cluster) == 1
            guard (entry & QCOW2Tables.copiedFlag != 0) != isSole, isSettled(cluster) else { return }
            let mended = entry ^ QCOW2Tables.copiedFlag
            if let table {
                let words = rules.isExtended ? [mended, bitmap] : [mended]
                try writes.add(words, at: table.offset + index * rules.entryLength, body)
            } else {
                try writes.add([mended], at: l1Offset + index * QCOW2Tables.entryLength, body)
            }
        }
        try writes.finish(body)
    }

    /// Writes the entries whose flag no refcount decides: clear where there is no cluster or a compressed one, set in a data
    /// file.
    func mendLoneFlags(_ body: (RepairStep) throws(ImageError) -> Void) throws(ImageError) {
        let (rules, flag) = (bounds.rules, QCOW2Tables.copiedFlag)
        var writes = QCOW2EntryWrites()
        for l1 in l1Tables {
            let count = l1.length / QCOW2Tables.entryLength
            try QCOW2Tables.forEachUsedEntry(ofCount: count, tableAt: l1.start.bytes, in: source) {
                (index, entry) throws(ImageError) in
                guard entry == flag else { return }
                try writes.add([0], at: l1.start.bytes + index * QCOW2Tables.entryLength, body)
            }
        }
        for table in tables {
            try rules.forEachUsedEntry(ofTableAt: table.offset, in: source) {
                (index, entry, bitmap) throws(ImageError) in
                let isSet = entry & flag != 0
                switch rules.use(of: entry, bitmap) {
                case .nothing where isSet, .compressed where isSet, .dataFile where !isSet && table.active != nil:
                    let words = rules.isExtended ? [entry ^ flag, bitmap] : [entry ^ flag]
                    try writes.add(words, at: table.offset + index * rules.entryLength, body)
                default: break
                }
            }
        }
        try writes.finish(body)
    }
}
