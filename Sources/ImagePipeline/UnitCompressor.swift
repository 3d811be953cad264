import ImageCodecs
import ImageFormats
import ImageModel

/// Compresses the units of one chunk, one after the other, and remembers where the encoder placed each.
struct UnitCompressor: ~Copyable {
    private struct Unit {
        var content: GuestRange
        /// Where in the chunk's stored bytes it is; nil where it is kept as it is.
        var stored: Range<Int>?
    }

    /// Bytes that go to one place in one go: of units that lie one behind the other, or of one that is kept as it is.
    private struct Write {
        var place: FileRange
        /// Of the chunk's stored bytes.
        var stored: Range<Int>?
        var content: GuestRange
    }

    private var compressor: Compressor
    private let unitSize: UInt64
    private var units: [Unit] = []
    private var writes: [Write] = []
    /// What the chunk's units were compressed to, one behind the other.
    private var stored: [UInt8] = []

    /// - Throws: `unsupported` for a method that the library does not write; `invalid-option` for the level.
    init(_ compression: UnitCompression, unitSize: UInt64) throws(ImageError) {
        compressor = try Compressor(compression)
        self.unitSize = unitSize
    }

    /// Compresses every unit that the content's pieces touch; the gaps between them have been filled with zeros.
    ///
    /// - Parameter contentEnd: where the last unit of the disk ends, in guest bytes; nil where it is as long as the others.
    mutating func compress(_ content: borrowing ChunkContent, upTo contentEnd: UInt64?) throws(ImageError) {
        units.removeAll(keepingCapacity: true)
        stored.removeAll(keepingCapacity: true)
        var next: UInt64 = 0
        for piece in content.pieces {
            let last = (piece.end.bytes - 1) / unitSize
            next = max(next, piece.start.bytes / unitSize)
            while next <= last {
                let start = next * unitSize
                let range = GuestRange(start, length: min(unitSize, (contentEnd ?? .max) - start))
                let first = stored.count
                let count = try content.withBytes(of: range) { (bytes) throws(ImageError) in
                    try compressor.compress(bytes, into: &stored)
                }
                units.append(Unit(content: range, stored: count == nil ? nil : first..<stored.count))
                next += 1
            }
        }
    }

    mutating func place(with encoder: inout any ImageEncoder, metadata: inout [MetadataSegment]) throws(ImageError) {
        writes.removeAll(keepingCapacity: true)
        for unit in units {
            let length = unit.stored.map { UInt64($0.count) } ?? unitSize
            let place = try encoder.place(
                unit: unit.content.start.bytes / unitSize, storedLength: length, metadata: &metadata)
            if let stored = unit.stored, let last = writes.indices.last, let before = writes[last].stored,
                before.upperBound == stored.lowerBound, writes[last].place.end == place
            {
                writes[last].stored = before.lowerBound..<stored.upperBound
                writes[last].place.length += length
            } else {
                writes.append(
                    Write(
                        place: FileRange(start: place, length: length), stored: unit.stored, content: unit.content))
            }
        }
    }

    /// Where bytes go, in the order of the disk.
    var places: [FileRange] { writes.map(\.place) }

    /// Writes the chunk's bytes, each behind the metadata that stand in front of it, and counts them into the object.
    func write(
        _ content: borrowing ChunkContent, to sink: any ImageSink, _ totals: inout ConversionTotals,
        _ segments: inout PendingSegments
    ) throws(ImageError) {
        for write in writes {
            try segments.write(before: write.place.start, to: sink, &totals)
            if let range = write.stored {
                let bytes = stored.span.extracting(range)
                totals.count(stored: bytes, at: write.place.start)
                try sink.write(data: bytes, at: write.place.start)
            } else {
                // A unit that can't be compressed has no run of zeros that would be worth a hole.
                try content.withBytes(of: write.content) { (bytes) throws(ImageError) in
                    totals.count(stored: bytes, at: write.place.start)
                    try sink.write(data: bytes, at: write.place.start)
                }
            }
        }
    }
}
