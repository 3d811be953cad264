internal import Synchronization

/// How a task that runs is told to stop, from any thread.
final class TaskControl: Sendable {
    private let cancelled = Atomic<Bool>(false)
    private let stopping = Atomic<Bool>(false)

    /// Its owner does not want it any more: what it made is to go.
    func cancel() { cancelled.store(true, ordering: .relaxed) }
    /// The service ends: what it made stays, to go on from.
    func stop() { stopping.store(true, ordering: .relaxed) }

    var isCancelled: Bool { cancelled.load(ordering: .relaxed) }
    var isStopping: Bool { stopping.load(ordering: .relaxed) }
    var isToEnd: Bool { isCancelled || isStopping }
}
