/// What stands where on a generated disk: runs of varied length, in the shares that a spec asks for to the block.
///
/// Each kind has so many blocks to give. The next run's kind is drawn with what each has left as its weight, as balls are
/// drawn from an urn, so the shares come out right at the end, and no part of the disk is unlike the others.
struct ContentLayout: Sequence, IteratorProtocol {
    enum Kind: Int, CaseIterable {
        case text, random, zeros, hole
    }

    struct Run: Hashable {
        var kind: Kind
        var start: UInt64
        var length: UInt64
        /// Of its own content.
        var seed: UInt64
    }

    /// The longest run is less than 2 << this many blocks: 8 MiB.
    private static let longestRunBits = 10

    private var left: [UInt64]
    private var position: UInt64 = 0
    private var random: SeededRandom
    private let longestRun: UInt64

    init(_ spec: ContentSpec) {
        let blocks = spec.size / ContentSpec.blockSize
        let data = blocks * spec.data / 100
        let text = data * spec.compressible / 100
        let zeros = blocks * spec.zeros / 100
        left = [text, data - text, zeros, blocks - data - zeros]
        random = SeededRandom(seed: spec.seed)
        // A small disk has many runs too.
        longestRun = Swift.max(1, blocks / 64)
    }

    mutating func next() -> Run? {
        let total = left.reduce(0, +)
        guard total > 0 else { return nil }
        var ball = random.below(total)
        var index = 0
        while ball >= left[index] {
            ball -= left[index]
            index += 1
        }
        // Every power of two is as likely as the others: short runs are many, and long ones hold most of the bytes.
        let power = UInt64(1) << UInt64(random.below(Self.longestRunBits + 1))
        let blocks = Swift.min(left[index], longestRun, power + random.below(power))
        left[index] -= blocks
        defer { position += blocks * ContentSpec.blockSize }
        return Run(
            kind: Kind.allCases[index], start: position, length: blocks * ContentSpec.blockSize, seed: random.next())
    }
}
