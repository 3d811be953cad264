/// Which of a window of slots (blocks, grains, clusters of a file) are claimed; one bit a slot.
///
/// A checker that must know of every slot whether it is used twice walks its tables once for each window, so that its
/// memory does not depend on what a file says of itself.
struct UsageWindow: Sendable {
    /// Slots of one window: with few windows, tables that a file only says are long are walked few times.
    static let capacity = ImageLimits.markedSlots

    enum Claim: Hashable, Sendable {
        case claimed
        case alreadyClaimed
        /// Another window's slot.
        case elsewhere
    }

    private let slots: Range<UInt64>
    private var bits: [UInt64]

    /// The window from slot `start` on, as far as `limit` at most.
    init(start: UInt64, limit: UInt64) {
        slots = start..<max(start, min(limit, start + Self.capacity))
        bits = [UInt64](repeating: 0, count: (slots.count + 63) / 64)
    }

    /// Marks a slot as used.
    mutating func claim(_ slot: UInt64) -> Claim {
        guard slots.contains(slot) else { return .elsewhere }
        let index = Int(slot - slots.lowerBound)
        let bit = UInt64(1) << UInt64(index % 64)
        if bits[index / 64] & bit != 0 { return .alreadyClaimed }
        bits[index / 64] |= bit
        return .claimed
    }

    /// Hands out the slots that nobody claimed, in order.
    func forEachUnclaimed(_ body: (UInt64) -> Void) {
        for slot in slots where bits[Int(slot - slots.lowerBound) / 64] >> ((slot - slots.lowerBound) % 64) & 1 == 0 {
            body(slot)
        }
    }
}
