import Benchmark
import ImageFormats
import ImageModel

/// Asking the tables of an image where the guest's bytes are.
func registerReaders() {
    for layout in layouts where layout.name != "vmdk streamOptimized" {
        var image: TableMemory?
        benchmark("mapping 10,000 scattered units, \(layout.name)") {
            let source = image ?? TableMemory(layout.format, layout.options, units: 10_000)
            image = source
            do {
                let reader = try FormatCatalog.reader(for: layout.format, source: source)
                var position: UInt64 = 0
                var count = 0
                while position < reader.virtualSize {
                    let range = GuestRange(position, length: reader.virtualSize - position)
                    let extents = try reader.extents(in: range, atMost: 512, from: source)
                    count += extents.count
                    position = extents.last?.range.end.bytes ?? .max
                }
                keep(count)
            } catch { fatalError("\(error)") }
        }
    }
}

/// The metadata of an image, in memory; its data is zero.
final class TableMemory: ImageSource {
    let name = "tables"
    let length: UInt64
    /// Segments that are bytes, by their offsets; whatever else there is reads as zero.
    private let segments: [(offset: UInt64, bytes: [UInt8])]

    /// Every other unit is there, so that no two join.
    init(_ format: ImageFormat, _ options: [String: String], units: UInt64) {
        do {
            let probe = makeEncoder(format, options)
            let size = units * 2 * probe.unitSize
            let parameters = EncoderParameters(contentLength: size, virtualSize: size)
            var encoder = try FormatCatalog.encoder(
                for: format, parameters: parameters, options: FormatOptions(options))
            var metadata: [MetadataSegment] = []
            for unit in 0..<units {
                _ = try encoder.place(unit: unit * 2, storedLength: probe.unitSize, metadata: &metadata)
            }
            let identity = ContentIdentity(fingerprint: 1, virtualSize: size)
            length = try encoder.finish(content: identity, metadata: &metadata)
            var segments: [(offset: UInt64, bytes: [UInt8])] = []
            for segment in metadata {
                try segment.forEachPiece { (bytes, offset) throws(ImageError) in segments.append((offset.bytes, bytes))
                }
            }
            self.segments = segments.sorted { $0.offset < $1.offset }
        } catch { fatalError("\(error)") }
    }

    func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result) throws(ImageError)
        -> Result
    {
        try requireHeld(range)
        var bytes = [UInt8](repeating: 0, count: Int(range.length))
        var low = 0
        var high = segments.count
        while low < high {
            let middle = (low + high) / 2
            if segments[middle].offset + UInt64(segments[middle].bytes.count) <= range.start.bytes {
                low = middle + 1
            } else {
                high = middle
            }
        }
        while low < segments.count, segments[low].offset < range.end.bytes {
            let (offset, content) = segments[low]
            let start = max(offset, range.start.bytes)
            let end = min(offset + UInt64(content.count), range.end.bytes)
            bytes.replaceSubrange(
                Int(start - range.start.bytes)..<Int(end - range.start.bytes),
                with: content[Int(start - offset)..<Int(end - offset)])
            low += 1
        }
        return try body(bytes.span)
    }
}
