import ImageModel

/// The header of the one file in the archive, as it stands in front of it.
///
/// Source: POSIX.1-2017, `pax`, "ustar Interchange Format"; for numbers that eleven octal digits do not hold, GNU tar's
/// manual, "Basic Tar Format": the top bit of the field, then the number in base 256. GNU tar, bsdtar, busybox and Python's
/// tarfile read both; a pax header, the other way to say a large size, busybox passes over.
struct TarHeader: Hashable, Sendable {
    /// A header, and what files and the archive's end are filled up to.
    static let blockSize: UInt64 = 512
    /// Two blocks of zeros end an archive.
    static let endLength: UInt64 = 2 * blockSize
    /// 20 blocks: archives are written in whole ones.
    static let recordSize: UInt64 = 20 * blockSize
    /// The longest name that the field holds, in bytes.
    static let longestName = 100

    /// Where `magic` stands in a header.
    static let magicOffset = 257

    /// Where the fields start, and how long they are.
    private enum Field {
        static let name = 0..<100
        static let mode = 100..<108
        static let userID = 108..<116
        static let groupID = 116..<124
        static let size = 124..<136
        static let modificationTime = 136..<148
        static let checksum = 148..<156
        static let type = 156
        static let magic = magicOffset
        static let deviceMajor = 329..<337
        static let deviceMinor = 337..<345
    }

    /// `magic` and `version` of POSIX, and of GNU tar, whose extension the numbers in base 256 are.
    private static let standardMagic = Array("ustar\u{0}00".utf8)
    private static let gnuMagic = Array("ustar  \u{0}".utf8)

    /// As `PathText` has it.
    var name: String
    /// Bytes of the file.
    var size: UInt64
    /// In seconds since 1970-01-01 UTC.
    var timestamp: UInt64

    init(name: String, size: UInt64, timestamp: UInt64) {
        self.name = name
        self.size = size
        self.timestamp = timestamp
    }

    /// Reads a header.
    ///
    /// - Returns: nil for one that `encoded` would not make: another kind of file, another owner, a bad checksum.
    init?(_ bytes: [UInt8]) {
        guard bytes.count == Int(Self.blockSize), let size = Self.number(bytes[Field.size]),
            let timestamp = Self.number(bytes[Field.modificationTime]),
            case let name = PathText.text(of: bytes[Field.name].prefix { $0 != 0 }), Self.isName(name)
        else { return nil }
        self.init(name: name, size: size, timestamp: timestamp)
        guard encoded() == bytes else { return nil }
    }

    func encoded() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(Self.blockSize))
        bytes.store(PathText.bytes(of: name), at: Field.name.lowerBound)
        Self.store(0o644, in: Field.mode, of: &bytes)
        Self.store(0, in: Field.userID, of: &bytes)
        Self.store(0, in: Field.groupID, of: &bytes)
        Self.store(size, in: Field.size, of: &bytes)
        Self.store(timestamp, in: Field.modificationTime, of: &bytes)
        // A regular file.
        bytes[Field.type] = UInt8(ascii: "0")
        let isStandard = [size, timestamp].allSatisfy { $0 <= Self.largestOctal(Field.size) }
        bytes.store(isStandard ? Self.standardMagic : Self.gnuMagic, at: Field.magic)
        Self.store(0, in: Field.deviceMajor, of: &bytes)
        Self.store(0, in: Field.deviceMinor, of: &bytes)
        // The sum of all bytes, with blanks for the sum itself; six digits, a NUL and a blank.
        bytes.store(repeatElement(UInt8(ascii: " "), count: Field.checksum.count), at: Field.checksum.lowerBound)
        let sum = bytes.reduce(UInt64(0)) { $0 + UInt64($1) }
        Self.store(sum, in: Field.checksum.dropLast(), of: &bytes)
        return bytes
    }

    /// Whether a file may be called so: nothing that leads out of the directory where the archive is unpacked.
    static func isName(_ name: String) -> Bool {
        !["", ".", ".."].contains(name) && PathText.bytes(of: name).count <= longestName
            && name.unicodeScalars.allSatisfy { $0 != "/" && $0 != "\\" && $0.properties.generalCategory != .control }
    }

    /// What follows the file's last byte: zeros up to a block, the end, and zeros up to a record.
    static func tailLength(fileSize: UInt64) -> UInt64 {
        // In remainders, so that no size overflows.
        let used = (blockSize + fileSize % recordSize) % recordSize
        let padding = (blockSize - used % blockSize) % blockSize
        let end = (used + padding + endLength) % recordSize
        return padding + endLength + (recordSize - end) % recordSize
    }

    /// The name of the first file of any program's archive, of which this is the first block.
    ///
    /// - Returns: nil where the magic, that of POSIX or of GNU tar, or the checksum is another one: a disk can't have it by chance.
    static func firstName(in block: [UInt8]) -> ArraySlice<UInt8>? {
        guard block.count == Int(blockSize), block.dropFirst(magicOffset).starts(with: Array("ustar".utf8)) else {
            return nil
        }
        var sum: UInt64 = 0
        for (index, byte) in block.enumerated() {
            sum += UInt64(Field.checksum.contains(index) ? UInt8(ascii: " ") : byte)
        }
        // Programs end the sum by a NUL, a blank or both, and some begin it by blanks.
        let digits = block[Field.checksum].filter { (UInt8(ascii: "0")...UInt8(ascii: "7")).contains($0) }
        guard !digits.isEmpty, digits.reduce(0, { $0 << 3 | UInt64($1 & 7) }) == sum else { return nil }
        return block[Field.name].prefix { $0 != 0 }
    }

    // MARK: - Numbers

    private static func largestOctal(_ field: Range<Int>) -> UInt64 { 1 << (3 * (UInt64(field.count) - 1)) - 1 }

    /// Octal digits and a NUL, or where these do not hold it the top bit and the number, most significant byte first.
    private static func store(_ value: UInt64, in field: Range<Int>, of bytes: inout [UInt8]) {
        guard value > largestOctal(field) else {
            var rest = value
            for index in field.dropLast().reversed() {
                bytes[index] = UInt8(ascii: "0") + UInt8(rest & 7)
                rest >>= 3
            }
            bytes[field.upperBound - 1] = 0
            return
        }
        bytes[field.lowerBound] = 0x80
        bytes.storeBigEndian(value, at: field.upperBound - 8)
    }

    private static func number(_ field: ArraySlice<UInt8>) -> UInt64? {
        if field.first == 0x80 { return Array(field.suffix(8)).bigEndian(at: 0) }
        var value: UInt64 = 0
        for byte in field.dropLast() {
            guard (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(byte) else { return nil }
            value = value << 3 | UInt64(byte & 7)
        }
        return value
    }
}
