import ImageModel
public import LatheTestSupport

/// An image file in a few bytes: how long it is, and what stands where in it; all else is zero.
///
/// So a fuzzer can say "an entry at 5 GiB" without five gibibytes, and move a table by changing a number.
///
/// As bytes: flags (1), length of the file (5, little-endian), then for each patch its offset (5), its length (2) and its bytes.
/// Any bytes are an input: what is missing at the end is taken for zeros or left out.
public struct FuzzInput: Hashable, Sendable {
    /// Bytes that go to a place of the file.
    public struct Patch: Hashable, Sendable {
        public var offset: UInt64
        public var bytes: [UInt8]
    }

    /// What the name of another file leads to.
    public enum Reference: UInt8, CaseIterable, Sendable {
        case nothing, theImageItself, aRawDisk, anEmptyFile
    }

    /// In bytes; a longer one is cut there, since a table may be as long as the file, and each of its entries takes its time.
    public static let longestFile: UInt64 = 128 << 20
    /// 16 bits.
    static let longestPatch = 0xFFFF

    public var reference = Reference.nothing
    /// Whether the checksums of a vhd are made right when all patches are in.
    public var mendsChecksums = false
    public var length: UInt64
    public var patches: [Patch] = []

    /// What is not zero in a file, in patches that are as long as can be; gaps of fewer than 16 zeros do not end one.
    ///
    /// - Parameter longest: the bytes that all patches may have together; what comes behind is left out.
    public init(_ file: [UInt8], longest: Int = .max) {
        length = UInt64(file.count)
        var left = longest
        var place = file.startIndex
        while left > 0, let start = file[place...].firstIndex(where: { $0 != 0 }) {
            var end = start + 1
            var next = end
            while next < file.count, next - end < 16, next - start < min(Self.longestPatch, left) {
                if file[next] != 0 { end = next + 1 }
                next += 1
            }
            patches.append(Patch(offset: UInt64(start), bytes: Array(file[start..<end])))
            left -= end - start
            place = end
        }
    }

    public init(decoding bytes: [UInt8]) {
        func number(_ start: Int, _ width: Int) -> UInt64 {
            (0..<width).reduce(0) { $0 | (start + $1 < bytes.count ? UInt64(bytes[start + $1]) << UInt64(8 * $1) : 0) }
        }
        let flags = UInt8(truncatingIfNeeded: number(0, 1))
        mendsChecksums = flags & 1 != 0
        reference = Reference(rawValue: flags >> 1 & 3) ?? .nothing
        length = number(1, 5)
        var place = 6
        while place + 7 < bytes.count {
            let count = Int(number(place + 5, 2))
            let content = bytes[(place + 7)...].prefix(count)
            patches.append(Patch(offset: number(place, 5), bytes: Array(content)))
            place += 7 + content.count
        }
    }

    public var encoded: [UInt8] {
        func number(_ value: UInt64, _ width: Int) -> [UInt8] {
            (0..<width).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
        }
        var bytes = [(mendsChecksums ? 1 : 0) | reference.rawValue << 1] + number(length, 5)
        for patch in patches {
            bytes += number(patch.offset, 5) + number(UInt64(patch.bytes.count), 2) + patch.bytes
        }
        return bytes
    }

    /// The file itself.
    public var file: SparseMemory { file(upTo: Self.longestFile) }

    /// The same, cut where it is longer than a number of bytes.
    public func file(upTo longest: UInt64) -> SparseMemory {
        let length = min(length, longest)
        var memory = SparseMemory(name: "input")
        for patch in patches where patch.offset < length {
            memory.write(Array(patch.bytes.prefix(Int(min(length - patch.offset, 1 << 32)))), at: patch.offset)
        }
        memory.truncate(to: length)
        if mendsChecksums { memory.mendVHDChecksums() }
        return memory
    }
}

extension SparseMemory {
    /// Makes the checksums of a vhd's structures right, so that damage gets past them.
    mutating func mendVHDChecksums() {
        guard length >= 2048 else { return }
        for (start, length, field, cookie) in [
            (0, 512, 64, "conectix"), (512, 1024, 36, "cxsparse"), (length - 512, 512, 64, "conectix"),
        ] as [(UInt64, UInt64, Int, String)] {
            var bytes = self[start..<start + length]
            guard bytes.starts(with: Array(cookie.utf8)) else { continue }
            bytes.storeBigEndian(UInt32(0), at: field)
            bytes.storeBigEndian(~bytes.reduce(UInt32(0)) { $0 &+ UInt32($1) }, at: field)
            write(bytes, at: start)
        }
    }
}
