/// How far a disk that stands in the file as it is, each unit at its guest offset, has been placed.
struct PassedUnits: Hashable, Sendable {
    private let unitSize: UInt64
    /// One more than the last that was placed.
    private var count: UInt64 = 0
    /// Whether the size of the disk is known: else the last unit may turn out to be the end, and cut short.
    private var isSizeKnown: Bool

    init(of unitSize: UInt64, isSizeKnown: Bool) {
        self.unitSize = unitSize
        self.isSizeKnown = isSizeKnown
    }

    mutating func pass(_ unit: UInt64) { count = unit + 1 }

    mutating func settle() { isSizeKnown = true }

    /// Up to where nothing is written any more, in bytes.
    ///
    /// - Parameter size: of the disk, or the most that it may be.
    func end(size: UInt64) -> UInt64 {
        min((isSizeKnown || count == 0 ? count : count - 1) * unitSize, size)
    }
}
