import Foundation
import ImageFormats
import ImageFuzzing
import ImageModel
import LatheTestSupport
import Testing

/// A short pass of what `scripts/fuzz` does for as long as one likes: mutated images through every reader, checker and repairer.
@Suite struct FuzzTests {
    static let formats = ImageFormat.allCases.filter { $0 != .raw }
    /// `LATHE_FUZZ_SEED` names another; the same seed makes the same inputs.
    static let seed = ProcessInfo.processInfo.environment["LATHE_FUZZ_SEED"].flatMap { UInt64($0) }
    static let time = Duration.milliseconds(1500)

    @Test(arguments: formats) func mutatedImagesBreakNoPromise(format: ImageFormat) throws {
        let seed = Self.seed ?? UInt64.random(in: 0...UInt64.max)
        print("mutatedImagesBreakNoPromise(\(format.rawValue)): seed \(seed)")
        let seeds =
            try FuzzSeeds.made(format) + FuzzSeeds.read(format, in: HostileImage.directory.path)
        var generator = SeededGenerator(seed: seed)
        var mutator = FuzzMutator(seed: seed)
        var trial = try FuzzTrial()
        let clock = ContinuousClock()
        let end = clock.now + Self.time
        var number = 0
        while clock.now < end {
            guard let start = seeds.randomElement(using: &generator) else { break }
            let input = mutator.mutated(start)
            let violation = trial.run(input, as: format, upTo: 8 << 20)
            #expect(violation == nil, "LATHE_FUZZ_SEED=\(seed), input \(number): \(input.encoded)")
            number += 1
        }
        #expect(number > 10)
    }

    @Test(arguments: formats) func anInputSurvivesItsEncoding(format: ImageFormat) throws {
        var mutator = FuzzMutator(seed: 7)
        for seed in try FuzzSeeds.made(format) {
            #expect(FuzzInput(decoding: seed.encoded) == seed)
            let mutated = mutator.mutated(seed)
            #expect(
                FuzzInput(decoding: FuzzInput(decoding: mutated.encoded).encoded).file
                    == FuzzInput(decoding: mutated.encoded).file)
        }
        #expect(FuzzInput(decoding: []).file.length == 0)
    }

    /// What a fuzzer starts from is read to its end by the trial, and is not refused at the door.
    @Test(arguments: formats) func theSeedsAreImages(format: ImageFormat) throws {
        let seeds = try FuzzSeeds.made(format)
        #expect(!seeds.isEmpty)
        for seed in seeds {
            #expect(seed.encoded.count <= FuzzSeeds.longestInput)
            _ = try FormatCatalog.header(of: seed.file, as: format)
        }
    }
}
