import ImageModel

/// What an extended L2 entry says of the 32 subclusters of its cluster.
///
/// Source: QEMU `docs/interop/qcow2.rst`, "Extended L2 Entries": behind the entry stands a bitmap, whose low half says which
/// subclusters are allocated, and whose high half which read as zeros.
struct QCOW2Subclusters: Hashable, Sendable {
    /// Subclusters of a cluster.
    static let count: UInt64 = 32

    /// What the entry says of the cluster as a whole.
    let cluster: QCOW2L2Entry
    private let allocated: UInt32
    private let zero: UInt32
    /// In bytes.
    private let size: UInt64

    init(_ entry: UInt64, bitmap: UInt64, _ header: QCOW2Header) {
        allocated = UInt32(truncatingIfNeeded: bitmap)
        zero = UInt32(truncatingIfNeeded: bitmap >> 32)
        size = header.clusterSize / Self.count
        let cluster = QCOW2L2Entry(entry, header)
        switch cluster {
        case .compressed where bitmap != 0:
            self.cluster = .invalid("is compressed, and yet has bits \(hex(bitmap)) set for its subclusters")
        case .data where allocated & zero != 0:
            self.cluster = .invalid(
                "says of subclusters \(hex(allocated & zero)) both that they are allocated and that they are zero")
        case .unallocated where allocated != 0:
            self.cluster = .invalid("has no cluster, but says that subclusters \(hex(allocated)) of it are allocated")
        default: self.cluster = cluster
        }
    }

    /// Hands the runs of subclusters of one kind that a part of the cluster touches to `body`, in order.
    ///
    /// - Parameters:
    ///   - part: a range of bytes of the cluster, not empty.
    ///   - body: takes a run's bytes of the cluster, and what they are: unallocated, zero, or data, whose offset is the cluster's.
    func forEachRun(of part: Range<UInt64>, _ body: (Range<UInt64>, QCOW2L2Entry) throws(ImageError) -> Void)
        throws(ImageError)
    {
        var start = part.lowerBound
        while start < part.upperBound {
            let meaning = meaning(of: start / size)
            var end = start.roundedDown(toMultipleOf: size) + size
            while end < part.upperBound, self.meaning(of: end / size) == meaning { end += size }
            end = min(end, part.upperBound)
            try body(start..<end, meaning)
            start = end
        }
    }

    private func meaning(of index: UInt64) -> QCOW2L2Entry {
        let bit: UInt32 = 1 << UInt32(index)
        switch cluster {
        case .data(let offset):
            if zero & bit != 0 { return .zero(kept: offset) }
            return allocated & bit != 0 ? cluster : .unallocated
        case .unallocated: return zero & bit != 0 ? .zero(kept: 0) : .unallocated
        case .zero, .compressed, .invalid: return cluster
        }
    }
}
