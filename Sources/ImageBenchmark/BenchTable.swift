internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

/// A report for people: a table for each job, with a bar a row, scaled to the fastest of the table.
package struct BenchTable {
    private static let barWidth = 24
    let report: BenchReport

    package init(report: BenchReport) { self.report = report }

    package var text: String {
        var lines = head
        for job in BenchJob.allCases {
            let results = report.results(of: job)
            guard !results.isEmpty else { continue }
            lines += ["", title(of: job, results)] + table(of: job, results)
        }
        return lines.joined(separator: "\n")
    }

    private var head: [String] {
        let machine = report.machine
        let source = report.source
        return [
            "Lathe \(report.version) and \(report.peer.sentence), on \(machine.processor), \(machine.processorCount) "
                + "processor\(machine.processorCount == 1 ? "" : "s"), \(machine.system)",
            "Source: \(source.isGenerated ? "generated, " : "")\(source.description): \(NumberText.size(source.virtualSize))"
                + " disk with \(NumberText.size(source.dataBytes)) of data",
            "To: \(report.destination.name). "
                + (report.repeats == 1
                    ? "Each figure is of one run."
                    : "Each figure is the median of \(report.repeats) runs; the spread is the slowest and the fastest."),
            "MB/s: bytes of data (guest bytes that are not zero), in 10⁶, by wall time.",
        ]
    }

    private func title(of job: BenchJob, _ results: [BenchResult]) -> String {
        guard job == .compress, let bytes = results.first?.dataBytes else { return job.title }
        return "\(job.title), over \(NumberText.size(bytes)) of the data; size is what is left of it"
    }

    private func table(of job: BenchJob, _ results: [BenchResult]) -> [String] {
        let best = results.map(\.throughput).max() ?? 0
        let hasPeer = results.contains { $0.peer != nil }
        let rows = results.map { cells(of: job, $0, best: best, hasPeer: hasPeer) }
        var head = ["format"]
        if job == .compress { head += ["level", "size"] }
        head += ["threads", "MB/s", "spread", ""]
        if hasPeer { head += [PeerImager.program, "ours by it"] }
        return Self.aligned([head] + rows, leading: [0, head.count - (hasPeer ? 3 : 1)])
    }

    private func cells(of job: BenchJob, _ result: BenchResult, best: Double, hasPeer: Bool) -> [String] {
        let rates = result.ours.throughput(result.dataBytes)
        var cells = [result.measured.variant.name]
        if job == .compress {
            cells += [result.measured.level.map(String.init) ?? "", Self.size(result.ours, result.dataBytes)]
        }
        cells += [
            "\(result.measured.threads)", Self.rate(rates.median), "\(Self.rate(rates.least))–\(Self.rate(rates.most))",
            Self.bar(rates.median, of: best),
        ]
        guard hasPeer else { return cells }
        guard let peer = result.peer else { return cells + ["", ""] }
        let theirs = peer.throughput(result.dataBytes).median
        let size = job == .compress ? ", " + Self.size(peer, result.dataBytes) : ""
        let ratio = theirs > 0 ? NumberText.fixed(rates.median / theirs, digits: 2) + "×" : ""
        return cells + [Self.rate(theirs) + size, ratio]
    }

    // MARK: - Cells

    /// In 10⁶ bytes a second.
    static func rate(_ bytesPerSecond: Double) -> String {
        let value = bytesPerSecond / 1e6
        return NumberText.fixed(value, digits: value < 10 ? 1 : 0)
    }

    private static func size(_ figure: BenchFigure, _ dataBytes: UInt64) -> String {
        figure.sizeRatio(dataBytes).map { NumberText.fixed($0 * 100, digits: 1) + " %" } ?? ""
    }

    /// A bar of whole blocks with an eighth's precision at its end.
    static func bar(_ value: Double, of best: Double) -> String {
        guard best > 0, value > 0 else { return "" }
        let eighths = Int((min(1, value / best) * Double(barWidth * 8)).rounded())
        let rests = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
        return String(repeating: "█", count: eighths / 8) + rests[eighths % 8]
    }

    /// Columns two spaces apart; those of `leading` begin on the left, the others end on the right.
    private static func aligned(_ rows: [[String]], leading: Set<Int>) -> [String] {
        let count = rows.map(\.count).max() ?? 0
        let widths = (0..<count).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let gap = String(repeating: " ", count: widths[column] - cell.count)
                line += "  " + (leading.contains(column) ? cell + gap : gap + cell)
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}
