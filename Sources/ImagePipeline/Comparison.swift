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
                var comparer = ChunkComparer(self, other, chunkSize: chunkSize)
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
            firstDifference: first.withLock { $0 }.map { GuestOffset($0) },
            sizesDiffer: virtualSize != other.virtualSize)
    }
}

/// Where two disks differ, in whole sectors.
public struct DiskDifferences: Hashable, Sendable {
    /// The first of them, in guest order, neighbours joined.
    public var ranges: [GuestRange]
    /// Of all of them, in bytes.
    public var differingBytes: UInt64
    /// Whether one disk is larger than the other.
    public var sizesDiffer: Bool

    public var isEmpty: Bool { differingBytes == 0 && !sizesDiffer }
}

extension DiskImage {
    /// Finds where the guest content of two disks differs; blocks.
    ///
    /// - Parameter count: how many ranges are kept; the rest is counted.
    /// - Throws: what the readers and the sources throw; `cancelled`.
    public func differences(from other: DiskImage, atMost count: Int, _ work: WorkOptions = .init())
        throws(ImageError) -> DiskDifferences
    {
        try work.validate()
        work.progress?.begin(total: max(virtualSize, other.virtualSize))
        let chunkSize = max(chunkSize(work.chunkSize), other.chunkSize(work.chunkSize))
        let dispenser = Mutex(PairDispenser(self, other, chunkSize: chunkSize))
        let found = Mutex(RangeCollection(limit: count))
        let failure = SharedFailure()
        WorkerThreads.run(work.threads) {
            do throws(ImageError) {
                var comparer = ChunkComparer(self, other, chunkSize: chunkSize)
                while !failure.isSet {
                    guard let pair = try dispenser.withLock({ (it) throws(ImageError) in try it.next() }) else { break }
                    try work.requireGoingOn()
                    let ranges = try comparer.differingSectors(in: pair)
                    if !ranges.isEmpty { found.withLock { $0.add(ranges) } }
                    work.progress?.reach(pair.range.end)
                }
            } catch {
                failure.set(error)
            }
        }
        try failure.rethrow()
        try source.requireUnchanged()
        try other.source.requireUnchanged()
        let collection = found.withLock { $0 }
        return DiskDifferences(
            ranges: collection.ranges, differingBytes: collection.totalLength,
            sizesDiffer: virtualSize != other.virtualSize)
    }
}

/// The first ranges of all that come, in whatever order they come.
private struct RangeCollection: Sendable {
    let limit: Int
    private(set) var ranges: [GuestRange] = []
    private(set) var totalLength: UInt64 = 0

    init(limit: Int) { self.limit = limit }

    /// Takes the ranges of one chunk, which lie together.
    mutating func add(_ new: [GuestRange]) {
        for range in new { totalLength += range.length }
        ranges = (ranges + new).sorted { $0.start < $1.start }.reduce(into: []) { joined, range in
            if let last = joined.indices.last, joined[last].end == range.start {
                joined[last].length += range.length
            } else {
                joined.append(range)
            }
        }
        ranges = Array(ranges.prefix(limit))
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

    init(_ left: DiskImage, _ right: DiskImage, chunkSize: UInt64) {
        self.left = ChunkContent(left, chunkSize: chunkSize)
        self.right = ChunkContent(right, chunkSize: chunkSize)
    }

    /// The first guest byte of the range in which the disks differ.
    mutating func firstDifference(in pair: ChunkPair) throws(ImageError) -> UInt64? {
        if let chunk = pair.left { try left.load(chunk) }
        if let chunk = pair.right { try right.load(chunk) }
        guard pair.left != nil else { return try Self.firstNonzero(right) }
        guard pair.right != nil else { return try Self.firstNonzero(left) }
        try left.fillGaps()
        try right.fillGaps()
        var difference: Int?
        try left.withBytes(of: pair.range) { (leftBytes) throws(ImageError) in
            try right.withBytes(of: pair.range) { (rightBytes) throws(ImageError) in
                difference = leftBytes.firstDifference(from: rightBytes)
            }
        }
        return difference.map { pair.range.start.bytes + UInt64($0) }
    }

    /// The sectors of the range in which the disks differ, neighbours joined.
    mutating func differingSectors(in pair: ChunkPair) throws(ImageError) -> [GuestRange] {
        guard let first = try firstDifference(in: pair) else { return [] }
        // What was not loaded is zero; `firstDifference` has filled the gaps only where both were.
        if pair.left == nil { try left.clear(from: pair.range.start) }
        if pair.right == nil { try right.clear(from: pair.range.start) }
        try left.fillGaps()
        try right.fillGaps()
        var ranges: [GuestRange] = []
        var start = first.roundedDown(toMultipleOf: sectorSize)
        while start < pair.range.end.bytes {
            let sector = GuestRange(start, length: min(sectorSize, pair.range.end.bytes - start))
            var differs = false
            try left.withBytes(of: sector) { (leftBytes) throws(ImageError) in
                try right.withBytes(of: sector) { (rightBytes) throws(ImageError) in
                    differs = leftBytes.firstDifference(from: rightBytes) != nil
                }
            }
            if differs {
                if let last = ranges.indices.last, ranges[last].end == sector.start {
                    ranges[last].length += sector.length
                } else {
                    ranges.append(sector)
                }
            }
            start = sector.end.bytes
        }
        return ranges
    }

    private static func firstNonzero(_ content: borrowing ChunkContent) throws(ImageError) -> UInt64? {
        for piece in content.pieces {
            let index = try content.withBytes(of: piece) { (bytes) throws(ImageError) in bytes.firstNonzero() }
            if let index { return piece.start.bytes + UInt64(index) }
        }
        return nil
    }
}
