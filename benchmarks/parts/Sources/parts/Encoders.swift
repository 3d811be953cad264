import Benchmark
import ImageFormats
import ImageModel

/// The layouts whose encoders and readers are measured.
let layouts: [(name: String, format: ImageFormat, options: [String: String])] = [
    ("raw", .raw, [:]), ("vhd dynamic", .vhd, [:]), ("vhd fixed", .vhd, ["subformat": "fixed"]), ("qcow2", .qcow2, [:]),
    ("vmdk monolithicSparse", .vmdk, [:]), ("vmdk streamOptimized", .vmdk, ["subformat": "streamOptimized"]),
    ("vdi", .vdi, [:]),
]

/// Units in one run of a benchmark.
let unitCount: UInt64 = 100_000

func makeEncoder(_ format: ImageFormat, _ options: [String: String]) -> any ImageEncoder {
    // Large enough for all the units of the format with the largest ones.
    let size: UInt64 = 256 << 30
    let parameters = EncoderParameters(contentLength: size, virtualSize: size)
    do { return try FormatCatalog.encoder(for: format, parameters: parameters, options: FormatOptions(options)) } catch
    {
        fatalError("\(error)")
    }
}

/// The one step of a conversion that can't run in parallel.
func registerEncoders() {
    for layout in layouts {
        benchmark("placing 100,000 units, \(layout.name)") {
            var encoder = makeEncoder(layout.format, layout.options)
            var metadata: [MetadataSegment] = []
            var sum: UInt64 = 0
            do {
                for unit in 0..<unitCount {
                    sum &+= try encoder.place(unit: unit, storedLength: 40_000, metadata: &metadata).bytes
                    if metadata.count > 64 { metadata.removeAll(keepingCapacity: true) }
                }
            } catch { fatalError("\(error)") }
            keep(sum)
        }
    }
}
