import ImageModel

/// What is written of zstd without a compressor: frames that decompressors pass over, and frames of zeros.
///
/// Source: RFC 8878, sections 3.1.1 (frames) and 3.1.2 (skippable frames); integers are little-endian.
enum ZstandardFrame {
    /// `Magic_Number` of a frame.
    static let magic: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD]
    /// `Magic_Number` of a skippable frame, of which the lowest four bits are free.
    static let skippableMagic: [UInt8] = [0x5A, 0x2A, 0x4D, 0x18]
    /// `Block_Maximum_Size`, in bytes.
    private static let blockLength: UInt64 = 128 << 10
    /// Bytes of `Content_Checksum`.
    private static let checksumLength: UInt64 = 4

    /// A frame of no content: `Single_Segment_flag`, a size of 0 in one byte, and a last raw block of 0 bytes.
    static let empty: [UInt8] = magic + [0x20, 0, 1, 0, 0]

    /// The header of a skippable frame and the four letters that tell ours from others, in front of a field.
    static func skippableHeader(tag: StaticString, fieldLength: UInt8) -> [UInt8] {
        skippableMagic + [4 + fieldLength, 0, 0, 0] + Array("\(tag)".utf8)
    }

    /// The lengths that a frame of so much content can have.
    ///
    /// No block is shorter than its header and a byte. What can't be shrunk is stored, with three bytes in front of each block; a
    /// library may ask for more room than that, and a 256th is what libzstd's bound comes to.
    static func lengths(contentLength: UInt64) -> ClosedRange<UInt64> {
        let blocks = contentLength.dividedRoundingUp(by: blockLength)
        let least = UInt64(magic.count) + 2 + 4 * blocks + checksumLength
        return least...least + contentLength + contentLength / 256 + 128
    }

    /// A frame of nothing but zeros: a block of one byte repeated (`RLE_Block`) for each 128 KiB.
    ///
    /// - Parameter count: at least 1, and at most what four bytes hold.
    static func zeros(_ count: UInt64) -> [UInt8] {
        // Frame_Content_Size_flag 2 (four bytes), Single_Segment_flag, Content_Checksum_flag.
        var bytes = magic + [0b1010_0100, 0, 0, 0, 0]
        bytes.storeLittleEndian(UInt32(truncatingIfNeeded: count), at: 5)
        var rest = count
        while rest > 0 {
            let length = min(rest, blockLength)
            rest -= length
            // Last_Block, Block_Type 1, Block_Size.
            let header = (rest == 0 ? 1 : 0) | 1 << 1 | UInt32(length) << 3
            bytes += [0, 8, 16].map { UInt8(truncatingIfNeeded: header >> $0) } + [0]
        }
        var checksum: [UInt8] = [0, 0, 0, 0]
        checksum.storeLittleEndian(UInt32(truncatingIfNeeded: XXHash64.checksum(zeros: count)), at: 0)
        return bytes + checksum
    }
}

/// XXH64 with a seed of 0, of zeros by count: `Content_Checksum` is its lowest four bytes (RFC 8878, section 3.1.1).
///
/// Source: "xxHash fast digest algorithm", version 0.1.1 (github.com/Cyan4973/xxHash, doc/xxhash_spec.md).
enum XXHash64 {
    private static let primes: [UInt64] = [
        0x9E37_79B1_85EB_CA87, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0x85EB_CA77_C2B2_AE63,
        0x27D4_EB2F_1656_67C5,
    ]

    static func checksum(zeros count: UInt64) -> UInt64 {
        let (first, second, third, fourth, fifth) = (primes[0], primes[1], primes[2], primes[3], primes[4])
        func rotated(_ value: UInt64, _ bits: UInt64) -> UInt64 { value << bits | value >> (64 - bits) }
        var hash = fifth
        if count >= 32 {
            // A lane of 8 bytes of zeros adds nothing, and is turned and multiplied.
            var lanes = [first &+ second, second, 0, 0 &- first]
            for _ in 0..<count / 32 { for lane in lanes.indices { lanes[lane] = rotated(lanes[lane], 31) &* first } }
            hash = rotated(lanes[0], 1) &+ rotated(lanes[1], 7) &+ rotated(lanes[2], 12) &+ rotated(lanes[3], 18)
            for lane in lanes {
                hash = (hash ^ rotated(lane &* second, 31) &* first) &* first &+ fourth
            }
        }
        hash = hash &+ count
        for _ in 0..<count % 32 / 8 { hash = rotated(hash, 27) &* first &+ fourth }
        if count % 8 >= 4 { hash = rotated(hash, 23) &* second &+ third }
        for _ in 0..<count % 4 { hash = rotated(hash, 11) &* first }
        hash = (hash ^ hash >> 33) &* second
        hash = (hash ^ hash >> 29) &* third
        return hash ^ hash >> 32
    }
}
