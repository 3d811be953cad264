import ImageModel

/// The footer of a VHD: the last 512 bytes of the file and, in a dynamic disk, the first 512 too.
///
/// Source: "Virtual Hard Disk Image Format Specification" 1.0, "Hard Disk Footer Format"; all integers are big-endian.
struct VHDFooter: Hashable, Sendable {
    /// `Cookie`, at byte 0.
    static let cookie = Array("conectix".utf8)
    /// In bytes.
    static let encodedLength: UInt64 = 512
    /// The footer that versions before Microsoft Virtual PC 2004 left at the end: the last byte, a zero, is not there.
    static let shortLength: UInt64 = 511
    /// `Features`: set in every VHD.
    static let reservedFeature: UInt32 = 2
    /// `Features`: the disk may be deleted on shutdown.
    static let temporaryFeature: UInt32 = 1
    /// `File Format Version`: major 1, minor 0.
    static let version: UInt32 = 0x0001_0000
    /// `Data Offset` of a fixed disk, which has no dynamic header.
    static let noDataOffset = UInt64.max
    /// What we say wrote the file.
    ///
    /// QEMU of any age takes the exact size of such a disk, where it takes the geometry's of
    /// one by an unknown application; so does Azure.
    static let creatorApplication = Array("win ".utf8)
    /// The version that Windows Server 2012 R2 gives: 6.3.
    static let creatorVersion: UInt32 = 0x0006_0003
    /// `Creator Host OS`: Windows.
    static let creatorHostOS = Array("Wi2k".utf8)
    /// The applications whose disks are as large as their geometry says: Virtual PC and QEMU.
    static let applicationsThatMeanGeometry = [Array("vpc ".utf8), Array("qemu".utf8)]
    /// 2000-01-01 UTC in seconds since 1970, from which `Time Stamp` counts.
    static let epoch: UInt64 = 946_684_800
    /// Where the checksum stands in a footer.
    static let checksumOffset = 64

    /// `Disk Type`, at byte 60; all other values are reserved.
    enum DiskType: UInt32, Sendable {
        case fixed = 2
        case dynamic = 3
        case differencing = 4

        var name: String {
            switch self {
            case .fixed: "fixed"
            case .dynamic: "dynamic"
            case .differencing: "differencing"
            }
        }
    }

    var features = reservedFeature
    var version = Self.version
    /// `Data Offset`: file offset of the dynamic header, or `noDataOffset`.
    var dataOffset: UInt64
    /// `Time Stamp`: seconds since 2000-01-01 UTC.
    var timestamp: UInt32
    /// Four characters.
    var creatorApplication = Self.creatorApplication
    var creatorVersion = Self.creatorVersion
    /// Four characters.
    var creatorHostOS = Self.creatorHostOS
    /// `Original Size`: in bytes, when the disk was made.
    var originalSize: UInt64
    /// `Current Size`: in bytes.
    var currentSize: UInt64
    var geometry: VHDGeometry
    var diskType: DiskType
    /// `Unique Id`, 16 bytes.
    var uniqueID: [UInt8]
    /// `Saved State`: 1 where a saved machine goes with the disk.
    var savedState: UInt8 = 0
    /// Byte 85, reserved by the specification; Xen hides a disk with it.
    var hidden: UInt8 = 0
    /// Whether all that comes behind is zero, as it must be.
    var reservedIsZero = true

    /// The virtual size in bytes, in whole sectors, by QEMU's rule.
    ///
    /// Virtual PC makes a disk as large as its geometry, which is less than `current_size`, and old QEMU did as it did;
    /// so for these two the geometry counts, until it can't grow any more. Every other writer means `current_size`.
    var virtualSize: UInt64 {
        let meansGeometry = Self.applicationsThatMeanGeometry.contains(creatorApplication)
        if meansGeometry, geometry != .maximum { return geometry.size }
        return currentSize.roundedDown(toMultipleOf: sectorSize)
    }
}

// MARK: - From bytes

extension VHDFooter {
    /// Reads the fields of a footer that is known to be one, and refuses one that can't be right.
    ///
    /// - Parameters:
    ///   - bytes: 512 of them, with the cookie.
    ///   - offset: where they stand in the file, for messages.
    /// - Throws: `corrupt` for a wrong checksum or type, `unsupported` for another major version.
    init(_ bytes: [UInt8], at offset: FileOffset, path: String) throws(ImageError) {
        func damage(_ code: ImageError.Code, _ message: String, _ field: UInt64) -> ImageError {
            ImageError(code, message, path: path, offset: offset + field)
        }
        let stored: UInt32 = bytes.bigEndian(at: Self.checksumOffset)
        let computed = vhdChecksum(bytes, checksumAt: Self.checksumOffset)
        guard stored == computed else {
            throw damage(
                .corrupt,
                "VHD footer checksum is \(hex(stored)), but its bytes add up to \(hex(computed)); the footer is "
                    + "damaged: run 'lathe check'", 64)
        }
        version = bytes.bigEndian(at: 12)
        guard version >> 16 == Self.version >> 16 else {
            throw damage(.unsupported, "VHD version is \(hex(version)); Lathe reads \(hex(Self.version))", 12)
        }
        let rawType: UInt32 = bytes.bigEndian(at: 60)
        guard let type = DiskType(rawValue: rawType) else {
            throw damage(
                .corrupt, "VHD disk type is \(rawType), expected 2 (fixed), 3 (dynamic) or 4 (differencing)", 60)
        }
        diskType = type
        features = bytes.bigEndian(at: 8)
        dataOffset = bytes.bigEndian(at: 16)
        timestamp = bytes.bigEndian(at: 24)
        creatorApplication = Array(bytes[28..<32])
        creatorVersion = bytes.bigEndian(at: 32)
        creatorHostOS = Array(bytes[36..<40])
        originalSize = bytes.bigEndian(at: 40)
        currentSize = bytes.bigEndian(at: 48)
        geometry = VHDGeometry(encoded: bytes.bigEndian(at: 56))
        uniqueID = Array(bytes[68..<84])
        savedState = bytes[84]
        hidden = bytes[85]
        reservedIsZero = bytes[86...].allSatisfy { $0 == 0 }
    }
}

// MARK: - To bytes

extension VHDFooter {
    /// The 512 bytes of the footer, checksum included.
    func encoded() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(Self.encodedLength))
        bytes.store(Self.cookie, at: 0)
        bytes.storeBigEndian(features, at: 8)
        bytes.storeBigEndian(version, at: 12)
        bytes.storeBigEndian(dataOffset, at: 16)
        bytes.storeBigEndian(timestamp, at: 24)
        bytes.store(creatorApplication, at: 28)
        bytes.storeBigEndian(creatorVersion, at: 32)
        bytes.store(creatorHostOS, at: 36)
        bytes.storeBigEndian(originalSize, at: 40)
        bytes.storeBigEndian(currentSize, at: 48)
        bytes.storeBigEndian(geometry.encoded, at: 56)
        bytes.storeBigEndian(diskType.rawValue, at: 60)
        bytes.store(uniqueID, at: 68)
        bytes[84] = savedState
        bytes[85] = hidden
        bytes.storeBigEndian(vhdChecksum(bytes, checksumAt: Self.checksumOffset), at: Self.checksumOffset)
        return bytes
    }
}

/// The one's complement of the sum of all bytes, those of the checksum itself left out.
func vhdChecksum(_ bytes: [UInt8], checksumAt place: Int) -> UInt32 {
    var sum: UInt32 = 0
    for byte in bytes { sum &+= UInt32(byte) }
    for byte in bytes[place..<place + 4] { sum &-= UInt32(byte) }
    return ~sum
}

// MARK: - In a file

/// The footers of a file: the one at its end and, where there is one, the copy at its start.
///
/// The one at the end is the primary one, and the only one of a fixed disk, whose first sector is the guest's: what
/// looks like a footer there counts only if it is whole and says that the disk is dynamic. Where both count and
/// disagree on what the disk holds, one of them is likely to be guest data, and nobody can say which: that is refused.
struct VHDFooterCopies: Sendable {
    /// What one of the two places holds.
    struct Copy: Sendable {
        var offset: FileOffset
        /// 512 bytes; the short footer is filled up with a zero.
        var bytes: [UInt8]
        var isShort = false
        /// The footer, or what is wrong with it.
        var footer: Result<VHDFooter, ImageError>

        /// nil where the footer can't be read.
        var valid: VHDFooter? {
            switch footer {
            case .success(let footer): footer
            case .failure: nil
            }
        }
    }

    /// At byte 0; nil where nothing there looks like a footer, or it is the same bytes as `tail`.
    var head: Copy?
    /// At the end; nil where nothing there looks like a footer.
    var tail: Copy?
    private let path: String
    private let fileLength: UInt64

    /// Reads both places.
    ///
    /// - Throws: what the source throws; a place without a footer is no error.
    init(source: any ImageSource) throws(ImageError) {
        path = source.name
        fileLength = source.length
        let isShort = fileLength % sectorSize == VHDFooter.shortLength
        let tailLength = isShort ? VHDFooter.shortLength : VHDFooter.encodedLength
        guard fileLength >= tailLength else { return }
        tail = try Self.copy(at: FileOffset(fileLength - tailLength), length: tailLength, in: source)
        guard fileLength > VHDFooter.encodedLength else { return }
        head = try Self.copy(at: FileOffset(0), length: VHDFooter.encodedLength, in: source)
        if head?.valid?.diskType == .fixed { head = nil }
    }

    private static func copy(at offset: FileOffset, length: UInt64, in source: any ImageSource) throws(ImageError)
        -> Copy?
    {
        var bytes = try source.read(FileRange(start: offset, length: length))
        guard bytes.starts(with: VHDFooter.cookie) else { return nil }
        let isShort = length < VHDFooter.encodedLength
        if isShort { bytes.append(0) }
        do throws(ImageError) {
            let footer = try VHDFooter(bytes, at: offset, path: source.name)
            return Copy(offset: offset, bytes: bytes, isShort: isShort, footer: .success(footer))
        } catch {
            return Copy(offset: offset, bytes: bytes, isShort: isShort, footer: .failure(error))
        }
    }

    /// The footer that counts.
    ///
    /// - Throws: `corrupt` or `unsupported` where there is none, or where there are two that contradict each other.
    func footer() throws(ImageError) -> VHDFooter {
        if let primary = tail?.valid, let copy = head?.valid {
            try requireAgreement(of: primary, and: copy)
            return primary
        }
        if let footer = tail?.valid ?? head?.valid { return footer }
        if case .failure(let error)? = (tail ?? head)?.footer { throw error }
        throw ImageError(
            .corrupt,
            "no VHD footer in the last \(VHDFooter.encodedLength) bytes and none at byte 0, expected 'conectix' in "
                + "one of the two places; the file is cut short or is not a VHD", path: path,
            offset: FileOffset(fileLength - min(fileLength, VHDFooter.encodedLength)))
    }

    private func requireAgreement(of primary: VHDFooter, and copy: VHDFooter) throws(ImageError) {
        let fields: [(String, String, String)] = [
            ("disk type", primary.diskType.name, copy.diskType.name),
            ("virtual size", "\(primary.virtualSize)", "\(copy.virtualSize)"),
            ("dynamic header's offset", "\(primary.dataOffset)", "\(copy.dataOffset)"),
        ]
        guard let (field, inPrimary, inCopy) = fields.first(where: { $0.1 != $0.2 }) else { return }
        throw ImageError(
            .corrupt,
            "the VHD has two footers that disagree: the \(field) is \(inPrimary) in the one at the end and \(inCopy) "
                + "in the one at byte 0; either may be what a guest wrote, so neither is believed: restore the right "
                + "one",
            path: path, offset: tail?.offset)
    }

    /// Where the footer at the end begins, or the file ends where there is none: no data may reach past it.
    var dataLimit: FileOffset { tail?.valid == nil ? FileOffset(fileLength) : tail?.offset ?? FileOffset(fileLength) }
}
