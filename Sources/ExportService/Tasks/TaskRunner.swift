internal import ImageModel
internal import Logging
internal import ObjectStorage

/// Carries tasks out: a bounded number at a time, on threads of its own, in the order in which they were asked for.
///
/// What is said here of tasks is in the database; the runner itself holds only which of them run now.
final class TaskRunner: Sendable {
    private struct Board: Sendable {
        /// Tasks that were under way when the service ended, the oldest last.
        var interrupted: [String] = []
        var running: [String: TaskControl] = [:]
        /// How often somebody said that there is something to do.
        var calls: UInt64 = 0
        var isStarted = false
        var isStopping = false
        var threads: [ServiceThread] = []
    }

    private let context: TaskContext
    private let logger: Logger
    private let board = Monitor(Board())

    init(_ context: TaskContext, logger: Logger) {
        self.context = context
        self.logger = logger
    }

    /// Takes up what was under way, and from then on all that waits.
    func start() throws(StateError) {
        let interrupted = try context.state.interruptedTasks()
        let leftovers = try context.state.objectsLeftOver()
        board.withLock { board in
            board.interrupted = interrupted.reversed()
            board.isStarted = true
        }
        if !interrupted.isEmpty { logger.notice("tasks go on", metadata: ["count": "\(interrupted.count)"]) }
        for _ in 0..<context.settings.workers { launch { [self] in work() } }
        if !leftovers.isEmpty { launch { [self] in clean(leftovers) } }
    }

    private func launch(_ body: @escaping @Sendable () -> Void) {
        guard let thread = ServiceThread(body) else {
            return logger.error("the system grants no thread: raise the limit on processes and threads (ulimit -u)")
        }
        board.withLock { $0.threads.append(thread) }
    }

    /// There may be something to do.
    func wake() {
        board.withLock { $0.calls += 1 }
        board.wake()
    }

    /// Has a task stop that its owner does not want any more; one that does not run is not touched.
    func cancel(_ id: String) {
        board.withLock { $0.running[id]?.cancel() }
        wake()
    }

    /// Has all that runs stop where it is, to go on at the next start, and returns when it has.
    func stop() {
        let threads = board.withLock { board in
            board.isStopping = true
            for control in board.running.values { control.stop() }
            defer { board.threads = [] }
            return board.threads
        }
        board.wake()
        for thread in threads { thread.join() }
    }

    var isStarted: Bool { board.withLock { $0.isStarted && !$0.isStopping } }
    var runningCount: Int { board.withLock { $0.running.count } }

    // MARK: A thread's life

    private func work() {
        while let (task, wasInterrupted) = next() { run(task, wasInterrupted) }
    }

    /// Waits for a task; nil where the service ends.
    private func next() -> (TaskRecord, wasInterrupted: Bool)? {
        while true {
            let (calls, interrupted, isStopping) = board.withLock { board in
                (board.calls, board.isStopping ? nil : board.interrupted.popLast(), board.isStopping)
            }
            if isStopping { return nil }
            do throws(StateError) {
                if let interrupted {
                    if let task = try context.state.task(interrupted) { return (task, true) }
                    continue
                }
                if let task = try context.state.claimTask() { return (task, false) }
            } catch {
                logger.error("the database failed; trying again", metadata: ["error": "\(error)"])
                if let interrupted { board.withLock { $0.interrupted.append(interrupted) } }
                try? Pause.sleep(seconds: 1) { [board] in board.withLock { $0.isStopping } }
                continue
            }
            _ = try? board.wait { (board) throws(StoreError) -> Bool? in
                board.calls != calls || board.isStopping ? true : nil
            }
        }
    }

    private func run(_ task: TaskRecord, _ wasInterrupted: Bool) {
        let control = TaskControl()
        board.withLock { board in
            board.running[task.id] = control
            if board.isStopping { control.stop() }
        }
        defer { board.withLock { _ = $0.running.removeValue(forKey: task.id) } }
        var logger = logger
        logger[metadataKey: "task"] = "\(task.id)"
        logger[metadataKey: "request"] = "\(task.requestID)"
        // Whoever cancelled it before it stood on the board has written that down.
        if (try? context.state.task(task.id))?.isCancelRequested ?? false { control.cancel() }
        logger.notice(
            "the task runs",
            metadata: [
                "action": "\(task.action.rawValue)", "image": "\(task.imageID)", "bucket": "\(task.bucket)",
                "format": "\(task.format)", "account": "\(task.accountID)",
            ])
        let work = TaskWork(
            context: context, task: task, wasInterrupted: wasInterrupted, control: control, logger: logger)
        do throws(TaskFailure) {
            switch task.action {
            case .exportImage: try work.export()
            case .importImage: try work.importImage()
            }
            logger.notice("the task has finished")
        } catch {
            switch error {
            case .stopped: logger.notice("the task stops, and goes on at the next start")
            case .cancelled: logger.notice("the task was cancelled")
            case .failed(let reason):
                logger.error(
                    "the task failed",
                    metadata: ["code": "\(reason.code)", "message": "\(reason.message)", "cause": "\(reason.cause)"])
            }
        }
    }

    /// Removes what tasks left that could not be removed at their end.
    private func clean(_ ids: [String]) {
        for id in ids {
            guard let task = try? context.state.task(id) else { continue }
            let control = TaskControl()
            let isStopping = board.withLock { board in
                board.running["cleaning"] = control
                return board.isStopping
            }
            if isStopping { break }
            do throws(TaskFailure) {
                try TaskWork(context: context, task: task, wasInterrupted: true, control: control, logger: logger)
                    .removeLeftovers()
            } catch {
                logger.error("what a task left could not be removed", metadata: ["task": "\(id)", "error": "\(error)"])
            }
        }
        board.withLock { _ = $0.running.removeValue(forKey: "cleaning") }
    }
}
