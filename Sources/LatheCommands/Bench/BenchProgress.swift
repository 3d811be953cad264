internal import Glibc
internal import ImageBenchmark
internal import ImageModel
internal import Synchronization

/// Shows on standard error which case is being measured: a line that is written over on a terminal, or a line of JSON each.
final class BenchProgress: Sendable {
    private let mode: ProgressMode
    private let total: Int
    private let done = Mutex(0)
    private let start = ContinuousClock.now

    init(_ mode: ProgressMode, total: Int) {
        self.mode = mode == .auto ? (isatty(STDERR_FILENO) == 1 ? .bar : .none) : mode
        self.total = total
    }

    private struct Line: Encodable {
        var done: Int
        var total: Int
        var elapsed: Double
        var measuring: String
    }

    func begin(_ measured: BenchCase) {
        let number = done.withLock { done in
            done += 1
            return done
        }
        let seconds = (ContinuousClock.now - start).seconds
        switch mode {
        case .none, .auto: return
        case .bar: show("[\(number)/\(total)] \(measured.description)")
        case .json:
            let line = Line(done: number - 1, total: total, elapsed: seconds, measuring: measured.description)
            if let text = try? Rendering.json(line, pretty: false) { Rendering.note(text) }
        }
    }

    /// Says what is done before the first case.
    func show(_ text: String) {
        if mode == .bar { Rendering.write(toStandardError: "\r\u{1B}[K" + text) }
    }

    /// Takes the line away: the results say it all.
    func finish() { show("") }
}
