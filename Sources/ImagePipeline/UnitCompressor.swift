import ImageCodecs
import ImageFormats
import ImageModel

/// Compresses the units of one chunk, one after the other, and remembers where the encoder placed each.
struct UnitCompressor: ~Copyable {
    private struct Unit {
        var index: UInt64
        var stored: Range<Int>
        var place = FileOffset(0)
    }

    private var compressor: DeflateCompressor
    private let unitSize: UInt64
    /// Where the last unit ends.
    private let contentEnd: UInt64
    private var units: [Unit] = []
    /// What the chunk's units were compressed to, one behind the other.
    private var stored: [UInt8] = []

    /// - Parameter contentEnd: nil where the last unit is as long as the others.
    /// - Throws: `unsupported` for a method that no encoder asks for yet; `invalid-option` for the level.
    init(_ method: CompressionMethod, level: Int, unitSize: UInt64, contentEnd: UInt64?) throws(ImageError) {
        compressor = try DeflateCompressor(method, level: level)
        self.unitSize = unitSize
        self.contentEnd = contentEnd ?? .max
    }

    /// Compresses every unit that the content's pieces touch; the gaps between them have been filled with zeros.
    mutating func compress(_ content: borrowing ChunkContent) throws(ImageError) {
        units.removeAll(keepingCapacity: true)
        stored.removeAll(keepingCapacity: true)
        for piece in content.pieces {
            let touched = piece.start.bytes / unitSize...(piece.end.bytes - 1) / unitSize
            for index in touched where index != units.last?.index {
                let start = stored.count
                let length = min(unitSize, contentEnd - index * unitSize)
                try content.withBytes(of: GuestRange(index * unitSize, length: length)) {
                    (bytes) throws(ImageError) in
                    _ = compressor.compress(bytes, into: &stored)
                }
                units.append(Unit(index: index, stored: start..<stored.count))
            }
        }
    }

    mutating func place(with encoder: inout any ImageEncoder, metadata: inout [MetadataSegment]) throws(ImageError) {
        for index in units.indices {
            units[index].place = try encoder.place(
                unit: units[index].index, storedLength: UInt64(units[index].stored.count), metadata: &metadata)
        }
    }

    /// Where the stored bytes go, in ascending order.
    var places: [FileRange] {
        units.map { FileRange(start: $0.place, length: UInt64($0.stored.count)) }
    }

    /// Writes the stored bytes and counts them into the object.
    func write(to sink: any ImageSink, _ totals: inout ConversionTotals) throws(ImageError) {
        for unit in units {
            let bytes = stored.span.extracting(unit.stored)
            totals.count(stored: bytes, at: unit.place)
            try sink.write(data: bytes, at: unit.place)
        }
    }
}
