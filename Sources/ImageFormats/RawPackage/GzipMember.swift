import ImageModel

/// What is written of gzip without a compressor: headers that say how long a member is, so that who reads it finds the next one
/// without inflating, and whole members.
///
/// Source: RFC 1952, section 2.3: ten bytes, then with FEXTRA the length of the extra field and its subfields, each two
/// letters, a length and data. Ours has one subfield, and nothing else but what never changes.
enum GzipMember {
    /// ID1, ID2.
    static let magic: [UInt8] = [0x1F, 0x8B]
    /// CRC32 and ISIZE, behind the deflate stream.
    static let trailerLength: UInt64 = 8

    /// The header up to the data of its one subfield: CM 8 (deflate), FLG 4 (FEXTRA), no MTIME, no XFL, OS 255 (unknown); XLEN,
    /// SI1 and SI2, LEN.
    ///
    /// - Parameters:
    ///   - tag: the two letters of the subfield.
    ///   - fieldLength: bytes of its data.
    static func fixedFields(tag: StaticString, fieldLength: UInt8) -> [UInt8] {
        magic + [8, 4, 0, 0, 0, 0, 0, 255, 4 + fieldLength, 0] + Array("\(tag)".utf8) + [fieldLength, 0]
    }

    /// The lengths that the deflate stream and the trailer of so much content can have.
    ///
    /// A byte of deflate stands for 1032 bytes at most (258 in two bits). What it can't shrink it stores, with five bytes in
    /// front of each block; a compressor whose blocks are short may come to more than that, and a 512th is room enough.
    static func lengths(contentLength: UInt64) -> ClosedRange<UInt64> {
        trailerLength + contentLength / 1032...trailerLength + contentLength + contentLength / 512 + 64
    }

    /// Deflate stream and trailer of a content that is stored as it is (RFC 1951, section 3.2.4); at most 65535 bytes.
    static func storing(_ content: [UInt8]) -> [UInt8] {
        let count = UInt16(content.count)
        var block = [UInt8](repeating: 1, count: 5)
        block.storeLittleEndian(count, at: 1)
        block.storeLittleEndian(~count, at: 3)
        return block + content + trailer(CRC32.checksum(content), contentLength: UInt64(content.count))
    }

    /// Deflate stream and trailer of nothing but zeros, in a 1032nd of their count and some forty bytes.
    static func zeros(_ count: UInt64) -> [UInt8] {
        DeflatedZeros.stream(count) + trailer(CRC32.checksum(zeros: count), contentLength: count)
    }

    private static func trailer(_ checksum: UInt32, contentLength: UInt64) -> [UInt8] {
        var trailer = [UInt8](repeating: 0, count: Int(trailerLength))
        trailer.storeLittleEndian(checksum, at: 0)
        trailer.storeLittleEndian(UInt32(truncatingIfNeeded: contentLength), at: 4)
        return trailer
    }
}

/// Zeros as a deflate stream of one block with codes of its own (RFC 1951, section 3.2.7): a zero, then copies of 258 bytes
/// in two bits each, then the zeros that are left over.
private struct DeflatedZeros {
    /// The longest copy.
    private static let copyLength: UInt64 = 258

    private var bytes: [UInt8] = []
    private var pending: UInt64 = 0
    private var pendingCount: UInt64 = 0

    static func stream(_ count: UInt64) -> [UInt8] {
        var writer = DeflatedZeros()
        writer.putCodes()
        if count > 0 {
            writer.putZero()
            // A copy of 258 bytes is code 0, and so is its distance of one byte.
            for _ in 0..<(count - 1) / copyLength { writer.put(0, bits: 2) }
            for _ in 0..<(count - 1) % copyLength { writer.putZero() }
        }
        // End of block: code 11.
        writer.put(0b11, bits: 2)
        writer.put(0, bits: (8 - writer.pendingCount) % 8)
        return writer.bytes
    }

    /// Adds bits, the lowest first, as numbers are stored.
    private mutating func put(_ value: UInt64, bits: UInt64) {
        pending |= value << pendingCount
        pendingCount += bits
        while pendingCount >= 8 {
            bytes.append(UInt8(truncatingIfNeeded: pending))
            pending >>= 8
            pendingCount -= 8
        }
    }

    /// The literal 0 is code 10, and codes are stored with their first bit first.
    private mutating func putZero() { put(0b01, bits: 2) }

    /// The block's head: which symbol has a code of how many bits.
    ///
    /// Literal 0 and the end of block (256) have two bits, the copy of 258 (285) and the distance of 1 (0) have one. The
    /// lengths are themselves coded: 18 (a run of 11 to 138 without a code) as 0, a length of 1 as 10, of 2 as 11.
    private mutating func putCodes() {
        // BFINAL, then BTYPE 2; HLIT: 286 literal and length codes; HDIST: 1; HCLEN: 18.
        put(1, bits: 1)
        put(2, bits: 2)
        put(286 - 257, bits: 5)
        put(1 - 1, bits: 5)
        put(18 - 4, bits: 4)
        // In the order 16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1.
        for length: UInt64 in [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2] { put(length, bits: 3) }
        putLengthOfTwo()
        putUnused(138)
        putUnused(117)
        putLengthOfTwo()
        putUnused(28)
        putLengthOfOne()
        putLengthOfOne()
    }

    private mutating func putLengthOfOne() { put(0b01, bits: 2) }
    private mutating func putLengthOfTwo() { put(0b11, bits: 2) }

    private mutating func putUnused(_ count: UInt64) {
        put(0, bits: 1)
        put(count - 11, bits: 7)
    }
}
