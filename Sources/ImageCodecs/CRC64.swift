internal import CISAL

/// CRC-64/XZ: polynomial 0x42F0E1EBA9EA3693, reflected, all ones in and out; `x-oss-hash-crc64ecma` of OSS.
///
/// It finds accidents. It does not withstand somebody who wants two contents to have one checksum: that takes SHA-256.
public enum CRC64 {
    /// The checksum of `bytes`, or of what `checksum` stands for with `bytes` behind it.
    public static func checksum(_ bytes: Span<UInt8>, continuing checksum: UInt64 = 0) -> UInt64 {
        unsafe bytes.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return checksum }
            return unsafe crc64_ecma_refl(checksum, base, UInt64(buffer.count))
        }
    }

    /// The remainder of `bytes` alone: nothing added in front or at the end, so that remainders of pieces add up.
    static func remainder(_ bytes: Span<UInt8>) -> UInt64 { ~checksum(bytes, continuing: ~0) }
}

/// The CRC-64/XZ of content that is known piece by piece, in any order, with zeros wherever no piece was added.
///
/// A CRC is linear: the remainder of the whole is the sum (exclusive or) of the pieces' remainders, each times x to the
/// power of the bits behind it. The length of the whole is not known before the end, so each piece is brought to offset
/// 0 instead, by a negative power of x, which exists since the polynomial has a constant term; `checksum(length:)` then
/// brings the sum to the end. So zeros cost nothing, order does not matter, and sums of several threads just add up.
/// The arithmetic is that of Mark Adler's crc32_combine in zlib, in 64 bits and with the inverse of x.
public struct CRC64Sum: Hashable, Sendable {
    private var sum: UInt64 = 0

    public init() {}

    /// The sum of content whose checksum and length are known.
    public init(checksum: UInt64, length: UInt64) {
        sum = Polynomial.broughtBack(~checksum, byBytes: length) ^ ~0
    }

    /// Adds bytes that end at `end`, counted from the start of the content; every byte is added once at most.
    ///
    /// - Parameter remainder: what `CRC64Sum.remainder(_:)` says of the bytes.
    public mutating func add(_ remainder: UInt64, endingAt end: UInt64) {
        guard remainder != 0 else { return }
        sum ^= Polynomial.broughtBack(remainder, byBytes: end)
    }

    /// Adds what another sum has.
    public mutating func add(_ other: CRC64Sum) { sum ^= other.sum }

    /// Adds a piece's own sum, which counts from the piece's start, for a piece that starts at `start`.
    public mutating func add(_ piece: CRC64Sum, startingAt start: UInt64) {
        guard piece.sum != 0 else { return }
        sum ^= Polynomial.broughtBack(piece.sum, byBytes: start)
    }

    /// Whether nothing but zeros was added.
    public var isZero: Bool { sum == 0 }

    /// The remainder of bytes, to be added to one or more sums.
    public static func remainder(_ bytes: Span<UInt8>) -> UInt64 { CRC64.remainder(bytes) }

    /// The checksum of the whole content of `length` bytes.
    public func checksum(length: UInt64) -> UInt64 {
        ~Polynomial.product(sum ^ ~0, Polynomial.power(bytes: length))
    }
}

/// Polynomials over GF(2) modulo that of CRC-64/XZ, bit-reversed: the top bit is the constant term.
private enum Polynomial {
    static let modulus: UInt64 = 0xC96C_5795_D787_0F42
    static let one: UInt64 = 1 << 63

    static func timesX(_ value: UInt64) -> UInt64 { value >> 1 ^ (value & 1) &* modulus }

    static func dividedByX(_ value: UInt64) -> UInt64 {
        value >> 63 == 0 ? value << 1 : (value ^ modulus) << 1 | 1
    }

    static func product(_ left: UInt64, _ right: UInt64) -> UInt64 {
        var result: UInt64 = 0
        var rest = left
        var term = right
        while rest != 0 {
            // All ones where the next coefficient is set: a branch would be mispredicted every other time.
            result ^= term & (0 &- rest >> 63)
            rest <<= 1
            term = timesX(term)
        }
        return result
    }

    /// x to the power of 8 times `bytes`.
    static func power(bytes: UInt64) -> UInt64 {
        var result = one
        var square = one
        for _ in 0..<8 { square = timesX(square) }
        var rest = bytes
        while rest != 0 {
            if rest & 1 == 1 { result = product(result, square) }
            square = product(square, square)
            rest >>= 1
        }
        return result
    }

    /// The value times x to the power of -8 times `bytes`.
    static func broughtBack(_ value: UInt64, byBytes bytes: UInt64) -> UInt64 {
        var value = value
        var rest = bytes
        var place = 0
        while rest != 0 {
            let digit = Int(rest & 0xff)
            if digit != 0 { value = product(value, negativePowers[place << 8 | digit]) }
            rest >>= 8
            place += 1
        }
        return value
    }

    /// At `place << 8 | digit`: x to the power of -8 · digit · 256^place, for every byte of an offset.
    static let negativePowers: [UInt64] = {
        var table: [UInt64] = []
        var base = one
        for _ in 0..<8 { base = dividedByX(base) }
        for _ in 0..<8 {
            var power = one
            for _ in 0..<256 {
                table.append(power)
                power = product(power, base)
            }
            base = power
        }
        return table
    }()
}
