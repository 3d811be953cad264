import ImageFormats
import ImageModel
import LatheTestSupport
import Testing

/// Small images of every format, damaged in every way that fits a test: nothing may crash, hang, or go by unseen.
@Suite struct DamageTests {
    static let images: [(ImageFormat, [String: String])] = [
        (.vhd, [:]), (.vhd, ["subformat": "fixed"]), (.vmdk, [:]),
        (.vmdk, ["subformat": "streamOptimized"]), (.vdi, [:]), (.vdi, ["static": "on"]),
        (.vhd, ["block_size": "512k"]), (.qcow2, [:]), (.rawPackage, [:]), (.rawGzip, [:]), (.rawZstandard, [:]),
        (.qcow2, ["compress": "on", "cluster_size": "4k", "refcount_bits": "4"]), (.qcow2, ["extended_l2": "on"]),
        (.qcow2, ["cluster_size": "512", "compat": "0.10"]),
    ]

    static func smallImage(_ format: ImageFormat, _ options: [String: String]) throws -> EncodedImage {
        let size: UInt64 = 6 << 20
        let parameters = EncoderParameters(contentLength: size, virtualSize: size)
        let encoder = try FormatCatalog.encoder(for: format, parameters: parameters, options: FormatOptions(options))
        let units = [0, 1, 5, 9].filter { $0 * encoder.unitSize < size && $0 < 6 }
        // One unit of qcow2 that is kept as it is among others that are packed.
        return try EncodedImage(format, virtualSize: size, units: units, options: options) { unit in
            format == .qcow2 && encoder.storage != .plain && unit != 1 ? 700 : nil
        }
    }

    @Test(arguments: images) func everyByteFlipOfTheMetadataIsSurvived(format: ImageFormat, options: [String: String])
        throws
    {
        let image = try Self.smallImage(format, options)
        for segment in image.metadata {
            for (offset, byte) in try Self.bytesWorthAFlip(of: segment) {
                for flip: UInt8 in [0x01, 0x80, 0xFF] {
                    var damaged = image
                    damaged.memory.write([byte ^ flip], at: offset)
                    Self.readAll(damaged.memory, format)
                }
            }
        }
    }

    /// Every byte of a segment that is short or that stands out from a long run, and a seeded sample of the runs' bytes.
    static func bytesWorthAFlip(of segment: MetadataSegment) throws -> [(offset: UInt64, byte: UInt8)] {
        var generator = SeededGenerator(seed: segment.offset.bytes)
        var chosen: [(UInt64, UInt8)] = []
        try segment.forEachPiece { (bytes, offset) throws(ImageError) in
            let usual = bytes.last ?? 0
            let sample = Set((0..<48).map { _ in Int.random(in: bytes.indices, using: &generator) })
            for (index, byte) in bytes.enumerated() where bytes.count <= 1024 || byte != usual || sample.contains(index)
            {
                chosen.append((offset.bytes + UInt64(index), byte))
            }
        }
        return chosen
    }

    @Test(arguments: images) func everyTruncationIsSurvivedAndSeen(format: ImageFormat, options: [String: String])
        throws
    {
        let image = try Self.smallImage(format, options)
        let step = max(509, image.memory.length / 800 | 1)
        // The zeros that fill up the last sector of a packed qcow2 say nothing.
        let last = try image.memory.read(FileRange(max(512, image.memory.length) - 512, length: 512)).reversed()
        let padding = options["compress"] == "on" ? last.prefix { $0 == 0 }.count : 0
        for length in stride(from: 0, to: image.memory.length - UInt64(padding), by: Int(step)) {
            var cut = image
            cut.memory.truncate(to: length)
            Self.readAll(cut.memory, format)
            let report = FormatCatalog.check(cut.memory, as: format)
            #expect(report.corruptions > 0 || report.incomplete != nil, "cut to \(length) bytes")
        }
    }

    /// Reads all mappings and runs the checker; errors are fine, traps are not.
    static func readAll(_ memory: SparseMemory, _ format: ImageFormat) {
        _ = FormatCatalog.check(memory, as: format)
        guard let reader = try? FormatCatalog.reader(for: format, source: memory) else { return }
        var position: UInt64 = 0
        var calls = 0
        while position < reader.virtualSize, calls < 1000 {
            let range = GuestRange(position, length: reader.virtualSize - position)
            guard let answer = try? reader.extents(in: range, atMost: 100, from: memory), let last = answer.last else {
                return
            }
            #expect(last.range.end.bytes > position && last.range.end.bytes <= reader.virtualSize)
            position = last.range.end.bytes
            calls += 1
        }
    }
}
