import Benchmark
import ImageCodecs

/// What every byte of a disk goes through: looked at for zeros, and counted into the checksums.
func registerScans() {
    let zeros = [UInt8](repeating: 0, count: 1 << 20)
    let random = PartsContent.random(count: 1 << 20)

    benchmark("zero scan, 1 MiB of zeros in steps of 4 KiB") {
        for start in stride(from: 0, to: zeros.count, by: 4096) {
            guard ZeroDetector.isZero(zeros.span.extracting(start..<start + 4096)) else { fatalError("zeros are zero") }
        }
    }
    benchmark("zero scan, 1 MiB of data in steps of 4 KiB") {
        for start in stride(from: 0, to: random.count, by: 4096) {
            guard !ZeroDetector.isZero(random.span.extracting(start..<start + 4096)) else {
                fatalError("data is not zero")
            }
        }
    }
    benchmark("CRC-64, 1 MiB in pieces of 64 KiB") {
        var sum = CRC64Sum()
        for end in stride(from: 65536, through: random.count, by: 65536) {
            sum.add(CRC64Sum.remainder(random.span.extracting(end - 65536..<end)), endingAt: UInt64(end) << 12)
        }
        keep(sum)
    }
    benchmark("CRC-64, 1000 remainders put in their places") {
        var sum = CRC64Sum()
        for place in 1...1000 as ClosedRange<UInt64> { sum.add(place &* 0x9e37_79b9_7f4a_7c15, endingAt: place << 20) }
        keep(sum)
    }
    benchmark("SHA-256, 1 MiB") {
        var digest = SHA256Digest()
        digest.update(random.span)
        keep(digest.bytes())
    }
}
