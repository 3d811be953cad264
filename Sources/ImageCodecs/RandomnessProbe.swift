/// Tells, for a fraction of what compressing costs, whether bytes look random, so that no compressor would make less of them.
///
/// Two things make bytes compressible: some values are more frequent than others (Huffman codes), and strings come again
/// (matches). Random-looking bytes show neither. It errs to the careful side: content that would shrink by more than about
/// one in a hundred is not taken for random, and content that was made to look random is merely stored.
struct RandomnessProbe: Sendable {
    /// Every so many bytes one is counted; odd, so that records of an even length are seen at all of their offsets.
    private static let stride = 13
    /// Fewer bytes are not worth a look.
    private static let shortest = 4096
    /// The most that Pearson's chi-squared of the counted bytes may be.
    ///
    /// For random bytes it is 255 on average, with a deviation of 23. For 5000 counted bytes, 600 stands for 0.05 bits less
    /// than eight for a byte.
    private static let largestDeviation: UInt64 = 600
    /// Strings of four bytes that come again, of the one in 16 that are looked at: in random bytes there are none.
    private static let mostRepeats = 2

    private static let slotBits: UInt32 = 12
    private static let multiplier: UInt32 = 2_654_435_761

    private var counts = [UInt32](repeating: 0, count: 256)
    /// The last string of four bytes seen for each hash.
    private var slots = [UInt32](repeating: 0, count: 1 << slotBits)

    /// Whether compressing is in vain.
    mutating func looksRandom(_ bytes: Span<UInt8>) -> Bool {
        bytes.count >= Self.shortest && hasEvenCounts(bytes) && hasNoRepeats(bytes)
    }

    private mutating func hasEvenCounts(_ bytes: Span<UInt8>) -> Bool {
        for value in counts.indices { counts[value] = 0 }
        var sampled: UInt64 = 0
        var index = 0
        while index < bytes.count {
            counts[Int(bytes[index])] += 1
            sampled += 1
            index += Self.stride
        }
        // Chi-squared is 256 / n times the sum of the squares, less n; both sides times n.
        let squares = counts.reduce(into: UInt64(0)) { sum, count in sum += UInt64(count) * UInt64(count) }
        return 256 * squares <= sampled * sampled + Self.largestDeviation * sampled
    }

    private mutating func hasNoRepeats(_ bytes: Span<UInt8>) -> Bool {
        for slot in slots.indices { slots[slot] = 0 }
        var repeats = 0
        var string: UInt32 = 0
        for index in bytes.indices {
            string = string << 8 | UInt32(bytes[index])
            let hash = string &* Self.multiplier
            // Which strings are looked at follows from their bytes, so that a repeated one is looked at both times.
            guard hash >> 28 == 0, index >= 3 else { continue }
            let slot = Int(hash >> (28 - Self.slotBits)) & (1 << Self.slotBits - 1)
            if slots[slot] == string { repeats += 1 }
            slots[slot] = string
        }
        return repeats <= Self.mostRepeats
    }
}
