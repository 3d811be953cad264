import Glibc
import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Testing

/// Many threads on small chunks, stopped and failed at any time: no deadlock, and nothing else than the result or its error.
@Suite struct ConcurrencyTests {
    static let content = SampleDisk.mixed(length: 640 << 10, seed: 121)

    private static func conversion(_ variant: OutputVariant, cancellation: CancellationFlag? = nil) throws -> Conversion
    {
        Conversion(
            try DiskImage(DenseMemory(content), format: .raw), to: variant.format,
            options: FormatOptions(variant.options),
            work: WorkOptions(threads: 8, chunkSize: 64 << 10, progress: WorkProgress(), cancellation: cancellation))
    }

    @Test(arguments: OutputVariant.all) func eightThreadsMakeTheSameImageEveryTime(variant: OutputVariant) throws {
        let expected = MemorySink()
        let result = try Self.conversion(variant).run(into: expected)
        let memory = expected.memory
        for round in 0..<20 {
            let sink = MemorySink(isSequential: round % 2 == 1)
            #expect(try Self.conversion(variant).run(into: sink) == result, "round \(round)")
            #expect(sink.memory == memory, "round \(round)")
        }
    }

    @Test(arguments: OutputVariant.all) func stoppingAtAnyTimeEndsInAResultOrAsCancelled(variant: OutputVariant) throws
    {
        let seed: UInt64 = 122
        var generator = SeededGenerator(seed: seed)
        let result = try Self.conversion(variant).run(into: MemorySink())
        for round in 0..<15 {
            let flag = CancellationFlag()
            let delay = UInt32.random(in: 0...8_000, using: &generator)
            BackgroundThread.start {
                usleep(delay)
                flag.cancel()
            }
            let sink = MemorySink(isSequential: round % 3 == 0)
            let conversion = try Self.conversion(variant, cancellation: flag)
            do throws(ImageError) {
                let again = try conversion.run(into: sink)
                #expect(again == result)
            } catch {
                #expect(error.code == .cancelled, "seed \(seed), round \(round): \(error)")
                #expect(sink.finishedLength == nil)
            }
        }
    }

    @Test(arguments: OutputVariant.all) func aSinkThatFailsSendsEveryThreadHome(variant: OutputVariant) throws {
        let seed: UInt64 = 123
        var generator = SeededGenerator(seed: seed)
        for round in 0..<15 {
            let failing = Int.random(in: 0...6, using: &generator)
            let sink = MemorySink(isSequential: round % 2 == 0) { number in
                number >= failing ? ImageError(.inputOutput, "No space left on device") : nil
            }
            // A layout with few writes may be through before.
            let conversion = try Self.conversion(variant)
            do throws(ImageError) {
                _ = try conversion.run(into: sink)
                #expect(sink.operations.count <= failing)
            } catch {
                #expect(error.code == .inputOutput, "seed \(seed), round \(round): \(error)")
            }
        }
    }

    @Test func fingerprintsAndComparisonsOfManyThreadsAgree() throws {
        let variant = OutputVariant.all[3]
        let sink = MemorySink()
        let result = try Self.conversion(variant).run(into: sink)
        let work = WorkOptions(threads: 8, chunkSize: 64 << 10)
        let image = try DiskImage(sink.memory, format: variant.format)
        let raw = try DiskImage(DenseMemory(Self.content), format: .raw)
        for _ in 0..<10 {
            #expect(try image.fingerprint(work) == result.fingerprint)
            #expect(try raw.compare(with: image, work) == ComparisonResult(firstDifference: nil, sizesDiffer: false))
        }
    }
}
