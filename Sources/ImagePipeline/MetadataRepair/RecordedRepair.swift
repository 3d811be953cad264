import ImageFormats
import ImageModel

/// The writes of a repair, made and kept aside before the first of them is done.
struct RecordedRepair: Sendable {
    enum Step: Sendable {
        case write(Patch)
        case barrier
    }

    /// A range of the file, and where in the spool its bytes are.
    struct Patch: Sendable {
        var range: FileRange
        var stored: FileOffset
    }

    /// Writes that are remembered at most: no repair of a real image comes near it.
    private static let maximumSteps = 4 << 20
    /// How much is copied at once, in bytes.
    static let stepLength: UInt64 = 1 << 20

    let length: UInt64
    let actions: [String]
    /// In the order in which they have to be done.
    private let steps: [Step]
    private let spool: any ImageSource
    private let patches: [Patch]

    /// Has a plan make its writes, into a spool.
    ///
    /// - Throws: `limit-exceeded` for too many; what the plan throws.
    init(_ plan: RepairPlan, in spool: any ImageSpool) throws(ImageError) {
        var steps: [Step] = []
        var stored = FileOffset(0)
        try plan.forEachStep { (step) throws(ImageError) in
            guard steps.count < Self.maximumSteps else {
                throw ImageError(
                    .limitExceeded,
                    "the repair takes more than \(Self.maximumSteps) writes; make the image anew with 'lathe convert'")
            }
            switch step {
            case .barrier: steps.append(.barrier)
            case .write(let segment):
                // Closely packed: where the file is long, the spool's file system may not hold such offsets.
                try segment.forEachPiece { (bytes, offset) throws(ImageError) in
                    try spool.write(metadata: bytes.span, at: stored + (offset - segment.offset))
                }
                let range = FileRange(start: segment.offset, length: segment.length)
                steps.append(.write(Patch(range: range, stored: stored)))
                stored = stored + segment.length
            }
        }
        try spool.finish(length: stored.bytes)
        length = plan.length
        actions = plan.actions
        self.steps = steps
        self.spool = try spool.spooled()
        patches = try Self.sorted(steps)
    }

    var isEmpty: Bool { patches.isEmpty }

    /// - Throws: `verification-failed` where two writes meet, so that their order would matter.
    private static func sorted(_ steps: [Step]) throws(ImageError) -> [Patch] {
        var patches: [Patch] = []
        for case .write(let patch) in steps where !patch.range.isEmpty { patches.append(patch) }
        patches.sort { $0.range.start < $1.range.start }
        let ranges = patches.lazy.map(\.range)
        for (one, next) in zip(ranges, ranges.dropFirst()) where one.end > next.start {
            throw ImageError(
                .verificationFailed,
                "two parts of the repair would be written to byte \(next.start.bytes); nothing was written",
                offset: next.start)
        }
        return patches
    }

    /// What the file will be.
    func patched(_ source: any ImageSource) -> PatchedSource {
        PatchedSource(source, patches, in: spool, length: length)
    }

    /// Does the writes in order.
    func apply(to target: any PatchSink) throws(ImageError) {
        try target.extend(to: length)
        for step in steps {
            switch step {
            case .barrier: try target.barrier()
            case .write(let patch): try copy(patch, into: target)
            }
        }
        try target.barrier()
    }

    /// Does the writes in any order.
    func write(into sink: any ImageSink) throws(ImageError) {
        for patch in patches { try copy(patch, into: sink) }
    }

    private func copy(_ patch: Patch, into sink: any ImageSink) throws(ImageError) {
        var done: UInt64 = 0
        while done < patch.range.length {
            let part = FileRange(start: patch.stored + done, length: min(Self.stepLength, patch.range.length - done))
            let bytes = try spool.read(part)
            try sink.write(metadata: bytes.span, at: patch.range.start + done)
            done += part.length
        }
    }
}
