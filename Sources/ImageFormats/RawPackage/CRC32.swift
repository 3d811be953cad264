/// The CRC-32 of RFC 1952 (section 8), over what an encoder knows without a codec: some hundred bytes, or zeros by count.
enum CRC32 {
    /// The polynomial bit-reversed: the top bit is the constant term.
    private static let modulus: UInt32 = 0xEDB8_8320
    private static let one: UInt32 = 1 << 31

    static func checksum(_ bytes: [UInt8]) -> UInt32 {
        var register = UInt32.max
        for byte in bytes {
            register ^= UInt32(byte)
            for _ in 0..<8 { register = timesX(register) }
        }
        return ~register
    }

    /// The checksum of so many bytes of zeros: each multiplies the register by x to the power of 8.
    static func checksum(zeros count: UInt64) -> UInt32 {
        var square = one
        for _ in 0..<8 { square = timesX(square) }
        var register = UInt32.max
        var rest = count
        while rest != 0 {
            if rest & 1 == 1 { register = product(register, square) }
            square = product(square, square)
            rest >>= 1
        }
        return ~register
    }

    private static func timesX(_ value: UInt32) -> UInt32 { value >> 1 ^ (value & 1) &* modulus }

    private static func product(_ left: UInt32, _ right: UInt32) -> UInt32 {
        var result: UInt32 = 0
        var rest = left
        var term = right
        while rest != 0 {
            if rest & one != 0 { result ^= term }
            rest <<= 1
            term = timesX(term)
        }
        return result
    }
}
