import ImageModel

/// The header of a dynamic VHD, which says where its block allocation table is.
///
/// Source: "Virtual Hard Disk Image Format Specification" 1.0, "Dynamic Disk Header Format"; all integers are
/// big-endian.
struct VHDHeader: Hashable, Sendable {
    /// `Cookie`, at byte 0.
    static let cookie = Array("cxsparse".utf8)
    /// In bytes.
    static let encodedLength: UInt64 = 1024
    /// `Header Version`: major 1, minor 0.
    static let version: UInt32 = 0x0001_0000
    /// `Data Offset`, unused: all 64 bits set, though the specification prints 32 of them.
    static let noDataOffset = UInt64.max
    /// Where the checksum stands in a header.
    static let checksumOffset = 36

    /// Where the header itself stands.
    var offset: UInt64
    var dataOffset = noDataOffset
    /// `Table Offset`: file offset of the block allocation table.
    var tableOffset: UInt64
    var version = Self.version
    /// `Max Table Entries`: one for each block of the disk.
    var maxTableEntries: UInt64
    /// `Block Size`, in bytes, the bitmap not counted.
    var blockSize: UInt64
    /// Whether the parent's UUID, time stamp, name and locators are all zero, as they must be without a parent.
    var parentIsAbsent = true
    /// Whether the two reserved fields are zero, as they must be.
    var reservedIsZero = true
}

// MARK: - From bytes

extension VHDHeader {
    /// Reads the fields; see `validate` for what they must hold.
    ///
    /// - Throws: `truncated`, or `corrupt` or `unsupported` where cookie, checksum or version are not ours.
    init(at offset: UInt64, source: any ImageSource) throws(ImageError) {
        let range = FileRange(offset, length: Self.encodedLength)
        try source.requireHeld(range)
        let bytes = try source.read(range)
        func damage(_ code: ImageError.Code, _ message: String, _ field: UInt64) -> ImageError {
            ImageError(code, message, path: source.name, offset: FileOffset(offset + field))
        }
        guard bytes.starts(with: Self.cookie) else {
            throw damage(
                .corrupt,
                "the VHD footer places the dynamic header at byte \(offset), where \(hex(bytes.bigEndian(UInt64.self, at: 0))) "
                    + "stands, expected 'cxsparse' (0x6378737061727365)", 0)
        }
        let stored: UInt32 = bytes.bigEndian(at: Self.checksumOffset)
        let computed = vhdChecksum(bytes, checksumAt: Self.checksumOffset)
        guard stored == computed else {
            throw damage(
                .corrupt,
                "VHD dynamic header checksum is \(hex(stored)), but its bytes add up to \(hex(computed)); the header "
                    + "is damaged", 36)
        }
        version = bytes.bigEndian(at: 24)
        guard version >> 16 == Self.version >> 16 else {
            throw damage(
                .unsupported, "VHD dynamic header version is \(hex(version)); Lathe reads \(hex(Self.version))", 24)
        }
        self.offset = offset
        dataOffset = bytes.bigEndian(at: 8)
        tableOffset = bytes.bigEndian(at: 16)
        maxTableEntries = UInt64(bytes.bigEndian(UInt32.self, at: 28))
        blockSize = UInt64(bytes.bigEndian(UInt32.self, at: 32))
        parentIsAbsent = (bytes[40..<60] + bytes[64..<768]).allSatisfy { $0 == 0 }
        reservedIsZero = (bytes[60..<64] + bytes[768...]).allSatisfy { $0 == 0 }
    }

    /// What must hold before any block is looked up.
    ///
    /// - Throws: `corrupt`, `truncated` or `limit-exceeded`.
    func validate(virtualSize: UInt64, source: any ImageSource) throws(ImageError) {
        func refusal(_ code: ImageError.Code, _ message: String, _ field: UInt64) -> ImageError {
            ImageError(code, message, path: source.name, offset: FileOffset(offset + field))
        }
        guard blockSize.nonzeroBitCount == 1, ImageLimits.VHD.blockSize.contains(blockSize) else {
            throw refusal(.corrupt, "VHD block size is \(blockSize), expected a power of two from 4 KiB to 256 MiB", 32)
        }
        guard maxTableEntries <= ImageLimits.VHD.tableEntries else {
            throw refusal(
                .limitExceeded,
                "the VHD's block allocation table has \(maxTableEntries) entries; Lathe reads at most "
                    + "\(ImageLimits.VHD.tableEntries)", 28)
        }
        let needed = virtualSize.dividedRoundingUp(by: blockSize)
        guard maxTableEntries >= needed else {
            throw refusal(
                .corrupt,
                "the VHD's block allocation table has \(maxTableEntries) entries, but \(virtualSize) bytes in blocks "
                    + "of \(blockSize) need \(needed)", 28)
        }
        let table = FileRange(tableOffset, length: maxTableEntries * VHDTables.entryLength)
        try source.requireHeld(table)
        let tables = VHDTables(header: self)
        if tables.metadataOverlapsItself {
            throw refusal(
                .corrupt,
                "the VHD's block allocation table at \(tableOffset), its header at \(offset) and the footer at 0 "
                    + "overlap", 16)
        }
    }
}

// MARK: - To bytes

extension VHDHeader {
    /// The 1024 bytes of the header, checksum included.
    func encoded() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(Self.encodedLength))
        bytes.store(Self.cookie, at: 0)
        bytes.storeBigEndian(dataOffset, at: 8)
        bytes.storeBigEndian(tableOffset, at: 16)
        bytes.storeBigEndian(version, at: 24)
        bytes.storeBigEndian(UInt32(truncatingIfNeeded: maxTableEntries), at: 28)
        bytes.storeBigEndian(UInt32(truncatingIfNeeded: blockSize), at: 32)
        bytes.storeBigEndian(vhdChecksum(bytes, checksumAt: Self.checksumOffset), at: Self.checksumOffset)
        return bytes
    }
}
