import ImageModel

/// Lowers refcounts that are too high, in the blocks where they stand.
///
/// Each write by itself is right: a refcount that is too high only keeps a cluster from being used.
struct QCOW2RefcountPatch: Sendable {
    private let survey: QCOW2Survey
    private let state: QCOW2RefcountState

    /// - Throws: `corrupt` where a block stands on top of something else, so that it must not be written to.
    init(_ survey: QCOW2Survey, _ state: QCOW2RefcountState) throws(ImageError) {
        guard !state.structureIsShared else {
            throw ImageError(
                .corrupt,
                "the refcount table or one of its blocks stands where something else does, so no refcount can be lowered in "
                    + "place; 'lathe check --repair all' counts them anew", path: survey.source.name)
        }
        self.survey = survey
        self.state = state
    }

    /// - Parameter clearingMarks: whether nothing is wrong afterwards, so that the image need not be marked as dirty or corrupt.
    func plan(clearingMarks: Bool) throws(ImageError) -> RepairPlan {
        var actions: [String] = []
        if state.tooHigh > 0 { actions.append("\(state.tooHigh) refcounts that were too high are lowered") }
        if state.wrongFlags > 0 { actions.append("\(state.wrongFlags) flags of sole references are set right") }
        if survey.flagFaults > 0 { actions.append("\(survey.flagFaults) flags without a meaning are set right") }
        let isMarked = survey.header.withoutMarks != survey.header
        if clearingMarks, isMarked { actions.append("the marks of a dirty or corrupt image are cleared") }
        return RepairPlan(length: survey.source.length, actions: actions) { (body) throws(ImageError) in
            var survey = survey
            for index in survey.windows.sorted() {
                let window = try survey.window(index, limit: survey.clusterCount, withRefcounts: true)
                for block in survey.blocks { try lower(block, in: window, body) }
                try body(.barrier)
                try survey.mendFlags(window, where: { window.refcount(of: $0) >= window.references(to: $0) }, body)
            }
            try survey.mendLoneFlags(body)
            guard clearingMarks, isMarked else { return }
            try body(.barrier)
            var features = [UInt8](repeating: 0, count: 8)
            features.storeBigEndian(survey.header.withoutMarks.incompatibleFeatures.rawValue, at: 0)
            try body(.write(MetadataSegment(at: FileOffset(72), features)))
        }
    }

    /// Writes the part of a block from the first to the last refcount that changes in this window.
    private func lower(
        _ block: QCOW2Survey.RefcountBlock, in window: QCOW2RefcountWindow,
        _ body: (RepairStep) throws(ImageError) -> Void
    ) throws(ImageError) {
        let header = survey.header
        let perWord = 64 / header.refcountBits
        let base = block.index * header.refcountsPerBlock
        let part = window.clusters.clamped(to: base..<base + header.refcountsPerBlock)
        guard !part.isEmpty else { return }
        let words = (part.lowerBound - base) / perWord..<(part.upperBound - base).dividedRoundingUp(by: perWord)
        let place = block.offset + words.lowerBound * QCOW2Tables.entryLength
        var bytes = try survey.source.read(
            FileRange(place, length: (words.upperBound - words.lowerBound) * QCOW2Tables.entryLength))
        var changed: Range<Int>?
        for (step, word) in words.enumerated() {
            let old: UInt64 = bytes.bigEndian(at: step * 8)
            guard old != 0 else { continue }
            var new = QCOW2Refcounts(word: old, bits: header.refcountBits)
            QCOW2Refcounts(word: old, bits: header.refcountBits).forEachUsed { (index, refcount) in
                let cluster = base + word * perWord + index
                let references = part.contains(cluster) ? UInt64(window.references(to: cluster)) : refcount
                if refcount > references { new.set(references, at: index) }
            }
            guard new.word != old else { continue }
            bytes.storeBigEndian(new.word, at: step * 8)
            changed = (changed?.lowerBound ?? step * 8)..<step * 8 + 8
        }
        guard let changed else { return }
        try body(.write(MetadataSegment(at: FileOffset(place + UInt64(changed.lowerBound)), Array(bytes[changed]))))
    }
}
