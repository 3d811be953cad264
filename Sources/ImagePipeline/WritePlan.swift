import ImageFormats
import ImageModel

/// Content and the file offset where it goes.
struct PlacedPiece: Hashable, Sendable {
    var piece: ContentPiece
    var place: FileOffset
}

/// Cuts pieces of content at unit borders, has each unit placed, and joins what stays together.
struct WritePlan: Sendable {
    private(set) var writes: [PlacedPiece] = []

    private let unitSize: UInt64
    private let contentLength: UInt64
    /// Runs of zeros inside a unit that are shorter than this are written.
    private let writtenBelow: UInt64

    init(unitSize: UInt64, contentLength: UInt64, writtenBelow: UInt64) {
        self.unitSize = unitSize
        self.contentLength = contentLength
        self.writtenBelow = writtenBelow
    }

    mutating func removeAll() { writes.removeAll(keepingCapacity: true) }

    /// Plans the writes of ascending pieces; the units of a chunk are all in one call.
    mutating func place(
        _ pieces: [ContentPiece], with encoder: inout any ImageEncoder, metadata: inout [MetadataSegment]
    ) throws(ImageError) {
        var unit = UInt64.max
        var unitPlace = FileOffset(0)
        /// Where the unit's zeros begin that have not been decided on.
        var position: UInt64 = 0
        for piece in pieces {
            var rest = piece
            while rest.length > 0 {
                if unit != rest.guest / unitSize {
                    if unit != .max { writeZeros(position, upTo: unitEnd(unit), unit, unitPlace) }
                    unit = rest.guest / unitSize
                    unitPlace = try encoder.place(unit: unit, storedLength: unitSize, metadata: &metadata)
                    position = unit * unitSize
                }
                writeZeros(position, upTo: rest.guest, unit, unitPlace)
                var inside = rest
                inside.length = min(rest.length, (unit + 1) * unitSize - rest.guest)
                append(inside, at: unitPlace + (inside.guest - unit * unitSize))
                position = inside.end
                rest.guest = inside.end
                rest.length -= inside.length
                rest.origin = rest.origin.advanced(by: inside.length)
            }
        }
        if unit != .max { writeZeros(position, upTo: unitEnd(unit), unit, unitPlace) }
    }

    private func unitEnd(_ unit: UInt64) -> UInt64 { min((unit + 1) * unitSize, contentLength) }

    /// Writes a run of zeros within a placed unit, where it is too short for a hole.
    private mutating func writeZeros(_ start: UInt64, upTo end: UInt64, _ unit: UInt64, _ place: FileOffset) {
        guard end > start, end - start < writtenBelow else { return }
        let zeros = ContentPiece(guest: start, length: end - start, origin: .zeros)
        append(zeros, at: place + (start - unit * unitSize))
    }

    private mutating func append(_ piece: ContentPiece, at place: FileOffset) {
        if let last = writes.indices.last, writes[last].place + writes[last].piece.length == place,
            writes[last].piece.end == piece.guest,
            writes[last].piece.origin.advanced(by: writes[last].piece.length) == piece.origin
        {
            writes[last].piece.length += piece.length
        } else {
            writes.append(PlacedPiece(piece: piece, place: place))
        }
    }
}
