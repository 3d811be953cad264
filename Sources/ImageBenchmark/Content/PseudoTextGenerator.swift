/// Makes text that compresses about as well as the files of a system do: lines of words, some frequent and most rare, with
/// numbers among them, and many a line that begins or goes on as an earlier one did.
struct PseudoTextGenerator {
    private static let vocabularySize = 8192
    private static let lettersByFrequency = Array("etaoinshrdlucmfwypvbgkjqxz".utf8)
    /// How many lines are remembered; some 16 KiB of text, half of the window of deflate.
    private static let memory = 256

    /// The words, each with a space behind it: the same for every seed, as those of a language are.
    private static let vocabulary: [[UInt8]] = {
        var random = SeededRandom(seed: 0x1a7e)
        return (0..<vocabularySize).map { _ in
            let length = 2 + random.below(4) + random.below(6)
            return (0..<length).map { _ in
                // The lesser of two draws: the front of the alphabet is the more frequent.
                lettersByFrequency[min(random.below(26), random.below(26))]
            } + [UInt8(ascii: " ")]
        }
    }()

    private let words = Self.vocabulary
    private var random = SeededRandom(seed: 0)
    /// The last lines, without their ends; the oldest is written over.
    private var lines: [[UInt8]] = []
    private var oldest = 0

    /// Adds so many bytes of text, which follow from the seed alone.
    mutating func append(_ count: Int, seed: UInt64, to bytes: inout [UInt8]) {
        random = SeededRandom(seed: seed)
        lines.removeAll(keepingCapacity: true)
        oldest = 0
        let end = bytes.count + count
        bytes.reserveCapacity(end + 512)
        while bytes.count < end {
            let line = makeLine()
            bytes += line
            bytes.append(UInt8(ascii: "\n"))
            remember(line)
        }
        bytes.removeLast(bytes.count - end)
    }

    private mutating func remember(_ line: [UInt8]) {
        if lines.count < Self.memory {
            lines.append(line)
        } else {
            lines[oldest] = line
            oldest = (oldest + 1) % Self.memory
        }
    }

    /// One line in eight was there before, three begin as an earlier one did, and the others are new.
    private mutating func makeLine() -> [UInt8] {
        let draw = random.below(8)
        guard draw < 4, !lines.isEmpty else {
            var line = [UInt8](repeating: UInt8(ascii: "\t"), count: random.below(4))
            appendWords(2 + random.below(10), to: &line)
            return line
        }
        let earlier = lines[random.below(lines.count)]
        if draw == 0 { return earlier }
        var line = Array(earlier.prefix(random.below(earlier.count)))
        appendWords(1 + random.below(6), to: &line)
        return line
    }

    private mutating func appendWords(_ count: Int, to line: inout [UInt8]) {
        for _ in 0..<count {
            let draw = random.next()
            if draw & 15 == 0 {
                appendNumber(draw >> 8, to: &line)
            } else {
                // The cube of a uniform share: the first words are by far the most frequent.
                let share = draw >> 32
                let cube = (((share * share) >> 32) * share) >> 32
                line += words[Int(truncatingIfNeeded: (cube * UInt64(words.count)) >> 32)]
            }
        }
    }

    /// Eight hexadecimal digits and a space.
    private func appendNumber(_ bits: UInt64, to line: inout [UInt8]) {
        for shift in stride(from: UInt64(0), to: 32, by: 4) {
            let digit = UInt8(truncatingIfNeeded: (bits >> shift) & 15)
            line.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
        line.append(UInt8(ascii: " "))
    }
}
