internal import ImageModel

/// The unit of throughput that a panel's figures are short in.
enum PlotUnit: String, Sendable {
    case megabytes = "MB/s"
    case gigabytes = "GB/s"

    /// - Parameter greatest: in bytes a second.
    init(for greatest: Double) { self = greatest >= 2e9 ? .gigabytes : .megabytes }

    var bytes: Double { self == .gigabytes ? 1e9 : 1e6 }

    /// Bytes a second as three digits or so.
    func text(_ bytesPerSecond: Double) -> String {
        let value = max(0, bytesPerSecond.isFinite ? bytesPerSecond / bytes : 0)
        return NumberText.fixed(
            value, digits: value < 1 ? 2 : value < 100 && self == .gigabytes ? 1 : value < 10 ? 1 : 0)
    }

    /// A tick, without needless digits.
    static func tick(_ value: Double) -> String { SVGElement.number(value) }
}
