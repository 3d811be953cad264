import ImageModel

/// The cylinders, heads and sectors per track that a VHD footer claims.
///
/// Source: "Virtual Hard Disk Image Format Specification" 1.0, "Disk Geometry" and "Appendix: CHS Calculation".
struct VHDGeometry: Hashable, Sendable {
    var cylinders: UInt16
    var heads: UInt8
    var sectorsPerTrack: UInt8

    /// The most that the three fields are used for; a disk that claims it has the size that `current_size` says.
    static let maximum = VHDGeometry(cylinders: 65535, heads: 16, sectorsPerTrack: 255)

    init(cylinders: UInt16, heads: UInt8, sectorsPerTrack: UInt8) {
        self.cylinders = cylinders
        self.heads = heads
        self.sectorsPerTrack = sectorsPerTrack
    }

    /// The geometry of a disk of `size` bytes by the specification's algorithm, which rounds down.
    init(forSize size: UInt64) {
        let sectors = min(size / sectorSize, Self.maximum.sectorCount)
        var sectorsPerTrack: UInt64 = 255
        var heads: UInt64 = 16
        if sectors < 65535 * 16 * 63 {
            // ATA's and the BIOS's limits, met by denser and denser tracks: cylinders stay below 1024 while they can.
            sectorsPerTrack = 17
            heads = max(4, (sectors / sectorsPerTrack).dividedRoundingUp(by: 1024))
            if heads > 16 || sectors / sectorsPerTrack >= heads * 1024 {
                sectorsPerTrack = 31
                heads = 16
            }
            if sectors / sectorsPerTrack >= heads * 1024 {
                sectorsPerTrack = 63
                heads = 16
            }
        }
        cylinders = UInt16(clamping: sectors / sectorsPerTrack / heads)
        self.heads = UInt8(clamping: heads)
        self.sectorsPerTrack = UInt8(clamping: sectorsPerTrack)
    }

    /// How many sectors the three fields address.
    var sectorCount: UInt64 { UInt64(cylinders) * UInt64(heads) * UInt64(sectorsPerTrack) }

    /// In bytes.
    var size: UInt64 { sectorCount * sectorSize }

    /// The field as it is stored, in which cylinders weigh most; it is how geometries are compared.
    var encoded: UInt32 { UInt32(cylinders) << 16 | UInt32(heads) << 8 | UInt32(sectorsPerTrack) }

    init(encoded: UInt32) {
        cylinders = UInt16(truncatingIfNeeded: encoded >> 16)
        heads = UInt8(truncatingIfNeeded: encoded >> 8)
        sectorsPerTrack = UInt8(truncatingIfNeeded: encoded)
    }
}

extension VHDGeometry: CustomStringConvertible {
    /// `cylinders/heads/sectors`.
    var description: String { "\(cylinders)/\(heads)/\(sectorsPerTrack)" }
}
