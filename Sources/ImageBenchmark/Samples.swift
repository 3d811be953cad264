internal import ImageModel

/// What repeated runs of one thing took, in seconds.
struct Samples: Hashable, Sendable {
    private(set) var seconds: [Double] = []

    /// A clock that did not move counts as the least that it can tell.
    private static let leastSeconds = 1e-9

    mutating func add(_ duration: Duration) { seconds.append(max(Self.leastSeconds, duration.seconds)) }

    var isEmpty: Bool { seconds.isEmpty }
    /// All of them together.
    var total: Double { seconds.reduce(0, +) }
    var least: Double { seconds.min() ?? 0 }
    var greatest: Double { seconds.max() ?? 0 }

    /// The middle one, or the mean of the two in the middle.
    var median: Double {
        let sorted = seconds.sorted()
        guard !sorted.isEmpty else { return 0 }
        let middle = sorted.count / 2
        return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
    }

    /// Times what is done.
    mutating func measure<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        let start = ContinuousClock.now
        let result = try body()
        add(ContinuousClock.now - start)
        return result
    }
}
