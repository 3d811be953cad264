import Benchmark
import ImageCodecs
import ImageModel

/// What compressed formats put a unit through.
func registerCompressors() {
    let text = PartsContent.text(count: 64 << 10)
    let random = PartsContent.random(count: 64 << 10)
    for level in [1, 5, 9] {
        benchmark("zlib level \(level), a unit of text") { compress(text, level: level) }
    }
    benchmark("zlib level 5, a random unit") { compress(random, level: 5) }
    var stored: [UInt8] = []
    if var compressor = try? Compressor(UnitCompression(.zlib, by: .libdeflate, level: 5)) {
        _ = try? compressor.compress(text.span, into: &stored)
    }
    benchmark("inflating a unit of text") {
        var output = [UInt8](repeating: 0, count: text.count)
        guard let inflater = try? Decompressor(),
            inflater.decompress(stored.span, method: .zlib, into: &output, 0..<output.count) == text.count
        else { fatalError("what was compressed inflates") }
        keep(output)
    }
}

private func compress(_ bytes: [UInt8], level: Int) {
    compress(bytes, UnitCompression(.zlib, by: .libdeflate, level: level))
}

private func compress(_ bytes: [UInt8], _ compression: UnitCompression) {
    var output: [UInt8] = []
    guard var compressor = try? Compressor(compression) else { fatalError("\(compression) is one") }
    // Several units a run: the compressor itself is made once a thread.
    for _ in 0..<8 {
        output.removeAll(keepingCapacity: true)
        _ = try? compressor.compress(bytes.span, into: &output)
    }
    keep(output)
}
