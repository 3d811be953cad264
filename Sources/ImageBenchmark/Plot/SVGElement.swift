/// A node of an SVG document, drawn by nothing but its own text.
struct SVGElement: Sendable {
    private let name: String
    private var attributes: [(key: String, value: String)] = []
    private var children: [SVGElement] = []
    private var text: String?

    init(_ name: String, _ attributes: KeyValuePairs<String, String> = [:], _ children: [SVGElement] = []) {
        self.name = name
        self.attributes = attributes.map { ($0.key, $0.value) }
        self.children = children
    }

    init(_ name: String, _ attributes: KeyValuePairs<String, String> = [:], text: String) {
        self.init(name, attributes)
        self.text = text
    }

    /// The whole document, with this element as its root.
    var document: String {
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + lines(indent: "").joined(separator: "\n") + "\n"
    }

    private func lines(indent: String) -> [String] {
        let head = indent + "<" + name + attributes.map { " \($0.key)=\"\(Self.escaped($0.value))\"" }.joined()
        if let text { return [head + ">\(Self.escaped(text))</\(name)>"] }
        if children.isEmpty { return [head + "/>"] }
        return [head + ">"] + children.flatMap { $0.lines(indent: indent + "  ") } + [indent + "</\(name)>"]
    }

    /// Text as XML takes it; control characters, which it does not take at all, become a replacement character.
    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "\t", "\n": result += " "
            case _ where scalar.value < 32 || scalar.value == 0xfffe || scalar.value == 0xffff: result += "\u{fffd}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}

/// The shapes that a plot is made of; a class says how each looks.
extension SVGElement {
    enum Anchor: String {
        case start, middle, end
    }

    static func label(_ text: String, x: Double, y: Double, _ style: String, anchor: Anchor = .start) -> SVGElement {
        SVGElement(
            "text", ["x": number(x), "y": number(y), "class": style, "text-anchor": anchor.rawValue], text: text)
    }

    /// A name, in smaller letters where there is not the room for it.
    static func name(_ text: String, x: Double, y: Double, anchor: Anchor = .start, within width: Double) -> SVGElement
    {
        var label = label(text, x: x, y: y, "name", anchor: anchor)
        let wanted = PlotText.width(text, size: PlotStyle.labelSize)
        if wanted > width {
            label.attributes.append(("style", "font-size: \(number(PlotStyle.labelSize * width / wanted))px"))
        }
        return label
    }

    static func line(_ from: PlotPoint, _ to: PlotPoint, _ style: String) -> SVGElement {
        SVGElement(
            "line",
            ["x1": number(from.x), "y1": number(from.y), "x2": number(to.x), "y2": number(to.y), "class": style])
    }

    static func polyline(_ points: [PlotPoint], _ style: String) -> SVGElement {
        let text = points.map { "\(number($0.x)),\(number($0.y))" }.joined(separator: " ")
        return SVGElement("polyline", ["points": text, "class": style])
    }

    static func rectangle(_ box: PlotBox, _ style: String, rounded: Double = 0) -> SVGElement {
        SVGElement(
            "rect",
            [
                "x": number(box.x), "y": number(box.y), "width": number(max(0, box.width)),
                "height": number(max(0, box.height)), "rx": number(rounded), "class": style,
            ])
    }

    static func circle(_ center: PlotPoint, radius: Double, _ style: String) -> SVGElement {
        SVGElement(
            "circle", ["cx": number(center.x), "cy": number(center.y), "r": number(radius), "class": style])
    }

    /// With two digits behind the point at most; what is no number stands at 0.
    static func number(_ value: Double) -> String {
        guard value.isFinite, abs(value) < 1e9 else { return "0" }
        let hundredths = Int((value * 100).rounded())
        let rest = abs(hundredths) % 100
        let sign = hundredths < 0 ? "-" : ""
        let whole = "\(sign)\(abs(hundredths) / 100)"
        if rest == 0 { return hundredths == 0 ? "0" : whole }
        return whole + (rest % 10 == 0 ? ".\(rest / 10)" : rest < 10 ? ".0\(rest)" : ".\(rest)")
    }
}
