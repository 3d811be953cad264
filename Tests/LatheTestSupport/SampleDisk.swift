/// Disk content that is made from a seed: the same on every machine and day.
public enum SampleDisk {
    /// Runs of random bytes, text, one byte repeated, and zeros, of lengths from a few bytes to some hundred KiB.
    public static func mixed(length: Int, seed: UInt64) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(length)
        while bytes.count < length {
            let run = min(
                length - bytes.count,
                Int.random(in: 1...(64 << Int.random(in: 0...13, using: &generator)), using: &generator))
            switch Int.random(in: 0..<5, using: &generator) {
            case 0: for _ in 0..<run { bytes.append(UInt8.random(in: 0...255, using: &generator)) }
            case 1: appendText(to: &bytes, run)
            case 2: bytes += repeatElement(UInt8.random(in: 1...255, using: &generator), count: run)
            default: bytes += repeatElement(0, count: run)
            }
        }
        return bytes
    }

    /// Nothing but bytes that are not zero.
    public static func full(length: Int, seed: UInt64) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        return (0..<length).map { _ in UInt8.random(in: 1...255, using: &generator) }
    }

    /// Many bytes that are not zero, quickly made: one random block again and again, each time with its number in front.
    public static func numbered(length: Int, seed: UInt64) -> [UInt8] {
        let block = full(length: 64 << 10, seed: seed)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(length + block.count)
        var number: UInt64 = 1
        while bytes.count < length {
            let mark = (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) | 1 }
            bytes += mark
            bytes += block[mark.count...]
            number += 2
        }
        bytes.removeLast(bytes.count - length)
        return bytes
    }

    /// Data and zeros in turn, `period` bytes each.
    public static func alternating(length: Int, period: Int) -> [UInt8] {
        (0..<length).map { $0 / period % 2 == 0 ? UInt8(truncatingIfNeeded: $0 / period + 1) | 1 : 0 }
    }

    private static func appendText(to bytes: inout [UInt8], _ count: Int) {
        let text = Array("The quick brown fox places clusters behind the lazy refcount table.\n".utf8)
        for index in 0..<count { bytes.append(text[index % text.count]) }
    }
}
