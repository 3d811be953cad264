internal import Glibc
internal import ImageModel

/// How much faster each layout is with more threads: a line a layout, beside the ideal.
struct ScalingPanel: PlotPanel {
    struct Series: Sendable {
        var name: String
        /// Of the format's colour.
        var colour: Int
        /// For another layout of the same format.
        var isDashed: Bool
        /// In ascending order of the threads; the first is 1.
        var points: [(threads: Int, speedup: Double)]
    }

    let title: String
    let series: [Series]
    let threads: [Int]

    let height = 360.0
    private static let labelWidth = 190.0

    func draw(in box: PlotBox) -> [SVGElement] {
        var drawn: [SVGElement] = [
            .label(title, x: box.x, y: box.y + 16, "head"),
            .label(
                "Throughput as a multiple of that with \(count(threads.first ?? 1))", x: box.x, y: box.y + 37, "note"),
        ]
        let area = box.inset(left: 44, top: 62, right: Self.labelWidth, bottom: 44)
        guard let fewest = threads.first, let most = threads.last, most > fewest else {
            return drawn + [
                .label(
                    "Measured with one number of threads only; --threads 1,2,4 shows more.", x: box.x, y: box.y + 80,
                    "note")
            ]
        }
        let ideal = Double(most) / Double(fewest)
        let values = series.flatMap { $0.points.map(\.speedup) }
        let low = min(values.min() ?? 1, 1)
        // Both axes count doublings, so that the ideal is a straight line.
        let y = PlotScale.doubling(low...max(ideal, values.max() ?? 1), at: (area.bottom, area.y))
        let x = { (threads: Int) in
            area.x + area.width * log(Double(threads) / Double(fewest)) / log(Double(most) / Double(fewest))
        }
        drawn += axes(area, y, x)
        drawn.append(.line(PlotPoint(x: area.x, y: y.place(1)), PlotPoint(x: area.right, y: y.place(ideal)), "ideal"))
        for line in series {
            let points = line.points.map { PlotPoint(x: x($0.threads), y: y.place($0.speedup)) }
            drawn.append(.polyline(points, PlotStyle.line(line.colour) + (line.isDashed ? " dashed" : "")))
            drawn += points.map { .circle($0, radius: 3.5, PlotStyle.fill(line.colour) + " edge") }
        }
        return drawn + names(area, y, ideal: ideal)
    }

    private func axes(_ area: PlotBox, _ y: PlotScale, _ x: (Int) -> Double) -> [SVGElement] {
        var drawn: [SVGElement] = []
        for tick in y.ticks {
            let place = y.place(tick)
            drawn.append(.line(PlotPoint(x: area.x, y: place), PlotPoint(x: area.right, y: place), "grid"))
            drawn.append(.label("×" + PlotUnit.tick(tick), x: area.x - 8, y: place + 4, "tick", anchor: .end))
        }
        drawn.append(.line(PlotPoint(x: area.x, y: area.bottom), PlotPoint(x: area.right, y: area.bottom), "axis"))
        var free = area.x - 20
        for count in threads where x(count) >= free {
            // Neighbours whose numbers would touch share a tick.
            free = x(count) + 18
            drawn.append(
                .line(PlotPoint(x: x(count), y: area.bottom), PlotPoint(x: x(count), y: area.bottom + 4), "axis"))
            drawn.append(.label("\(count)", x: x(count), y: area.bottom + 17, "tick", anchor: .middle))
        }
        drawn.append(.label("threads", x: area.x + area.width / 2, y: area.bottom + 34, "tick", anchor: .middle))
        return drawn
    }

    /// The names at the ends of the lines, moved apart where the lines end together.
    private func names(_ area: PlotBox, _ y: PlotScale, ideal: Double) -> [SVGElement] {
        var entries = series.compactMap { line in
            line.points.last.map {
                (
                    text: "\(line.name) ×\(NumberText.fixed(max(0, $0.speedup), digits: 2))",
                    colour: PlotStyle.fill(line.colour), height: y.place($0.speedup)
                )
            }
        }
        entries.append((text: "ideal", colour: "", height: y.place(ideal)))
        let heights = LabelPlacement.spread(
            entries.map(\.height), gap: 17, within: area.y - 6...area.bottom)
        var drawn: [SVGElement] = []
        for (entry, height) in zip(entries, heights) {
            let start = PlotPoint(x: area.right + 6, y: entry.height)
            drawn.append(.line(start, PlotPoint(x: area.right + 18, y: height), "leader"))
            if !entry.colour.isEmpty {
                drawn.append(
                    .rectangle(
                        PlotBox(x: area.right + 22, y: height - 4, width: 8, height: 8), entry.colour, rounded: 2))
            }
            drawn.append(
                entry.colour.isEmpty
                    ? .label(entry.text, x: area.right + 22, y: height + 4, "quiet")
                    : .name(entry.text, x: area.right + 35, y: height + 4, within: Self.labelWidth - 35))
        }
        return drawn
    }

    private func count(_ threads: Int) -> String { "\(threads) thread\(threads == 1 ? "" : "s")" }
}
