import ImageModel

/// Counts all refcounts anew: new blocks and a new table behind the end of the file, and then the header that names them.
///
/// Until the header is written, the image is what it was, and a few clusters longer.
struct QCOW2RefcountRebuild: Sendable {
    private let survey: QCOW2Survey
    private let state: QCOW2RefcountState
    /// Indexes of the blocks, in order; block i stands in cluster `start` + i.
    private let blocks: [UInt64]
    /// The first cluster behind the file.
    private let start: UInt64
    private let tableClusters: UInt64

    /// - Throws: `limit-exceeded` for a file so long that no refcount table covers it.
    init(_ survey: QCOW2Survey, _ state: QCOW2RefcountState) throws(ImageError) {
        self.survey = survey
        self.state = state
        let header = survey.header
        let start = survey.bounds.fileClusters
        var needed = state.usedBlocks
        var tableClusters: UInt64 = 0
        // New blocks may lie in ranges of clusters that need a block for them; each round adds some until none is missing.
        while true {
            let last = needed.max() ?? 0
            tableClusters = ((last + 1) * QCOW2Tables.entryLength).dividedRoundingUp(by: header.clusterSize)
            guard tableClusters * header.clusterSize <= ImageLimits.QCOW2.refcountTableLength else {
                throw ImageError(
                    .limitExceeded,
                    "the file has \(survey.source.length) bytes, and no refcount table of at most "
                        + "\(ImageLimits.QCOW2.refcountTableLength) bytes counts clusters that far; copy the image with "
                        + "'lathe convert'", path: survey.source.name)
            }
            let end = start + UInt64(needed.count) + tableClusters
            let before = needed.count
            needed.formUnion(start / header.refcountsPerBlock...(end - 1) / header.refcountsPerBlock)
            if needed.count == before, (needed.max() ?? 0) == last { break }
        }
        blocks = needed.sorted()
        self.start = start
        self.tableClusters = tableClusters
    }

    private var tableCluster: UInt64 { start + UInt64(blocks.count) }
    /// The first cluster behind all of it.
    private var end: UInt64 { tableCluster + tableClusters }

    func plan() throws(ImageError) -> RepairPlan {
        let clusterSize = survey.header.clusterSize
        var actions = [
            "the refcounts of all clusters are counted anew, into \(blocks.count == 1 ? "a block" : "\(blocks.count) blocks") "
                + "at byte \(start * clusterSize), named by a table at byte \(tableCluster * clusterSize)"
        ]
        let flags = state.wrongFlags + survey.flagFaults
        if flags > 0 { actions.append("flags of sole references are set right") }
        if state.shared > 0 {
            actions.append(
                "what several places of the disk share is counted as often, so that a write to one makes a copy; whether one of "
                    + "them was written over before, nobody can tell")
        }
        if state.isMendable, survey.header.withoutMarks != survey.header {
            actions.append("the marks of a dirty or corrupt image are cleared")
        }
        return RepairPlan(length: end * clusterSize, actions: actions) { (body) throws(ImageError) in
            var survey = survey
            let area = start / QCOW2Survey.windowCapacity...(end - 1) / QCOW2Survey.windowCapacity
            for index in survey.windows.union(area).sorted() {
                var window = try survey.window(index, limit: end, withRefcounts: false)
                window.refer(to: start..<end, as: .whole)
                for (place, block) in blocks.enumerated() { try write(block, place, window, body) }
                try survey.mendFlags(window, where: { _ in true }, body)
            }
            try survey.mendLoneFlags(body)
            try writeTable(body)
            try body(.barrier)
            try body(.write(try switchedHeader()))
        }
    }

    /// Writes the part of a block that counts clusters of this window.
    private func write(
        _ block: UInt64, _ place: Int, _ window: QCOW2RefcountWindow,
        _ body: (RepairStep) throws(ImageError) -> Void
    ) throws(ImageError) {
        let header = survey.header
        let perWord = 64 / header.refcountBits
        let base = block * header.refcountsPerBlock
        let part = window.clusters.clamped(to: base..<base + header.refcountsPerBlock)
        guard !part.isEmpty else { return }
        let first = (part.lowerBound - base) / perWord
        let count = (part.upperBound - base).dividedRoundingUp(by: perWord) - first
        var bytes = [UInt8](repeating: 0, count: Int(count * QCOW2Tables.entryLength))
        var isUsed = false
        for step in 0..<count {
            var word = QCOW2Refcounts(word: 0, bits: header.refcountBits)
            for index in 0..<perWord {
                let cluster = base + (first + step) * perWord + index
                guard cluster < part.upperBound else { break }
                let references = UInt64(window.references(to: cluster))
                if references > 0 {
                    try requireFit(references, cluster)
                    word.set(references, at: index)
                }
            }
            guard word.word != 0 else { continue }
            bytes.storeBigEndian(word.word, at: Int(step * QCOW2Tables.entryLength))
            isUsed = true
        }
        guard isUsed else { return }
        let offset = (start + UInt64(place)) * header.clusterSize + first * QCOW2Tables.entryLength
        try body(.write(MetadataSegment(at: FileOffset(offset), bytes)))
    }

    private func requireFit(_ references: UInt64, _ cluster: UInt64) throws(ImageError) {
        let bits = survey.header.refcountBits
        guard references <= QCOW2Refcounts.maximum(bits: bits) else {
            throw ImageError(
                .unsupported,
                "cluster \(cluster) has \(references) references, but refcounts of \(bits) bits end at "
                    + "\(QCOW2Refcounts.maximum(bits: bits)); make the image anew with 'lathe convert'",
                path: survey.source.name, offset: FileOffset(cluster * survey.header.clusterSize))
        }
    }

    private func writeTable(_ body: (RepairStep) throws(ImageError) -> Void) throws(ImageError) {
        let clusterSize = survey.header.clusterSize
        var writes = QCOW2EntryWrites()
        for (place, block) in blocks.enumerated() {
            let entry = (start + UInt64(place)) * clusterSize
            try writes.add([entry], at: tableCluster * clusterSize + block * QCOW2Tables.entryLength, body)
        }
        try writes.finish(body)
    }

    /// The fields from the refcount table's place to the incompatible features: all within one sector, so written at once.
    private func switchedHeader() throws(ImageError) -> MetadataSegment {
        let header = survey.header
        var bytes = try survey.source.read(FileRange(48, length: header.version >= 3 ? 32 : 12))
        bytes.storeBigEndian(tableCluster * header.clusterSize, at: 0)
        bytes.storeBigEndian(UInt32(truncatingIfNeeded: tableClusters), at: 8)
        if header.version >= 3, state.isMendable {
            bytes.storeBigEndian(header.withoutMarks.incompatibleFeatures.rawValue, at: 24)
        }
        return MetadataSegment(at: FileOffset(48), bytes)
    }
}
