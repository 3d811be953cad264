/// How things look: classes of one style sheet, for light pages and for dark ones.
enum PlotStyle {
    /// Text of the labels, in units of the drawing.
    static let labelSize = 12.0

    /// Colours of the formats, in their order: apart from each other for people who see colours less well, too.
    static let seriesCount = colours.count

    private static let rules: [(selector: String, light: String, dark: String)] = [
        (".page", "fill: #ffffff", "fill: #0d1117"),
        (".title", "fill: #1b2530; font-size: 20px; font-weight: 600", "fill: #e6edf3"),
        (".head", "fill: #1b2530; font-size: 14px; font-weight: 600", "fill: #e6edf3"),
        (".note", "fill: #5d6975; font-size: 12px", "fill: #9aa5b1"),
        (".tick", "fill: #5d6975; font-size: 11px", "fill: #9aa5b1"),
        (".name", "fill: #1b2530; font-size: 12px", "fill: #e6edf3"),
        (".value", "fill: #1b2530; font-size: 11px; font-weight: 600", "fill: #e6edf3"),
        (".quiet", "fill: #5d6975; font-size: 11px", "fill: #9aa5b1"),
        (".grid", "stroke: #e4e8ec; stroke-width: 1", "stroke: #2a313a"),
        (".axis", "stroke: #9aa5b1; stroke-width: 1", "stroke: #57606a"),
        (".ideal", "stroke: #9aa5b1; stroke-width: 1.5; stroke-dasharray: 2 4", "stroke: #57606a"),
        (".leader", "stroke: #b7c0c9; stroke-width: 1", "stroke: #57606a"),
        (".whisker", "stroke: #1b2530; stroke-width: 1.2; opacity: 0.7", "stroke: #e6edf3"),
        (".ours", "fill: #17728f", "fill: #4aa8c7"),
        (".peer", "fill: #b3bcc5", "fill: #56606b"),
        (
            ".frontier", "fill: none; stroke: #17728f; stroke-width: 10; stroke-linejoin: round; opacity: 0.16",
            "stroke: #4aa8c7"
        ),
        (".band", "fill: #17728f; opacity: 0.22", "fill: #4aa8c7"),
        (".dashed", "stroke-dasharray: 6 4", ""),
        (".edge", "stroke: #ffffff; stroke-width: 1.5", "stroke: #0d1117"),
    ]

    private static let colours: [(light: String, dark: String)] = [
        ("#17728f", "#4aa8c7"), ("#c8641b", "#e89452"), ("#3d8f46", "#6cbf76"), ("#a63d78", "#d87bb0"),
        ("#6b5bb0", "#a497e0"), ("#8a6d1d", "#c9a94e"), ("#b23a3a", "#e58080"), ("#4f5b66", "#a9b4bf"),
    ]

    /// The line of the n-th series.
    static func line(_ series: Int) -> String { "line line\(series % seriesCount)" }
    /// What the n-th series fills.
    static func fill(_ series: Int) -> String { "fill\(series % seriesCount)" }

    static var sheet: String {
        var light = ["text { font-family: system-ui, 'Segoe UI', Helvetica, Arial, sans-serif }"]
        light.append(".line { fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round }")
        var dark: [String] = []
        for rule in rules {
            light.append("\(rule.selector) { \(rule.light) }")
            if !rule.dark.isEmpty { dark.append("\(rule.selector) { \(rule.dark) }") }
        }
        for (index, colour) in colours.enumerated() {
            light.append(".line\(index) { stroke: \(colour.light) } .fill\(index) { fill: \(colour.light) }")
            dark.append(".line\(index) { stroke: \(colour.dark) } .fill\(index) { fill: \(colour.dark) }")
        }
        return (light + ["@media (prefers-color-scheme: dark) { " + dark.joined(separator: " ") + " }"])
            .joined(separator: " ")
    }
}
