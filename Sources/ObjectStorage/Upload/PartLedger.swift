internal import ImageModel

/// Which parts of an object have all their bytes: the arithmetic of it, without the bytes.
///
/// Parts are counted from 0 here. A part is complete when nothing that is still open reaches into it, and all bytes that were
/// expected in it have been written; one in which nothing was ever expected is zero.
struct PartLedger: Sendable {
    /// Parts that are complete now, each said once.
    struct Settled: Hashable, Sendable {
        /// Parts with bytes of their own.
        var written: [Int] = []
        /// Parts that are all zero, in ascending order.
        var zero: [Range<Int>] = []
    }

    /// In bytes.
    let partLength: UInt64
    /// For parts that were expected and are not complete: the bytes that are yet to be written.
    private var outstanding: [Int: UInt64] = [:]
    /// Parts to which nothing else will be written than what is outstanding.
    private var closed = RangeSet<Int>()

    init(partLength: UInt64) { self.partLength = partLength }

    /// Takes note of writes to come.
    mutating func expect(_ writes: [FileRange]) {
        for write in writes {
            forEachPart(of: write) { part, count in outstanding[part, default: 0] += count }
        }
    }

    /// Takes note of what is still open, in ascending order: what it leaves out is closed.
    mutating func close(except unsettled: [FileRange]) -> Settled {
        var settled = Settled()
        var start: UInt64 = 0
        for range in unsettled where !range.isEmpty {
            if range.start.bytes > start { close(start..<range.start.bytes, &settled) }
            start = max(start, range.end.bytes)
        }
        return settled
    }

    /// Takes note of bytes that were written.
    ///
    /// - Parameter part: called for each part that is complete now.
    mutating func write(_ range: FileRange, _ part: (Int) -> Void) {
        forEachPart(of: range) { index, count in
            guard let left = outstanding[index], left >= count else { preconditionFailure("an unexpected write") }
            outstanding[index] = left - count
            if left == count, closed.contains(index) {
                outstanding[index] = nil
                part(index)
            }
        }
    }

    /// Closes the parts that lie wholly in a range and are still open.
    private mutating func close(_ range: Range<UInt64>, _ settled: inout Settled) {
        let first = Int(range.lowerBound.dividedRoundingUp(by: partLength))
        let end = Int(range.upperBound / partLength)
        guard first < end else { return }
        let new = RangeSet(first..<end).subtracting(closed)
        guard !new.isEmpty else { return }
        closed.formUnion(new)
        for parts in new.ranges { settle(parts, &settled) }
    }

    /// Divides parts that have just been closed into those that are written, those that are zero, and those that wait.
    private mutating func settle(_ parts: Range<Int>, _ settled: inout Settled) {
        var zeroFrom = parts.lowerBound
        for part in outstanding.keys.filter({ parts.contains($0) }).sorted() {
            if zeroFrom < part { settled.zero.append(zeroFrom..<part) }
            zeroFrom = part + 1
            if outstanding[part] == 0 {
                outstanding[part] = nil
                settled.written.append(part)
            }
        }
        if zeroFrom < parts.upperBound { settled.zero.append(zeroFrom..<parts.upperBound) }
    }

    /// Cuts a range at part borders.
    private func forEachPart(of range: FileRange, _ body: (Int, UInt64) -> Void) {
        var start = range.start.bytes
        let end = range.end.bytes
        while start < end {
            let part = start / partLength
            let stop = min((part + 1) * partLength, end)
            body(Int(part), stop - start)
            start = stop
        }
    }
}
