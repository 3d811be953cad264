/// Content that is the same on every machine.
enum PartsContent {
    static func random(count: Int) -> [UInt8] {
        var state: UInt64 = 0x0123_4567_89ab_cdef
        return (0..<count).map { _ in
            // Xorshift64* (Marsaglia, Vigna).
            state ^= state >> 12
            state ^= state << 25
            state ^= state >> 27
            return UInt8(truncatingIfNeeded: (state &* 0x2545_F491_4F6C_DD1D) >> 56)
        }
    }

    /// Words of a made-up language, which deflate shrinks to about a third.
    static func text(count: Int) -> [UInt8] {
        let noise = random(count: count * 2)
        let letters = Array("eeetaoinsrhldcumfpgwybvkxjqz".utf8)
        let words = (0..<400).map { word in
            (0..<3 + Int(noise[word]) % 7).map { letters[Int(noise[word * 11 + $0]) % letters.count] }
        }
        var bytes: [UInt8] = []
        var index = 5000
        while bytes.count < count {
            bytes += words[Int(noise[index % noise.count]) * Int(noise[(index + 1) % noise.count]) % words.count]
            bytes.append(index % 14 == 0 ? 10 : 32)
            index += 2
        }
        return Array(bytes.prefix(count))
    }
}

/// Keeps the optimizer from finding out that nobody looks at a result.
@inline(never)
func keep<Value>(_ value: borrowing Value) {}
