import ImageFormats
import ImageModel

/// Guest bytes of a chunk and the file offset where they go.
struct PlacedRange: Hashable, Sendable {
    var guest: GuestRange
    var place: FileOffset
}

/// Cuts pieces of content at unit borders, has each unit placed, and joins what stays together.
struct WritePlan: Sendable {
    private(set) var writes: [PlacedRange] = []

    private let unitSize: UInt64
    /// Runs of zeros inside a unit that are shorter than this are written.
    private let writtenBelow: UInt64

    init(unitSize: UInt64, writtenBelow: UInt64) {
        self.unitSize = unitSize
        self.writtenBelow = writtenBelow
    }

    mutating func removeAll() { writes.removeAll(keepingCapacity: true) }

    /// Plans the writes of ascending pieces; the units of a chunk are all in one call.
    ///
    /// - Parameter contentLength: where the guest's bytes end; no zeros are written behind that.
    mutating func place(
        _ pieces: [GuestRange], upTo contentLength: UInt64, with encoder: inout any ImageEncoder,
        metadata: inout [MetadataSegment]
    ) throws(ImageError) {
        var unit = UInt64.max
        var unitPlace = FileOffset(0)
        /// Where the unit's zeros begin that have not been decided on.
        var position: UInt64 = 0
        for piece in pieces {
            var start = piece.start.bytes
            while start < piece.end.bytes {
                if unit != start / unitSize {
                    if unit != .max { writeZeros(position, upTo: unitEnd(unit, contentLength), unit, unitPlace) }
                    unit = start / unitSize
                    unitPlace = try encoder.place(unit: unit, storedLength: unitSize, metadata: &metadata)
                    position = unit * unitSize
                }
                writeZeros(position, upTo: start, unit, unitPlace)
                let end = min(piece.end.bytes, (unit + 1) * unitSize)
                append(GuestRange(start, length: end - start), at: unitPlace + (start - unit * unitSize))
                position = end
                start = end
            }
        }
        if unit != .max { writeZeros(position, upTo: unitEnd(unit, contentLength), unit, unitPlace) }
    }

    private func unitEnd(_ unit: UInt64, _ contentLength: UInt64) -> UInt64 {
        min((unit + 1) * unitSize, contentLength)
    }

    /// Writes a run of zeros within a placed unit, where it is too short for a hole.
    private mutating func writeZeros(_ start: UInt64, upTo end: UInt64, _ unit: UInt64, _ place: FileOffset) {
        guard end > start, end - start < writtenBelow else { return }
        append(GuestRange(start, length: end - start), at: place + (start - unit * unitSize))
    }

    private mutating func append(_ guest: GuestRange, at place: FileOffset) {
        if let last = writes.indices.last, writes[last].guest.end == guest.start,
            writes[last].place + writes[last].guest.length == place
        {
            writes[last].guest.length += guest.length
        } else {
            writes.append(PlacedRange(guest: guest, place: place))
        }
    }
}
