/// Size against speed: a point for each level of each compressor, and the frontier of those that no other beats in both.
struct CompressionPanel: PlotPanel {
    struct Point: Sendable {
        /// Bytes a second.
        var speed: Double
        /// What is left of the data, 1 for all of it.
        var size: Double
        var label: String
        /// Whether it is what the encoder takes where nothing is said.
        var isStandard = false
    }

    struct Series: Sendable {
        var name: String
        var points: [Point]
        var style: String
    }

    let title: String
    let series: [Series]

    let height = 360.0

    func draw(in box: PlotBox) -> [SVGElement] {
        let entries = series.map { PlotLegend.Entry(name: $0.name, style: $0.style) }
        let best = PlotLegend.Entry(name: "no other is both smaller and faster", style: "band")
        let legend = PlotLegend(entries: entries + [best]).draw(in: box, top: box.y + 28)
        let area = box.inset(left: 44, top: 44 + legend.height, right: 12, bottom: 44)
        var drawn: [SVGElement] = [.label(title, x: box.x, y: box.y + 16, "head")] + legend.shapes
        let all = series.flatMap(\.points)
        guard let slowest = all.map(\.speed).min(), let fastest = all.map(\.speed).max(),
            let smallest = all.map(\.size).min(), let largest = all.map(\.size).max()
        else { return drawn }
        let unit = PlotUnit.megabytes
        let x = PlotScale.logarithmic(slowest / unit.bytes...fastest / unit.bytes, at: (area.x, area.right))
        // Room above and below for labels; and what hardly differs shall not look as if it did.
        let margin = max(0.004, (largest - smallest) * 0.12)
        let y = PlotScale.linear(
            (smallest - margin) * 100...(largest + margin) * 100, at: (area.bottom, area.y), ticks: 7)
        drawn += axes(area, x, y, unit)
        let place = { (point: Point) in
            PlotPoint(x: x.place(point.speed / unit.bytes), y: y.place(point.size * 100))
        }
        drawn.append(.polyline(Self.frontier(of: all).map(place), "frontier"))
        drawn += labels(area, place)
        for line in series {
            drawn += line.points.map { .circle(place($0), radius: 4.5, line.style + " edge") }
        }
        return drawn
    }

    /// The points that no other beats in both, the slowest first.
    static func frontier(of points: [Point]) -> [Point] {
        var best: [Point] = []
        for point in points.sorted(by: { ($0.speed, -$0.size) > ($1.speed, -$1.size) })
        where point.size < best.last?.size ?? .infinity {
            best.append(point)
        }
        return best.reversed()
    }

    private func axes(_ area: PlotBox, _ x: PlotScale, _ y: PlotScale, _ unit: PlotUnit) -> [SVGElement] {
        var drawn: [SVGElement] = []
        for tick in y.ticks {
            let place = y.place(tick)
            drawn.append(.line(PlotPoint(x: area.x, y: place), PlotPoint(x: area.right, y: place), "grid"))
            drawn.append(.label(PlotUnit.tick(tick) + " %", x: area.x - 6, y: place + 4, "tick", anchor: .end))
        }
        for tick in x.ticks {
            let place = x.place(tick)
            drawn.append(.line(PlotPoint(x: place, y: area.y), PlotPoint(x: place, y: area.bottom), "grid"))
            drawn.append(.label(PlotUnit.tick(tick), x: place, y: area.bottom + 17, "tick", anchor: .middle))
        }
        drawn.append(.line(PlotPoint(x: area.x, y: area.bottom), PlotPoint(x: area.right, y: area.bottom), "axis"))
        drawn.append(
            .label("\(unit.rawValue), logarithmic: faster →", x: area.right, y: area.bottom + 34, "tick", anchor: .end))
        drawn.append(.label("of the data is left: smaller ↓", x: area.x + 6, y: area.y + 12, "tick"))
        return drawn
    }

    /// The levels beside their points, as far as there is room; the standard ones first, since they matter most.
    private func labels(_ area: PlotBox, _ place: (Point) -> PlotPoint) -> [SVGElement] {
        var placement = LabelPlacement(in: area)
        // What is written in the corner.
        placement.take(PlotBox(x: area.x, y: area.y, width: 180, height: 16))
        let points = series.flatMap(\.points).filter { !$0.label.isEmpty }
        for point in series.flatMap(\.points).map(place) {
            placement.take(PlotBox(x: point.x - 5, y: point.y - 5, width: 10, height: 10))
        }
        var drawn: [SVGElement] = []
        for point in points.filter(\.isStandard) + points.filter({ !$0.isStandard }) {
            let text = point.isStandard ? "\(point.label), default" : point.label
            let size = (width: PlotText.width(text, size: 11), height: 11.0)
            guard let box = placement.place(size, beside: place(point), gap: 7) else { continue }
            if point.isStandard { drawn.append(.line(place(point), box.nearest(to: place(point)), "leader")) }
            let style = point.isStandard ? "value" : "quiet"
            drawn.append(.label(text, x: box.x + box.width / 2, y: box.bottom - 2, style, anchor: .middle))
        }
        return drawn
    }
}
