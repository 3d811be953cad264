import ImageFormats
import ImageModel

/// The writes of a repair, made and kept aside before the first of them is done.
struct RecordedRepair: Sendable {
    enum Step: Sendable {
        case write(FileRange)
        case barrier
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
    private let ranges: [FileRange]

    /// Has a plan make its writes, into a spool.
    ///
    /// - Throws: `limit-exceeded` for too many; what the plan throws.
    init(_ plan: RepairPlan, in spool: any ImageSpool) throws(ImageError) {
        var steps: [Step] = []
        try plan.forEachStep { (step) throws(ImageError) in
            guard steps.count < Self.maximumSteps else {
                throw ImageError(
                    .limitExceeded,
                    "the repair takes more than \(Self.maximumSteps) writes; make the image anew with 'lathe convert'")
            }
            switch step {
            case .barrier: steps.append(.barrier)
            case .write(let segment):
                try segment.forEachPiece { (bytes, offset) throws(ImageError) in
                    try spool.write(metadata: bytes.span, at: offset)
                }
                steps.append(.write(FileRange(start: segment.offset, length: segment.length)))
            }
        }
        try spool.finish(length: plan.length)
        length = plan.length
        actions = plan.actions
        self.steps = steps
        self.spool = try spool.spooled()
        ranges = try Self.sorted(steps)
    }

    var isEmpty: Bool { ranges.isEmpty }

    /// - Throws: `verification-failed` where two writes meet, so that their order would matter.
    private static func sorted(_ steps: [Step]) throws(ImageError) -> [FileRange] {
        var ranges: [FileRange] = []
        for case .write(let range) in steps where !range.isEmpty { ranges.append(range) }
        ranges.sort { $0.start < $1.start }
        for (one, next) in zip(ranges, ranges.dropFirst()) where one.end > next.start {
            throw ImageError(
                .verificationFailed,
                "two parts of the repair would be written to byte \(next.start.bytes); nothing was written",
                offset: next.start)
        }
        return ranges
    }

    /// What the file will be.
    func patched(_ source: any ImageSource) -> PatchedSource {
        PatchedSource(source, patches: spool, ranges: ranges, length: length)
    }

    /// Does the writes in order.
    func apply(to target: any PatchSink) throws(ImageError) {
        try target.extend(to: length)
        for step in steps {
            switch step {
            case .barrier: try target.barrier()
            case .write(let range): try copy(range, into: target)
            }
        }
        try target.barrier()
    }

    /// Does the writes in any order.
    func write(into sink: any ImageSink) throws(ImageError) {
        for range in ranges { try copy(range, into: sink) }
    }

    private func copy(_ range: FileRange, into sink: any ImageSink) throws(ImageError) {
        var done: UInt64 = 0
        while done < range.length {
            let part = FileRange(start: range.start + done, length: min(Self.stepLength, range.length - done))
            let bytes = try spool.read(part)
            try sink.write(metadata: bytes.span, at: part.start)
            done += part.length
        }
    }
}
