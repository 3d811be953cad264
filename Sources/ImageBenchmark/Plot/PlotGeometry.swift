internal import Glibc

/// A place on the drawing, in its units; y grows downwards.
struct PlotPoint: Hashable, Sendable {
    var x: Double
    var y: Double
}

/// A rectangle on the drawing.
struct PlotBox: Hashable, Sendable {
    var x: Double
    var y: Double
    var width: Double
    var height: Double

    var right: Double { x + width }
    var bottom: Double { y + height }

    func overlaps(_ other: PlotBox) -> Bool {
        x < other.right && other.x < right && y < other.bottom && other.y < bottom
    }

    func contains(_ other: PlotBox) -> Bool {
        x <= other.x && other.right <= right && y <= other.y && other.bottom <= bottom
    }

    /// The place in it that is nearest to a point.
    func nearest(to point: PlotPoint) -> PlotPoint {
        PlotPoint(x: min(max(point.x, x), right), y: min(max(point.y, y), bottom))
    }

    func inset(left: Double = 0, top: Double = 0, right: Double = 0, bottom: Double = 0) -> PlotBox {
        PlotBox(x: x + left, y: y + top, width: width - left - right, height: height - top - bottom)
    }
}

/// Brings values to places along an axis, with ticks at round numbers.
struct PlotScale: Sendable {
    /// Where the first and the last value stand.
    let places: (first: Double, last: Double)
    let ticks: [Double]
    private let domain: ClosedRange<Double>
    private let isLogarithmic: Bool

    /// Even steps of 1, 2 or 5 times a power of ten; both ends are ticks.
    static func linear(_ values: ClosedRange<Double>, at places: (Double, Double), ticks wanted: Int) -> PlotScale {
        let low = values.lowerBound.isFinite ? values.lowerBound : 0
        let span = max(1e-9, values.upperBound.isFinite ? values.upperBound - low : 1)
        let step = roundStep(span / Double(max(1, wanted)))
        let first = (low / step).rounded(.down)
        let last = max(first + 1, ((low + span) / step - 1e-9).rounded(.up))
        let ticks = stride(from: first, through: last, by: 1).map { $0 * step }
        return PlotScale(
            places: places, ticks: ticks, domain: first * step...last * step, isLogarithmic: false)
    }

    /// Ticks at 1, 2 and 5 times the powers of ten, and a little room at both ends.
    static func logarithmic(_ values: ClosedRange<Double>, at places: (Double, Double)) -> PlotScale {
        let low = max(1e-9, values.lowerBound) / 1.2
        let high = max(low * 2, values.upperBound * 1.2)
        var ticks: [Double] = []
        var decade = pow(10, log10(low).rounded(.down))
        while decade <= high {
            ticks += [1, 2, 5].map { $0 * decade }.filter { (low...high).contains($0) }
            decade *= 10
        }
        return PlotScale(places: places, ticks: ticks, domain: low...high, isLogarithmic: true)
    }

    /// Ticks at powers of two, and halfway between them where there are few.
    static func doubling(_ values: ClosedRange<Double>, at places: (Double, Double)) -> PlotScale {
        let low = max(1e-3, values.lowerBound.isFinite ? values.lowerBound : 1)
        let high = max(low * 2, values.upperBound.isFinite ? min(values.upperBound, 1e6) : 1)
        var ticks: [Double] = []
        var tick = pow(2, log2(low).rounded(.down))
        while tick <= high * 1.001 {
            ticks += (high > low * 8 ? [tick] : [tick, tick * 1.5]).filter { (low * 0.999...high * 1.001).contains($0) }
            tick *= 2
        }
        return PlotScale(places: places, ticks: ticks, domain: low...high, isLogarithmic: true)
    }

    private init(
        places: (Double, Double), ticks: [Double], domain: ClosedRange<Double>, isLogarithmic: Bool
    ) {
        self.places = places
        self.ticks = ticks
        self.domain = domain
        self.isLogarithmic = isLogarithmic
    }

    func place(_ value: Double) -> Double {
        let share =
            isLogarithmic
            ? log(max(value, domain.lowerBound) / domain.lowerBound) / log(domain.upperBound / domain.lowerBound)
            : (value - domain.lowerBound) / (domain.upperBound - domain.lowerBound)
        return places.first + share * (places.last - places.first)
    }

    /// The least of 1, 2 and 5 times a power of ten that is not below a step.
    private static func roundStep(_ step: Double) -> Double {
        let power = pow(10, log10(max(step, 1e-12)).rounded(.down))
        let factor = [1.0, 2, 5, 10].first { $0 * power >= step * (1 - 1e-9) } ?? 10
        return factor * power
    }
}

/// Finds room for labels, so that none covers another or a mark.
struct LabelPlacement: Sendable {
    let bounds: PlotBox
    private(set) var taken: [PlotBox] = []

    init(in bounds: PlotBox) { self.bounds = bounds }

    mutating func take(_ box: PlotBox) { taken.append(box) }

    /// A place beside a mark, of those that are tried the first with room.
    ///
    /// - Returns: the box for the text; nil where there is no room.
    mutating func place(_ size: (width: Double, height: Double), beside mark: PlotPoint, gap: Double) -> PlotBox? {
        let (width, height) = size
        for distance in [gap, gap * 1.8, gap * 3] {
            let right = mark.x + distance
            let left = mark.x - distance - width
            let above = mark.y - distance - height
            let below = mark.y + distance
            let beside = mark.y - height / 2
            let middle = mark.x - width / 2
            let tries = [
                (middle, above), (right, beside), (right, above), (middle, below), (left, below), (left, beside),
                (left, above), (right, below),
            ]
            for (x, y) in tries {
                let box = PlotBox(x: x, y: y, width: width, height: height)
                guard bounds.contains(box), !taken.contains(where: box.overlaps) else { continue }
                taken.append(box)
                return box
            }
        }
        return nil
    }

    /// Moves heights apart, as little as is needed, so that neighbours stand at least `gap` from each other.
    static func spread(_ heights: [Double], gap: Double, within limits: ClosedRange<Double>) -> [Double] {
        let order = heights.indices.sorted { heights[$0] < heights[$1] }
        var placed = heights
        var floor = limits.lowerBound
        for index in order {
            placed[index] = max(heights[index], floor)
            floor = placed[index] + gap
        }
        var ceiling = limits.upperBound
        for index in order.reversed() {
            placed[index] = min(placed[index], ceiling)
            ceiling = placed[index] - gap
        }
        return placed
    }
}

/// About how wide a text is: fonts differ, and a plot knows none of them.
enum PlotText {
    static func width(_ text: String, size: Double) -> Double { Double(text.count) * size * 0.58 }
}
