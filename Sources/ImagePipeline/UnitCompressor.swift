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

    private let compressor: ZlibCompressor
    private let unitSize: UInt64
    /// The unit that is being filled, zeros where no content came.
    private var unit: [UInt8]
    private var unitIndex: UInt64?
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
        unit = [UInt8](repeating: 0, count: Int(unitSize))
    }

    /// Starts a chunk.
    mutating func begin() {
        units.removeAll(keepingCapacity: true)
        stored.removeAll(keepingCapacity: true)
        unitIndex = nil
    }

    /// Takes content in ascending guest offsets.
    mutating func take(_ bytes: Span<UInt8>, at guest: UInt64) {
        var done = 0
        while done < bytes.count {
            let place = guest + UInt64(done)
            if unitIndex != place / unitSize {
                end()
                unitIndex = place / unitSize
                unsafe unit.withUnsafeMutableBytes { _ = unsafe $0.initializeMemory(as: UInt8.self, repeating: 0) }
            }
            let start = Int(place % unitSize)
            let count = min(Int(unitSize) - start, bytes.count - done)
            unsafe bytes.extracting(done..<done + count).withUnsafeBytes { source in
                unsafe unit.withUnsafeMutableBytes { target in
                    unsafe UnsafeMutableRawBufferPointer(rebasing: target[start..<start + count]).copyMemory(from: source)
                }
            }
            done += count
        }
    }

    /// Compresses the unit that is being filled; after the last piece of a chunk.
    mutating func end() {
        guard let index = unitIndex else { return }
        // Out of `self` while it grows: the span of `unit` borrows all of `self`.
        var output = stored
        stored = []
        let start = output.count
        let length = compressor.compress(unit.span, into: &output)
        stored = output
        units.append(Unit(index: index, stored: start..<start + length))
        unitIndex = nil
    }

    mutating func place(with encoder: inout any ImageEncoder, metadata: inout [MetadataSegment]) throws(ImageError) {
        for index in units.indices {
            units[index].place = try encoder.place(
                unit: units[index].index, storedLength: UInt64(units[index].stored.count), metadata: &metadata)
        }
    }

    /// Writes the stored bytes; the content's checksum is not theirs and has been taken before.
    func write(to sink: any ImageSink, _ totals: inout ConversionTotals) throws(ImageError) {
        for unit in units {
            let bytes = stored.span.extracting(unit.stored)
            totals.object.add(CRC64Sum.remainder(bytes), endingAt: unit.place.bytes + UInt64(bytes.count))
            try sink.write(data: bytes, at: unit.place)
        }
    }
}
