internal import Glibc

extension Span where Element == UInt8 {
    /// The index of the first byte that is not as in `other`, which is as long; nil where all are.
    public func firstDifference(from other: Span<UInt8>) -> Int? {
        precondition(count == other.count, "spans of \(count) and \(other.count) bytes can't be compared")
        return narrowed { range in
            let left = extracting(range)
            let right = other.extracting(range)
            return unsafe left.withUnsafeBytes { one in
                unsafe right.withUnsafeBytes { two in
                    guard let first = one.baseAddress, let second = two.baseAddress else { return true }
                    return unsafe memcmp(first, second, one.count) == 0
                }
            }
        }
    }

    /// The index of the first byte that is not zero; nil where all are.
    public func firstNonzero() -> Int? { narrowed { ZeroDetector.isZero(extracting($0)) } }

    /// The first index that breaks `holds`, which is quick on whole ranges: found by halving.
    private func narrowed(_ holds: (Range<Int>) -> Bool) -> Int? {
        guard !isEmpty, !holds(0..<count) else { return nil }
        var range = 0..<count
        while range.count > 1 {
            let middle = range.lowerBound + range.count / 2
            range = holds(range.lowerBound..<middle) ? middle..<range.upperBound : range.lowerBound..<middle
        }
        return range.lowerBound
    }
}
