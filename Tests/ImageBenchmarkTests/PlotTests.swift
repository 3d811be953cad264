import Foundation
import FoundationXML
import ImageFormats
import Testing

@testable import ImageBenchmark

/// The picture, of figures that are made up.
@Suite struct PlotTests {
    private static func result(
        _ job: BenchJob, _ variant: FormatVariant, threads: Int, level: Int? = nil, seconds: Double
    )
        -> BenchResult
    {
        var figure = BenchFigure()
        for factor in [1, 0.9, 1.1] { figure.samples.add(.seconds(seconds * factor)) }
        figure.outputBytes = UInt64(1e9 * (0.6 - Double(level ?? 0) / 100))
        let measured = BenchCase(job: job, variant: variant, threads: threads, level: level, hasPeer: threads > 1)
        return BenchResult(measured: measured, dataBytes: 1_000_000_000, ours: figure, peer: threads > 1 ? figure : nil)
    }

    private static func report(_ results: [BenchResult], description: String = "disk.raw") -> BenchReport {
        BenchReport(
            version: "0.0.0", machine: .current(processorCount: 2),
            source: .init(
                description: description, isGenerated: false, format: .raw, virtualSize: 1 << 30,
                dataBytes: 1_000_000_000, fingerprint: 7),
            destination: .memory, repeats: 3, peer: .present(version: "1.2.3"), results: results)
    }

    private static var full: BenchReport {
        var results: [BenchResult] = []
        for (index, variant) in FormatCatalog.variants.enumerated() {
            for job in [BenchJob.write, .read, .verify] {
                for threads in [1, 2, 4] {
                    results.append(
                        result(job, variant, threads: threads, seconds: Double(index + 1) / Double(threads)))
                }
            }
            for level in variant.compression.map({ Array($0.levels) }) ?? [] {
                results.append(result(.compress, variant, threads: 4, level: level, seconds: Double(level * level)))
            }
        }
        return report(results)
    }

    @Test func thePictureIsWellFormedAndHoldsEverySeries() throws {
        let svg = BenchPlot(report: Self.full).svg
        let texts = try #require(Texts.of(svg))
        for variant in FormatCatalog.variants {
            // A bar each of writing and reading, and a line.
            #expect(texts.filter { $0 == variant.name }.count == 2, "\(variant.name)")
            #expect(texts.contains { $0.hasPrefix(variant.name + " ×") }, "\(variant.name)")
        }
        for level in 1...12 { #expect(texts.contains(level == 5 ? "5, default" : "\(level)"), "level \(level)") }
        for text in ["zlib in vmdk", "qemu-img", "ideal", "threads"] { #expect(texts.contains(text), "\(text)") }
    }

    @Test func aNameIsNeverDrawnOutsideOfItsPanel() {
        let long = SVGElement.name("vmdk twoGbMaxExtentSparse", x: 168, y: 10, anchor: .end, within: 140).document
        #expect(long.contains("style=\"font-size: 9.66px\""))
        #expect(!SVGElement.name("vdi", x: 168, y: 10, within: 140).document.contains("font-size"))
        let svg = BenchPlot(report: Self.full).svg
        let names = svg.split(separator: "\n").filter { $0.contains(">vmdk twoGbMaxExtentSparse") }
        #expect(names.count == 3 && names.allSatisfy { $0.contains("font-size") })
    }

    @Test func noTwoFormatsHaveOneColour() {
        #expect(Set(ImageFormat.allCases.indices.map(PlotStyle.fill)).count == ImageFormat.allCases.count)
    }

    @Test func littleIsEnoughForAPicture() {
        let raw = FormatCatalog.variants[0]
        for results in [
            [], [Self.result(.verify, raw, threads: 1, seconds: 1)], [Self.result(.write, raw, threads: 1, seconds: 0)],
        ] {
            let svg = BenchPlot(report: Self.report(results)).svg
            #expect(Texts.of(svg) != nil)
            #expect(!svg.contains("nan") && !svg.contains("inf"))
        }
    }

    @Test func whatXMLDoesNotTakeIsEscaped() throws {
        let svg = SVGElement("text", ["class": "a\"&<"], text: "<&>\u{1}\"é").document
        #expect(Texts.of(svg) == ["<&>\u{fffd}\"é"])
    }

    @Test(arguments: [
        (0.0...7.3, [0.0, 2, 4, 6, 8]), (0...0.9, [0, 0.5, 1]), (50...53, [50, 51, 52, 53]),
        (0...0, [0]),
    ]) func ticksAreRound(values: ClosedRange<Double>, expected: [Double]) {
        let ticks = PlotScale.linear(values, at: (0, 100), ticks: 4).ticks
        if values.lowerBound == values.upperBound {
            #expect(ticks.count >= 2)
        } else {
            #expect(
                ticks.count == expected.count && zip(ticks, expected).allSatisfy { abs($0 - $1) < 1e-9 }, "\(ticks)")
        }
    }

    @Test func aLogarithmicScaleHasTicksWithinItsEnds() {
        let scale = PlotScale.logarithmic(14...320, at: (0, 100))
        #expect(scale.ticks == [20, 50, 100, 200])
        #expect(abs(scale.place(14 / 1.2)) < 1e-9 && abs(scale.place(320 * 1.2) - 100) < 1e-9)
        #expect(PlotScale.logarithmic(0...0, at: (0, 100)).place(0).isFinite)
    }

    @Test(arguments: [
        (0.9...2.0, [1.0, 1.5, 2]), (0.4...2, [0.5, 0.75, 1, 1.5, 2]), (1...12, [1, 2, 4, 8]),
    ]) func aDoublingScaleHasTicksAtPowersOfTwo(values: ClosedRange<Double>, expected: [Double]) {
        #expect(PlotScale.doubling(values, at: (0, 100)).ticks == expected)
    }

    @Test func theFrontierIsWhatNoOtherBeatsInBoth() {
        func point(_ speed: Double, _ size: Double) -> CompressionPanel.Point {
            .init(speed: speed, size: size, label: "")
        }
        let all = [point(1, 0.5), point(2, 0.4), point(3, 0.6), point(2.5, 0.6), point(2, 0.45)]
        #expect(CompressionPanel.frontier(of: all).map(\.speed) == [2, 3])
    }

    @Test func labelsNeverCoverEachOther() {
        var placement = LabelPlacement(in: PlotBox(x: 0, y: 0, width: 200, height: 100))
        var boxes: [PlotBox] = []
        for step in 0..<20 {
            if let box = placement.place((20, 10), beside: PlotPoint(x: 90 + Double(step), y: 50), gap: 5) {
                boxes.append(box)
            }
        }
        #expect(boxes.count > 5)
        for (index, box) in boxes.enumerated() { #expect(!boxes[(index + 1)...].contains(where: box.overlaps)) }
        let heights = LabelPlacement.spread([10, 10, 11, 90], gap: 10, within: 0...95)
        #expect(zip(heights.sorted(), heights.sorted().dropFirst()).allSatisfy { $1 - $0 >= 10 - 1e-9 })
    }
}

/// The texts of an SVG document; nil where it is not well-formed.
private final class Texts: NSObject, XMLParserDelegate {
    private var texts: [String] = []
    private var current: String?

    static func of(_ svg: String) -> [String]? {
        let parser = XMLParser(data: Data(svg.utf8))
        let texts = Texts()
        parser.delegate = texts
        return parser.parse() ? texts.texts : nil
    }

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
        attributes: [String: String]
    ) { current = name == "text" ? "" : nil }

    func parser(_ parser: XMLParser, foundCharacters string: String) { current? += string }

    func parser(_ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?) {
        if let text = current { texts.append(text) }
        current = nil
    }
}
