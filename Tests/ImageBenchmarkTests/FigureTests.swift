import ImageFormats
import ImageModel
import Testing

@testable import ImageBenchmark

/// Medians, spreads and what follows from them.
@Suite struct FigureTests {
    private func samples(_ seconds: [Double]) -> Samples {
        var samples = Samples()
        for second in seconds { samples.add(.seconds(second)) }
        return samples
    }

    @Test func theMedianIsTheMiddleOne() {
        #expect(samples([3, 1, 2]).median == 2)
        #expect(samples([4, 1, 2, 3]).median == 2.5)
        #expect(samples([7]).median == 7)
        #expect(samples([]).median == 0)
        let some = samples([3, 1, 2])
        #expect((some.least, some.greatest, some.total) == (1, 3, 6))
    }

    @Test func aClockThatDidNotMoveIsNoDivisionByZero() {
        #expect(samples([0]).median > 0)
        #expect(BenchFigure().throughput(100).median == 0)
        #expect(BenchFigure().sizeRatio(0) == nil)
    }

    @Test func throughputIsDataByTime() {
        let figure = BenchFigure(samples: samples([1, 2, 4]), outputBytes: 50)
        let rates = figure.throughput(200)
        #expect((rates.median, rates.least, rates.most) == (100, 50, 200))
        #expect(figure.sizeRatio(200) == 0.25)
    }

    @Test func barsAreScaledToTheBest() {
        #expect(BenchTable.bar(1, of: 1) == String(repeating: "█", count: 24))
        #expect(BenchTable.bar(0.5, of: 1) == String(repeating: "█", count: 12))
        #expect(BenchTable.bar(1, of: 192) == "▏")
        #expect(BenchTable.bar(0, of: 1) == "" && BenchTable.bar(1, of: 0) == "")
    }

    @Test func threadsDoubleUpToTheProcessors() {
        #expect(BenchPlan.standardThreads(processors: 1) == [1])
        #expect(BenchPlan.standardThreads(processors: 2) == [1, 2])
        #expect(BenchPlan.standardThreads(processors: 6) == [1, 2, 4, 6])
        #expect(BenchPlan.standardThreads(processors: 8) == [1, 2, 4, 8])
    }

    /// What is listed is what encoders write: each layout has an encoder, which compresses if the list says so.
    @Test func everyLayoutHasAnEncoderThatTakesItsLevels() throws {
        let parameters = EncoderParameters(contentLength: 1 << 20, virtualSize: 1 << 20)
        for variant in FormatCatalog.variants {
            for level in variant.compression.map({ Array($0.levels).map(Optional.some) }) ?? [nil] {
                let encoder = try FormatCatalog.encoder(
                    for: variant.format, parameters: parameters, options: variant.options(level: level))
                switch (encoder.storage, variant.compression, level) {
                case (.plain, nil, nil): break
                case (.compressed(let used), let compression?, let level?):
                    #expect(used.method == compression.method, "\(variant.name)")
                    #expect(encoder.options["compression_level"] == "\(level)", "\(variant.name)")
                default: Issue.record("\(variant.name) is not stored as the list says")
                }
            }
            #expect((BenchPlan.standardLevel(of: variant) != nil) == (variant.compression != nil))
        }
    }

    @Test func thePlanHasEveryCaseOnce() {
        let plan = BenchPlan(
            jobs: Set(BenchJob.allCases), variants: FormatCatalog.variants, threads: [1, 2], repeats: 3, hasPeer: true)
        let cases = plan.variants.flatMap(plan.cases)
        #expect(cases.count == plan.count && Set(cases).count == cases.count)
        let compressing = FormatCatalog.variants.filter { $0.compression != nil }
        let levels = compressing.reduce(0) { $0 + ($1.compression?.levels.count ?? 0) }
        #expect(cases.count == FormatCatalog.variants.count * 3 * 2 + levels)
        // Beside the most threads, and once among the levels; a package and several files are nothing for the peer.
        let known = FormatCatalog.variants.filter(PeerImager.knows)
        let packages = RawPackaging.allCases.count
        let severalFiles = FormatCatalog.variants.count(where: \.isSeveralFiles)
        #expect(known.count == FormatCatalog.variants.count - packages - severalFiles)
        #expect(cases.filter(\.hasPeer).count == known.count * 2 + compressing.count - packages)
        #expect(cases.allSatisfy { !$0.hasPeer || $0.threads == 2 })
    }
}
