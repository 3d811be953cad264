internal import ArgumentParser
internal import Glibc
internal import ImagePipeline
internal import Synchronization

/// `--progress`.
enum ProgressMode: String, ExpressibleByArgument, CaseIterable {
    case auto, bar, json, none
}

/// Shows on standard error how far the work has come.
final class ProgressReporter: Sendable {
    private let mode: ProgressMode
    private let progress: WorkProgress
    private let start = ContinuousClock.now
    private let isFinished = Mutex(false)
    private static let interval: UInt32 = 200_000
    private static let barWidth = 40

    init(_ mode: ProgressMode, _ progress: WorkProgress) {
        self.mode = mode == .auto ? (isatty(STDERR_FILENO) == 1 ? .bar : .none) : mode
        self.progress = progress
        guard self.mode != .none else { return }
        BackgroundThread.start { [self] in
            while true {
                usleep(Self.interval)
                let goesOn = isFinished.withLock { finished in
                    if !finished { show() }
                    return !finished
                }
                guard goesOn else { return }
            }
        }
    }

    /// Shows the last state and ends the line.
    func finish() {
        guard mode != .none else { return }
        isFinished.withLock { finished in
            guard !finished else { return }
            finished = true
            show()
            if mode == .bar { Rendering.write(toStandardError: "\n") }
        }
    }

    private struct Line: Encodable {
        var done: UInt64
        var total: UInt64
        var elapsed: Double
    }

    private func show() {
        let done = progress.done
        let total = progress.total
        let elapsed = (ContinuousClock.now - start).seconds
        if mode == .json {
            let line = Line(done: done, total: total, elapsed: elapsed)
            if let text = try? Rendering.json(line, pretty: false) { Rendering.note(text) }
            return
        }
        let share = total == 0 ? 1 : Double(done) / Double(total)
        let filled = Int(share * Double(Self.barWidth))
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: Self.barWidth - filled)
        let text = "\r[\(bar)] \(Rendering.fixed(share * 100, digits: 1))%  \(Rendering.size(done))"
        Rendering.write(toStandardError: text + "   ")
    }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
