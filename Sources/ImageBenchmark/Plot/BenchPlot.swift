internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

/// A part of the drawing with a title of its own.
protocol PlotPanel: Sendable {
    /// In units of the drawing.
    var height: Double { get }
    func draw(in box: PlotBox) -> [SVGElement]
}

/// A report as a picture: throughput of each layout, scaling with threads, and size against speed.
package struct BenchPlot {
    private static let width = 960.0
    private static let margin = 28.0
    private static let gutter = 32.0
    private static let headHeight = 96.0

    let report: BenchReport

    package init(report: BenchReport) { self.report = report }

    package var svg: String {
        let columnWidth = (Self.width - 2 * Self.margin - Self.gutter) / 2
        var drawn: [SVGElement] = []
        var y = Self.headHeight
        for row in rows {
            for (column, panel) in row.enumerated() {
                let x = Self.margin + Double(column) * (columnWidth + Self.gutter)
                drawn += panel.draw(in: PlotBox(x: x, y: y, width: columnWidth, height: panel.height))
            }
            y += (row.map(\.height).max() ?? 0) + 28
        }
        let page = PlotBox(x: 0, y: 0, width: Self.width, height: y)
        return SVGElement(
            "svg",
            [
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": "0 0 \(SVGElement.number(page.width)) \(SVGElement.number(y))",
                "width": SVGElement.number(page.width), "height": SVGElement.number(y), "role": "img",
            ],
            [SVGElement("title", text: "lathe bench: \(machine)"), SVGElement("style", text: PlotStyle.sheet)]
                + [.rectangle(page, "page", rounded: 6)] + head + drawn
        ).document
    }

    /// Two panels a row.
    private var rows: [[any PlotPanel]] {
        let bars: [any PlotPanel] = [BenchJob.write, .read, .verify].compactMap(bars).prefix(2).map { $0 }
        let others: [any PlotPanel] = [scaling as (any PlotPanel)?, compression].compactMap(\.self)
        return [bars, others].filter { !$0.isEmpty }
    }

    private var machine: String {
        "\(report.machine.processor), \(report.machine.processorCount) processor"
            + "\(report.machine.processorCount == 1 ? "" : "s"), \(report.machine.system)"
    }

    private var head: [SVGElement] {
        let source = report.source
        let made = source.isGenerated ? "generated disk" : "disk"
        let peer: String = if case .present = report.peer { " and \(report.peer.sentence)" } else { "" }
        return [
            .label("Lathe \(report.version)\(peer): throughput", x: Self.margin, y: 40, "title"),
            .label(
                "\(machine). A \(made) of \(NumberText.size(source.virtualSize)) with "
                    + "\(NumberText.size(source.dataBytes)) of data; to \(place).", x: Self.margin, y: 62, "note"),
            .label(
                "Bytes of data (guest bytes that are not zero) by wall time; "
                    + (report.repeats == 1
                        ? "one run each." : "medians of \(report.repeats) runs, with the slowest and the fastest."),
                x: Self.margin, y: 80, "note"),
        ]
    }

    private var place: String {
        switch report.destination {
        case .directory: "a directory"
        case .memory: "memory"
        case .none: "nothing"
        }
    }

    // MARK: - Panels

    private func bars(of job: BenchJob) -> BarPanel? {
        let results = report.results(of: job)
        guard let most = results.map(\.measured.threads).max() else { return nil }
        let rows = results.filter { $0.measured.threads == most }.map { result in
            BarPanel.Row(
                name: result.measured.variant.name, ours: result.ours.throughput(result.dataBytes),
                peer: result.peerThroughput)
        }
        let title =
            switch job {
            case .write, .compress: "Writing an image"
            case .read: "Reading an image"
            case .verify: "Verifying an image"
            }
        let hasPeer = rows.contains { $0.peer != nil }
        return BarPanel(
            title: "\(title), \(most) thread\(most == 1 ? "" : "s")", rows: rows,
            peerName: hasPeer ? PeerImager.program : nil)
    }

    private var scaling: ScalingPanel? {
        let jobs: [BenchJob] = [.write, .read, .verify]
        guard let job = jobs.first(where: { !report.results(of: $0).isEmpty }) else { return nil }
        let results = report.results(of: job)
        let variants = Self.variants(of: results)
        let series = variants.map { variant in
            let mine = results.filter { $0.measured.variant == variant }.sorted {
                $0.measured.threads < $1.measured.threads
            }
            let base = mine.first?.throughput ?? 0
            return ScalingPanel.Series(
                name: variant.name, colour: ImageFormat.allCases.firstIndex(of: variant.format) ?? 0,
                isDashed: variants.first { $0.format == variant.format } != variant,
                points: mine.map { ($0.measured.threads, base > 0 ? $0.throughput / base : 0) })
        }
        let threads = Set(results.map(\.measured.threads)).sorted()
        return ScalingPanel(title: "Scaling with threads: \(job.rawValue)", series: series, threads: threads)
    }

    private var compression: CompressionPanel? {
        let results = report.results(of: .compress)
        guard let first = results.first else { return nil }
        let variants = Self.variants(of: results)
        var series = variants.enumerated().map { index, variant in
            CompressionPanel.Series(
                name: Self.compressorName(of: variant),
                points: results.filter { $0.measured.variant == variant }.compactMap(Self.point),
                style: PlotStyle.fill(index))
        }
        let peers = results.compactMap { result in
            result.peer.flatMap {
                // One point needs no name beside it but that of the legend.
                Self.point(
                    $0, result.dataBytes,
                    label: variants.count > 1 ? Self.compressorName(of: result.measured.variant) : "")
            }
        }
        series.append(CompressionPanel.Series(name: PeerImager.program, points: peers, style: "peer"))
        let threads = first.measured.threads
        return CompressionPanel(
            title: "Size against speed: every level, \(threads) thread\(threads == 1 ? "" : "s")",
            series: series.filter { !$0.points.isEmpty })
    }

    private static func compressorName(of variant: FormatVariant) -> String {
        "\(variant.compression?.method.rawValue ?? "uncompressed") in \(variant.format.rawValue)"
    }

    private static func point(_ result: BenchResult) -> CompressionPanel.Point? {
        let measured = result.measured
        var point = point(result.ours, result.dataBytes, label: measured.level.map(String.init) ?? "")
        point?.isStandard = measured.level == BenchPlan.standardLevel(of: measured.variant)
        return point
    }

    private static func point(_ figure: BenchFigure, _ dataBytes: UInt64, label: String) -> CompressionPanel.Point? {
        let speed = figure.throughput(dataBytes).median
        guard let size = figure.sizeRatio(dataBytes), speed > 0 else { return nil }
        return CompressionPanel.Point(speed: speed, size: size, label: label)
    }

    /// Each layout once, in order.
    private static func variants(of results: [BenchResult]) -> [FormatVariant] {
        var variants: [FormatVariant] = []
        for result in results where !variants.contains(result.measured.variant) {
            variants.append(result.measured.variant)
        }
        return variants
    }
}
