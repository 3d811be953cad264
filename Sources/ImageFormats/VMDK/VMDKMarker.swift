import ImageModel

/// What stands in front of grains and tables in a stream, so that it can be read from its start to its end.
///
/// Source: VMware Virtual Disk Format 5.0, `Marker`: a sector number or count, the size of compressed data and, where that
/// size is 0, a type.
struct VMDKMarker: Hashable, Sendable {
    /// `MARKER_EOS`, `MARKER_GT`, `MARKER_GD`, `MARKER_FOOTER`.
    enum Kind: UInt32, Sendable {
        case endOfStream = 0
        case grainTable = 1
        case grainDirectory = 2
        case footer = 3
    }

    /// Bytes of a grain's marker; its data follows at once.
    static let grainMarkerLength: UInt64 = 12
    /// Bytes of a metadata marker's fields; zeros follow up to the end of the sector.
    static let metadataMarkerLength: UInt64 = 16
    /// By how much a compressed grain may be longer than the grain.
    ///
    /// Deflate adds some bytes to 64 KiB that it can't shrink; more than this is damage.
    static let maximumExpansion: UInt64 = 64 << 10

    /// A grain's marker: the guest sector of the grain and the bytes of its data.
    static func grain(at offset: FileOffset, guestSector: UInt64, size: UInt64) -> MetadataSegment {
        MetadataSegment(
            at: offset, littleEndian: guestSector, size & 0xFFFF_FFFF, prefix: UInt8(grainMarkerLength))
    }

    /// The fields of a metadata marker: how many sectors follow, and what they are.
    static func metadata(_ kind: Kind, sectors: UInt64) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(metadataMarkerLength))
        bytes.storeLittleEndian(sectors, at: 0)
        bytes.storeLittleEndian(kind.rawValue, at: 12)
        return bytes
    }

    /// Reads a grain's marker.
    ///
    /// - Parameters:
    ///   - sector: the file sector that the grain table names.
    ///   - guestSector: where the grain belongs.
    ///   - grainLength: bytes of a grain.
    /// - Returns: where the grain's zlib stream is.
    /// - Throws: `corrupt` where the marker is another grain's or its size can't be; `truncated`.
    static func grainData(
        atSector sector: UInt64, guestSector: UInt64, grainLength: UInt64, in source: any ImageSource
    ) throws(ImageError) -> FileRange {
        let start = FileOffset(sector * sectorSize)
        let bytes = try source.read(FileRange(start: start, length: grainMarkerLength))
        let named: UInt64 = bytes.littleEndian(at: 0)
        guard named == guestSector else {
            throw ImageError(
                .corrupt,
                "the marker of a grain at file sector \(sector) names guest sector \(named), expected "
                    + "\(guestSector); run 'lathe check'", path: source.name, offset: start)
        }
        let size = UInt64(bytes.littleEndian(UInt32.self, at: 8))
        guard size > 0, size <= grainLength + maximumExpansion else {
            throw ImageError(
                .corrupt,
                "the marker of a grain at file sector \(sector) says \(size) bytes, expected 1 to "
                    + "\(grainLength + maximumExpansion); run 'lathe check'", path: source.name, offset: start + 8)
        }
        let data = FileRange(start: start + grainMarkerLength, length: size)
        try source.requireHeld(data)
        return data
    }
}
