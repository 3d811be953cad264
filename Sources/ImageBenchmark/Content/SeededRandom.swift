/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): the same numbers on every machine, from one seed.
///
/// The standard library's own `random(in:using:)` may draw differently in another version, so it is not used with it.
struct SeededRandom {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    /// A number below a bound, by Lemire's multiplication; 0 for a bound of 0.
    ///
    /// The bias is at most bound / 2⁶⁴.
    mutating func below(_ bound: UInt64) -> UInt64 { next().multipliedFullWidth(by: bound).high }

    mutating func below(_ bound: Int) -> Int { Int(truncatingIfNeeded: below(UInt64(max(0, bound)))) }

    /// Adds so many random bytes, the least significant of each number first.
    mutating func append(_ count: Int, to bytes: inout [UInt8]) {
        let start = bytes.count
        bytes.append(contentsOf: repeatElement(0, count: count))
        unsafe bytes.withUnsafeMutableBytes { buffer in
            var place = start
            while place + 8 <= start + count {
                unsafe buffer.storeBytes(of: next().littleEndian, toByteOffset: place, as: UInt64.self)
                place += 8
            }
            var rest = next()
            while place < start + count {
                unsafe buffer[place] = UInt8(truncatingIfNeeded: rest)
                rest >>= 8
                place += 1
            }
        }
    }
}
