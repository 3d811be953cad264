/// Names beside their colours, in lines as wide as a panel.
struct PlotLegend: Sendable {
    struct Entry: Sendable {
        var name: String
        /// What fills the mark.
        var style: String
    }

    private static let lineHeight = 17.0
    private static let markWidth = 15.0
    private static let gap = 16.0

    let entries: [Entry]

    /// The shapes, and the height that they take.
    func draw(in box: PlotBox, top: Double) -> (shapes: [SVGElement], height: Double) {
        var shapes: [SVGElement] = []
        var x = box.x
        var y = top
        for entry in entries {
            let width = Self.markWidth + PlotText.width(entry.name, size: 12)
            if x > box.x, x + width > box.right {
                x = box.x
                y += Self.lineHeight
            }
            shapes.append(.rectangle(PlotBox(x: x, y: y, width: 10, height: 10), entry.style, rounded: 2))
            shapes.append(.label(entry.name, x: x + Self.markWidth, y: y + 9, "note"))
            x += width + Self.gap
        }
        return (shapes, y + Self.lineHeight - top)
    }
}
