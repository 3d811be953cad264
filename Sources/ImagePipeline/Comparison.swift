internal import ImageCodecs
public import ImageModel
internal import Synchronization

/// What a comparison of two disks found.
public struct ComparisonResult: Hashable, Sendable {
    /// The first guest byte that differs; nil where none does.
    public var firstDifference: GuestOffset?
    /// Whether one disk is larger than the other.
    public var sizesDiffer: Bool

    public init(firstDifference: GuestOffset?, sizesDiffer: Bool) {
        self.firstDifference = firstDifference
        self.sizesDiffer = sizesDiffer
    }
}

extension DiskImage {
    /// Compares the guest content of two disks, byte by byte; blocks.
    ///
    /// Where one disk is larger, what it has beyond the other counts as equal if it is zero, as `qemu-img compare` has it.
    ///
    /// - Throws: what the readers and the sources throw; `cancelled`.
    public func compare(with other: DiskImage, _ work: WorkOptions = .init()) throws(ImageError) -> ComparisonResult {
        try work.validate()
        work.progress?.begin(total: max(virtualSize, other.virtualSize))
        let chunkSize = max(chunkSize(work.chunkSize), other.chunkSize(work.chunkSize))
        let dispenser = Mutex(PairDispenser(self, other, chunkSize: chunkSize))
        let first = Mutex<UInt64?>(nil)
        let failure = SharedFailure()
        WorkerThreads.run(work.threads) {
            do throws(ImageError) {
                var comparer = ChunkComparer(self, other)
                while !failure.isSet {
                    // Chunks come in guest order, so those behind a known difference can't hold the first one.
                    guard first.withLock({ $0 == nil }) else { break }
                    guard let pair = try dispenser.withLock({ (it) throws(ImageError) in try it.next() }) else { break }
                    try work.requireGoingOn()
                    if let difference = try comparer.firstDifference(in: pair) {
                        first.withLock { $0 = min($0 ?? .max, difference) }
                    }
                    work.progress?.reach(pair.range.end)
                }
            } catch {
                failure.set(error)
            }
        }
        try failure.rethrow()
        try source.requireUnchanged()
        try other.source.requireUnchanged()
        return ComparisonResult(
            firstDifference: first.withLock { $0 }.map { GuestOffset($0) }, sizesDiffer: virtualSize != other.virtualSize)
    }
}

/// The same guest range of two disks; either has no chunk there where it is all zero.
private struct ChunkPair: Sendable {
    let range: GuestRange
    let left: Chunk?
    let right: Chunk?
}

/// Hands out the chunks of two disks side by side.
private struct PairDispenser: Sendable {
    private var leftDispenser: ChunkDispenser
    private var rightDispenser: ChunkDispenser
    private var left: Chunk?
    private var right: Chunk?
    private var isPrimed = false

    init(_ left: DiskImage, _ right: DiskImage, chunkSize: UInt64) {
        leftDispenser = ChunkDispenser(left, chunkSize: chunkSize)
        rightDispenser = ChunkDispenser(right, chunkSize: chunkSize)
    }

    mutating func next() throws(ImageError) -> ChunkPair? {
        if !isPrimed {
            left = try leftDispenser.next()
            right = try rightDispenser.next()
            isPrimed = true
        }
        guard let start = [left, right].compactMap({ $0?.range.start }).min() else { return nil }
        let pair = ChunkPair(
            range: [left, right].compactMap { $0?.range }.filter { $0.start == start }.max { $0.length < $1.length }
                ?? GuestRange(start: start, length: 0),
            left: left?.range.start == start ? left : nil, right: right?.range.start == start ? right : nil)
        if pair.left != nil { left = try leftDispenser.next() }
        if pair.right != nil { right = try rightDispenser.next() }
        return pair
    }
}

/// One thread's share of a comparison.
private struct ChunkComparer: ~Copyable {
    private var left: ChunkContent
    private var right: ChunkContent

    init(_ left: DiskImage, _ right: DiskImage) {
        self.left = ChunkContent(left)
        self.right = ChunkContent(right)
    }

    /// The first guest byte of the range in which the disks differ.
    mutating func firstDifference(in pair: ChunkPair) throws(ImageError) -> UInt64? {
        let leftPieces = try pair.left.map { (chunk) throws(ImageError) in try left.load(chunk) } ?? []
        let rightPieces = try pair.right.map { (chunk) throws(ImageError) in try right.load(chunk) } ?? []
        var difference: UInt64?
        for step in PiecePairs.steps(leftPieces, rightPieces) where difference == nil {
            difference = try firstDifference(step)
        }
        if let chunk = pair.left { left.unload(chunk) }
        if let chunk = pair.right { right.unload(chunk) }
        return difference
    }

    private borrowing func firstDifference(_ step: PiecePairs.Step) throws(ImageError) -> UInt64? {
        var difference: UInt64?
        switch (step.left, step.right) {
        case (let one?, let two?):
            try left.forEachRun(of: one, limit: .max) { (leftBytes, _) throws(ImageError) in
                try right.forEachRun(of: two, limit: .max) { (rightBytes, _) throws(ImageError) in
                    difference = leftBytes.firstDifference(from: rightBytes).map { one.guest + UInt64($0) }
                }
            }
        case (let one?, nil):
            try left.forEachRun(of: one, limit: .max) { (bytes, _) throws(ImageError) in
                difference = bytes.firstNonzero().map { one.guest + UInt64($0) }
            }
        case (nil, let two?):
            try right.forEachRun(of: two, limit: .max) { (bytes, _) throws(ImageError) in
                difference = bytes.firstNonzero().map { two.guest + UInt64($0) }
            }
        case (nil, nil): break
        }
        return difference
    }
}

/// Cuts two lists of pieces at each other's borders.
private enum PiecePairs {
    struct Step {
        var left: ContentPiece?
        var right: ContentPiece?
    }

    static func steps(_ left: [ContentPiece], _ right: [ContentPiece]) -> [Step] {
        let borders = Set((left + right).flatMap { [$0.guest, $0.end] }).sorted()
        var steps: [Step] = []
        var leftRest = left[...]
        var rightRest = right[...]
        for (start, end) in zip(borders, borders.dropFirst()) {
            let step = Step(left: cut(&leftRest, start, end), right: cut(&rightRest, start, end))
            if step.left != nil || step.right != nil { steps.append(step) }
        }
        return steps
    }

    private static func cut(_ pieces: inout ArraySlice<ContentPiece>, _ start: UInt64, _ end: UInt64) -> ContentPiece? {
        while let first = pieces.first, first.end <= start { pieces.removeFirst() }
        guard let first = pieces.first, first.guest <= start, start < first.end else { return nil }
        return ContentPiece(guest: start, length: end - start, origin: first.origin.advanced(by: start - first.guest))
    }
}
