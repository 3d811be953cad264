internal import ImageModel

/// Throughput of each layout as a bar, with the peer's below it.
struct BarPanel: PlotPanel {
    struct Row: Sendable {
        var name: String
        var ours: (median: Double, least: Double, most: Double)
        var peer: Double?
    }

    let title: String
    let rows: [Row]
    /// nil where no row has one.
    let peerName: String?

    private static let rowHeight = 38.0
    private static let nameWidth = 148.0
    private static let valueWidth = 84.0

    var height: Double { 62 + Double(rows.count) * Self.rowHeight + 30 }

    func draw(in box: PlotBox) -> [SVGElement] {
        let greatest = rows.map { max($0.ours.median, $0.ours.most, $0.peer ?? 0) }.max() ?? 0
        let unit = PlotUnit(for: greatest)
        let area = box.inset(left: Self.nameWidth, top: 54, right: Self.valueWidth, bottom: 30)
        let scale = PlotScale.linear(0...max(1e-3, greatest / unit.bytes), at: (area.x, area.right), ticks: 4)
        var drawn = head(in: box)
        for tick in scale.ticks {
            let x = scale.place(tick)
            drawn.append(
                .line(PlotPoint(x: x, y: area.y), PlotPoint(x: x, y: area.bottom), tick == 0 ? "axis" : "grid"))
            let isLast = tick == scale.ticks.last
            drawn.append(
                .label(
                    PlotUnit.tick(tick) + (isLast ? " \(unit.rawValue)" : ""), x: x, y: area.bottom + 16, "tick",
                    anchor: .middle))
        }
        for (index, row) in rows.enumerated() {
            let top = area.y + Double(index) * Self.rowHeight
            drawn += draw(row, top: top + 4, area, scale, unit)
        }
        return drawn
    }

    private func head(in box: PlotBox) -> [SVGElement] {
        let names = [("Lathe", "ours"), (peerName ?? "", "peer")].filter { !$0.0.isEmpty }
        let legend = PlotLegend(entries: names.map { PlotLegend.Entry(name: $0.0, style: $0.1) })
        return [.label(title, x: box.x, y: box.y + 16, "head")] + legend.draw(in: box, top: box.y + 28).shapes
    }

    private func draw(_ row: Row, top: Double, _ area: PlotBox, _ scale: PlotScale, _ unit: PlotUnit) -> [SVGElement] {
        let thick = row.peer == nil ? 18.0 : 15.0
        let middle = top + thick / 2 + (row.peer == nil ? 6 : 0)
        let end = scale.place(row.ours.median / unit.bytes)
        let far = scale.place(row.ours.most / unit.bytes)
        let near = scale.place(row.ours.least / unit.bytes)
        var drawn: [SVGElement] = [
            .name(
                row.name, x: area.x - 8, y: row.peer == nil ? middle + 4 : top + 19, anchor: .end,
                within: Self.nameWidth - 8),
            .rectangle(
                PlotBox(x: area.x, y: middle - thick / 2, width: max(1, end - area.x), height: thick), "ours",
                rounded: 2),
        ]
        if far - near > 1.5 {
            drawn.append(.line(PlotPoint(x: near, y: middle), PlotPoint(x: far, y: middle), "whisker"))
            for x in [near, far] {
                drawn.append(.line(PlotPoint(x: x, y: middle - 3), PlotPoint(x: x, y: middle + 3), "whisker"))
            }
        }
        let value = unit.text(row.ours.median)
        let edge = max(end, far) + 6
        drawn.append(.label(value, x: edge, y: middle + 4, "value"))
        guard let peer = row.peer else { return drawn }
        let peerEnd = scale.place(peer / unit.bytes)
        drawn.append(
            .rectangle(
                PlotBox(x: area.x, y: top + thick + 1, width: max(1, peerEnd - area.x), height: 11), "peer", rounded: 2)
        )
        drawn.append(.label(unit.text(peer), x: peerEnd + 6, y: top + thick + 11, "quiet"))
        if peer > 0 {
            let times = "×" + NumberText.fixed(row.ours.median / peer, digits: 1)
            drawn.append(.label(times, x: edge + PlotText.width(value, size: 11) + 9, y: middle + 4, "quiet"))
        }
        return drawn
    }
}
