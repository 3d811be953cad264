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

    private var compressor: ZlibCompressor
    private let unitSize: UInt64
    private var units: [Unit] = []
    /// What the chunk's units were compressed to, one behind the other.
    private var stored: [UInt8] = []

    /// - Throws: `unsupported` for a method that no encoder asks for yet; `invalid-option` for the level.
    init(_ method: CompressionMethod, level: Int, unitSize: UInt64) throws(ImageError) {
        guard method == .zlib else {
            throw ImageError(.unsupported, "units are compressed with zlib; \(method.rawValue) is only read")
        }
        compressor = try ZlibCompressor(level: level)
        self.unitSize = unitSize
    }

    /// Compresses every unit that the content's pieces touch; the gaps between them have been filled with zeros.
    mutating func compress(_ content: borrowing ChunkContent) throws(ImageError) {
        units.removeAll(keepingCapacity: true)
        stored.removeAll(keepingCapacity: true)
        for piece in content.pieces {
            let touched = piece.start.bytes / unitSize...(piece.end.bytes - 1) / unitSize
            for index in touched where index != units.last?.index {
                let start = stored.count
                try content.withBytes(of: GuestRange(index * unitSize, length: unitSize)) {
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

    /// Writes the stored bytes and counts them into the object.
    func write(to sink: any ImageSink, _ totals: inout ConversionTotals) throws(ImageError) {
        for unit in units {
            let bytes = stored.span.extracting(unit.stored)
            totals.count(stored: bytes, at: unit.place)
            try sink.write(data: bytes, at: unit.place)
        }
    }
}
