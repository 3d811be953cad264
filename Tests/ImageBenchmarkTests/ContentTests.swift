import ImageFiles
import ImageFormats
import ImageModel
import ImagePipeline
import Testing

@testable import ImageBenchmark

/// The disks that `--generate` makes.
@Suite struct ContentTests {
    private func generate(_ text: String) throws -> (spec: ContentSpec, image: DiskImage) {
        let spec = try ContentSpec(parsing: text)
        let sink = try MemoryFileSink(name: "generated")
        try ContentGenerator(spec: spec).write(to: sink) {}
        return (spec, try DiskImage(sink.writtenSource(), format: .raw))
    }

    /// If this changes, results of before can't be compared with results of after.
    @Test func theSameSpecGivesTheSameBytesOnEveryMachine() throws {
        let image = try generate("8MiB,data=40%,zeros=10%,compressible=50%,seed=7").image
        #expect(image.virtualSize == 8 << 20)
        #expect(try image.fingerprint() == 15_136_851_533_540_581_573)
        #expect(try generate("8MiB,data=40%,zeros=10%,compressible=50%,seed=8").image.fingerprint() != 0)
    }

    @Test(arguments: [
        "64MiB,data=30%,zeros=10%,compressible=50%,seed=7", "2TiB,data=1%,zeros=2%", "1MiB,data=100%,zeros=0",
    ])
    func theSharesAreRightToTheBlock(text: String) throws {
        let spec = try ContentSpec(parsing: text)
        var sums = [ContentLayout.Kind: UInt64]()
        var position: UInt64 = 0
        var runs = 0
        for run in ContentLayout(spec) {
            #expect(run.start == position && run.length > 0 && run.length.isMultiple(of: 4096))
            position += run.length
            sums[run.kind, default: 0] += run.length
            runs += 1
            if runs == 100_000 { break }
        }
        guard runs < 100_000 else { return }
        #expect(position == spec.size)
        let data = (sums[.text] ?? 0) + (sums[.random] ?? 0)
        #expect(spec.size * spec.data / 100 - data < 4096)
        #expect(spec.size * spec.zeros / 100 - (sums[.zeros] ?? 0) < 4096)
        #expect(data * spec.compressible / 100 - (sums[.text] ?? 0) < 8192)
    }

    @Test func whatIsNotZeroIsTheData() throws {
        let (spec, image) = try generate("4MiB,data=25%,zeros=50%")
        let result = try Conversion(image, to: .raw).run(into: NullSink())
        #expect(result.contentBytes == spec.size / 4)
        // Written zeros take room, holes do not.
        let source = try #require(image.source as? FileSource)
        #expect(source.allocatedLength == spec.size / 4 * 3)
    }

    @Test func textIsTextAndTheSameForTheSameSeed() {
        var mill = PseudoTextGenerator()
        var first: [UInt8] = []
        var second: [UInt8] = [1, 2, 3]
        mill.append(5000, seed: 9, to: &first)
        mill.append(5000, seed: 9, to: &second)
        #expect(first.count == 5000 && first == Array(second.dropFirst(3)))
        #expect(first.allSatisfy { $0 == 9 || $0 == 10 || (32..<127).contains($0) })
    }

    /// The first number of SplitMix64 for seed 1, as its authors' program prints it: 910a2dec89025cc1.
    @Test func randomBytesAreThoseOfSplitMix64() {
        var random = SeededRandom(seed: 1)
        var bytes: [UInt8] = []
        random.append(13, to: &bytes)
        #expect(bytes.count == 13)
        #expect(bytes.prefix(8) == [0xc1, 0x5c, 0x02, 0x89, 0xec, 0x2d, 0x0a, 0x91])
        #expect(random.below(UInt64(0)) == 0 && random.below(-5) == 0 && random.below(1) == 0)
    }
}

/// What stands behind `--generate`.
@Suite struct ContentSpecTests {
    @Test(arguments: [
        (
            "8GiB,data=30%,zeros=10%,compressible=50%,seed=7",
            ContentSpec(size: 8 << 30, data: 30, zeros: 10, compressible: 50, seed: 7)
        ),
        ("512M", ContentSpec(size: 512 << 20)), ("1048576", ContentSpec(size: 1 << 20)),
        ("2tib,seed=18446744073709551615", ContentSpec(size: 2 << 40, seed: .max)),
        ("1024k,data=0,zeros=100", ContentSpec(size: 1 << 20, data: 0, zeros: 100)),
    ]) func aSpecSaysASizeAndShares(text: String, expected: ContentSpec) throws {
        #expect(try ContentSpec(parsing: text) == expected)
        #expect(try ContentSpec(parsing: expected.text) == expected)
    }

    @Test(arguments: [
        ("", "is not a size"), ("big", "is not a size"), ("8GB", "is not a size"), ("-1G", "is not a size"),
        ("1.5G", "is not a size"), ("iB", "is not a size"), ("data=30%", "is not a size"),
        ("99999999999999999999", "is not a size"),
        ("18446744073709551615", "can't be generated"), ("17T", "can't be generated"), ("0", "can't be generated"),
        ("512k", "can't be generated"), ("1048577", "whole blocks"), ("1G,", "no KEY=VALUE"),
        ("1G,data", "no KEY=VALUE"),
        ("1G,data=", "not a share"), ("1G,data=101%", "not a share"), ("1G,zeros=-1%", "not a share"),
        ("1G,data=1.5%", "not a share"), ("1G,data=99999999999999999999", "not a share"),
        ("1G,compressible=200%", "not a share"),
        ("1G,data=60%,zeros=50%", "make 110% of the disk"), ("1G,data=1%,data=2%", "given twice"),
        ("1G,dta=1%", "no key 'dta'; the keys are data, zeros, compressible and seed"), ("1G,seed=x", "not a seed"),
    ]) func whatIsWrongIsSaid(text: String, message: String) {
        let error = #expect(throws: ImageError.self) { try ContentSpec(parsing: text) }
        #expect(error?.code == .invalidOption)
        #expect(error?.message.contains(message) == true, "\(String(describing: error))")
    }
}
