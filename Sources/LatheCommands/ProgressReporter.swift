internal import ArgumentParser
internal import Glibc
internal import ImageModel
internal import ImagePipeline
internal import ObjectStorage
internal import Synchronization

/// `--progress`.
enum ProgressMode: String, ExpressibleByArgument, CaseIterable {
    case auto, bar, json, none
}

/// Shows on standard error how far the work has come.
final class ProgressReporter: Sendable {
    private let mode: ProgressMode
    private let progress: WorkProgress
    private let transfer: TransferProgress?
    private let start = ContinuousClock.now
    private let isFinished = Mutex(false)
    private static let interval: UInt32 = 200_000
    private static let barWidth = 40

    /// - Parameter transfer: what is sent, where anything is.
    init(_ mode: ProgressMode, _ progress: WorkProgress, transfer: TransferProgress? = nil) {
        self.transfer = transfer
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

    /// Says at once what a person, or a program that reads the events, would like to know.
    func tell(_ event: Event, _ text: String) {
        isFinished.withLock { _ in
            switch mode {
            case .json:
                if let line = try? Rendering.json(Remark(event: event.rawValue, message: text), pretty: false) {
                    Rendering.note(line)
                }
            case .bar: Rendering.write(toStandardError: "\r\u{1B}[Klathe: \(text)\n")
            case .auto, .none: Rendering.note("lathe: \(text)")
            }
        }
    }

    /// What an event is of, for programs.
    enum Event: String {
        /// A call failed for the moment, and is made again.
        case retry
        /// Anything else that is worth a sentence.
        case note
    }

    private struct Remark: Encodable {
        var event: String
        var message: String
    }

    private struct Line: Encodable {
        var event = "progress"
        var done: UInt64
        /// nil while it is not known.
        var total: UInt64?
        var elapsed: Double
        /// Seconds, as far as can be told from what is done.
        var left: Double?
        var sent: UInt64?
        var parts: Int?
        var partsPresent: Int?
        var retries: Int?
        /// Bytes sent a second, since the start.
        var rate: Double?

        enum CodingKeys: String, CodingKey {
            case event, done, total, elapsed, left, sent, parts, retries, rate
            case partsPresent = "parts-present"
        }
    }

    private func show() {
        let done = progress.done
        let total = progress.total
        let elapsed = (ContinuousClock.now - start).seconds
        if mode == .json {
            var line = Line(done: done, total: total, elapsed: elapsed, left: left(done, total, elapsed))
            if let transfer {
                line.sent = transfer.bytesSent
                line.parts = transfer.partsSent
                line.partsPresent = transfer.partsPresent
                line.retries = transfer.retries
                line.rate = elapsed > 0 ? Double(transfer.bytesSent) / elapsed : nil
            }
            if let text = try? Rendering.json(line, pretty: false) { Rendering.note(text) }
            return
        }
        var text = "\r"
        // Nobody knows how much of a pipe is left.
        if let total, total > 0 {
            let share = Double(done) / Double(total)
            let filled = Int(share * Double(Self.barWidth))
            let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: Self.barWidth - filled)
            text += "[\(bar)] \(NumberText.fixed(share * 100, digits: 1))%  "
        }
        text += NumberText.size(done)
        if let transfer { text += sentText(transfer, elapsed) }
        if let left = left(done, total, elapsed) { text += ", \(NumberText.fixed(left, digits: 0)) s left" }
        Rendering.write(toStandardError: text + "   ")
    }

    /// What was sent, in how many parts and how fast.
    private func sentText(_ transfer: TransferProgress, _ elapsed: Double) -> String {
        var text = " read, \(NumberText.size(transfer.bytesSent)) sent in \(transfer.partsSent) parts"
        if transfer.partsPresent > 0 { text += " (\(transfer.partsPresent) were there)" }
        if transfer.retries > 0 { text += ", \(transfer.retries) retries" }
        let rate = elapsed > 0 ? Double(transfer.bytesSent) / elapsed / 1e6 : 0
        return text + ", \(NumberText.fixed(rate, digits: 0)) MB/s"
    }

    /// Seconds to go, if the rest takes as long as what is done; where all is read, the rest is what is still to be sent.
    private func left(_ done: UInt64, _ total: UInt64?, _ elapsed: Double) -> Double? {
        guard elapsed > 1, let total else { return nil }
        if done > 0, done < total { return elapsed / Double(done) * Double(total - done) }
        guard done == total, let transfer, transfer.bytesSent > 0, transfer.bytesWaiting > 0 else { return nil }
        return elapsed / Double(transfer.bytesSent) * Double(transfer.bytesWaiting)
    }
}
