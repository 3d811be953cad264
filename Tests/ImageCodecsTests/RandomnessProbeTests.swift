import ImageModel
import LatheTestSupport
import Testing

@testable import ImageCodecs

@Suite struct RandomnessProbeTests {
    private static let unit = 64 << 10

    private func looksRandom(_ bytes: [UInt8]) -> Bool {
        var probe = RandomnessProbe()
        return probe.looksRandom(bytes.span)
    }

    private static func random(_ count: Int, seed: UInt64) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    private func compressedSize(_ bytes: [UInt8], level: Int) throws -> Int {
        var compressor = try Compressor(UnitCompression(.zlib, by: .libdeflate, level: level))
        var output: [UInt8] = []
        return try #require(try compressor.compress(bytes.span, into: &output))
    }

    @Test func randomBytesLookRandomWhicheverTheyAre() {
        for seed in 100..<200 as Range<UInt64> {
            #expect(looksRandom(Self.random(Self.unit, seed: seed)), "seed \(seed)")
        }
    }

    @Test func aRandomUnitIsStoredAtEveryLevel() throws {
        let bytes = Self.random(Self.unit, seed: 7)
        for level in Compressor.levels(of: .libdeflate) {
            // Two stored blocks of 5 bytes more than they hold, and the six of RFC 1950.
            #expect(try compressedSize(bytes, level: level) == Self.unit + 2 * 5 + 6)
        }
    }

    @Test func whatShrinksByMatchesAloneDoesNotLookRandom() throws {
        // Every value is as frequent as any other, but a sixteenth of the unit comes twice.
        var bytes = Self.random(Self.unit, seed: 8)
        for index in 0..<4096 { bytes[50_000 + index] = bytes[30_000 + index] }
        #expect(!looksRandom(bytes))
        #expect(try compressedSize(bytes, level: 5) < Self.unit - 3900)
    }

    @Test func whatShrinksByFrequenciesAloneDoesNotLookRandom() throws {
        var generator = SeededGenerator(seed: 9)
        // No string comes again on purpose, but 225 values of 256 are used.
        let bytes = (0..<Self.unit).map { _ in UInt8.random(in: 0..<225, using: &generator) }
        #expect(!looksRandom(bytes))
        #expect(try compressedSize(bytes, level: 5) < Self.unit * 99 / 100)
    }

    @Test(arguments: [2, 4, 8, 16, 32]) func recordsWithOneEvenColumnDoNotLookRandom(length: Int) {
        // One column is random, the others are not: a count that saw only that column would be misled.
        for column in 0..<length {
            var bytes = Self.random(Self.unit, seed: UInt64(column))
            for index in bytes.indices where index % length != column { bytes[index] = UInt8(index / length & 0x3f) }
            #expect(!looksRandom(bytes), "column \(column)")
        }
    }

    @Test func textZerosAndShortInputsDoNotLookRandom() {
        for sample in CompressionSample.all where sample.name != "random" {
            #expect(!looksRandom(sample.bytes), "\(sample.name)")
        }
        #expect(!looksRandom(Self.random(4095, seed: 1)))
        #expect(looksRandom(Self.random(4096, seed: 1)))
    }

    @Test func aProbeRemembersNothingOfTheUnitBefore() {
        var probe = RandomnessProbe()
        let bytes = Self.random(Self.unit, seed: 3)
        let zeros = [UInt8](repeating: 0, count: Self.unit)
        for _ in 0..<3 {
            let random = probe.looksRandom(bytes.span)
            let zero = probe.looksRandom(zeros.span)
            #expect(random && !zero)
        }
    }
}
