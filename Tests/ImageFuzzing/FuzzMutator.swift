import LatheTestSupport

/// Changes images where it counts: numbers in tables and headers, where things stand, and how long the file is.
///
/// The same seed makes the same changes, on every machine.
public struct FuzzMutator: Sendable {
    private var generator: SeededGenerator

    /// What breaks arithmetic: ends of types and of what formats allow.
    private static let numbers: [UInt64] = [
        0, 1, 2, 3, 7, 8, 9, 16, 21, 22, 31, 32, 63, 64, 255, 256, 511, 512, 513, 1023, 1024, 4096, 65_535, 65_536,
        1 << 20, 1 << 21, 1 << 24, .max >> 33, 1 << 31, .max >> 32, 1 << 32, 1 << 40, .max >> 8, 1 << 62, 1 << 63,
        .max - 511, .max - 1, .max,
    ]

    public init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    /// The input with 1 to 6 changes.
    public mutating func mutated(_ input: FuzzInput) -> FuzzInput {
        var changed = input
        for _ in 0..<Int.random(in: 1...6, using: &generator) { change(&changed) }
        return changed
    }

    private mutating func change(_ input: inout FuzzInput) {
        let count = input.patches.count
        let action = Int.random(in: 0..<20, using: &generator)
        guard count > 0 else {
            input.patches.append(.init(offset: 0, bytes: [UInt8.random(in: 0...255, using: &generator)]))
            return
        }
        // The first patches are headers as a rule, so they are picked more often.
        let index = Bool.random(using: &generator) ? Int.random(in: 0..<min(3, count), using: &generator) : pick(count)
        switch action {
        case 0..<10: storeNumber(in: &input.patches[index].bytes)
        case 10..<13: flip(&input.patches[index].bytes)
        case 13: input.patches[index].offset = place(near: input.patches[index].offset, input.length)
        case 14:
            input.patches.append(
                .init(
                    offset: place(near: input.patches[index].offset, input.length),
                    bytes: input.patches[pick(count)].bytes))
        case 15: input.patches.remove(at: index)
        case 16: input.length = min(place(near: input.length, input.length), FuzzInput.longestFile)
        case 17: input.reference = FuzzInput.Reference.allCases.randomElement(using: &generator) ?? .nothing
        case 18: copyWithin(&input.patches[index].bytes)
        default: input.mendsChecksums = Int.random(in: 0..<8, using: &generator) != 0
        }
    }

    private mutating func pick(_ count: Int) -> Int { Int.random(in: 0..<count, using: &generator) }

    private mutating func flip(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else { return }
        bytes[pick(bytes.count)] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
    }

    /// Puts a number of 1, 2, 4 or 8 bytes in either order, or adds a little to the one that is there.
    private mutating func storeNumber(in bytes: inout [UInt8]) {
        let width = [1, 2, 4, 4, 8, 8][pick(6)]
        guard bytes.count >= width else { return flip(&bytes) }
        let place = pick(bytes.count - width + 1) / width * width
        let isBig = Bool.random(using: &generator)
        func shift(_ step: Int) -> UInt64 { UInt64(8 * (isBig ? width - 1 - step : step)) }
        let old = (0..<width).reduce(UInt64(0)) { $0 | UInt64(bytes[place + $1]) << shift($1) }
        let new: UInt64
        switch pick(4) {
        case 0: new = old &+ UInt64(bitPattern: Int64.random(in: -9...9, using: &generator))
        case 1: new = old << UInt64.random(in: 0..<64, using: &generator)
        default: new = Self.numbers[pick(Self.numbers.count)] | (pick(8) == 0 ? old : 0)
        }
        for step in 0..<width { bytes[place + step] = UInt8(truncatingIfNeeded: new >> shift(step)) }
    }

    /// A table entry becomes another one.
    private mutating func copyWithin(_ bytes: inout [UInt8]) {
        let width = [4, 8, 16][pick(3)]
        guard bytes.count >= 2 * width else { return flip(&bytes) }
        let (from, to) = (pick(bytes.count / width) * width, pick(bytes.count / width) * width)
        for step in 0..<width { bytes[to + step] = bytes[from + step] }
    }

    private mutating func place(near offset: UInt64, _ length: UInt64) -> UInt64 {
        switch pick(5) {
        case 0: return offset &+ 512
        case 1: return offset > 512 ? offset - 512 : 0
        case 2: return UInt64.random(in: 0...length, using: &generator) / 512 * 512
        case 3: return length > 512 ? length - 512 : 0
        default: return offset ^ UInt64(1) << UInt64.random(in: 0..<36, using: &generator)
        }
    }
}
