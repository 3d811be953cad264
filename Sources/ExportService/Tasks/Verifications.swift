internal import ECSWire
internal import ImageModel
internal import Logging
internal import ObjectStorage

/// Objects that are read whole again, one at a time, and how that ended; nothing of it outlives the process.
final class Verifications: Sendable {
    enum Outcome: Sendable {
        case verifying(percent: Int)
        case verified(ExportedDisk)
        /// A sentence.
        case failed(String)

        var name: String {
            switch self {
            case .verifying: "Verifying"
            case .verified: "Verified"
            case .failed: "Failed"
            }
        }

        var percent: Int { if case .verifying(let percent) = self { percent } else { 100 } }
        var isOver: Bool { if case .verifying = self { false } else { true } }
    }

    private struct Name: Hashable, Sendable {
        var task: String
        var key: String
    }

    private struct Board: Sendable {
        var outcomes: [Name: Outcome] = [:]
        /// In the order in which they were asked for.
        var waiting: [(task: TaskRecord, object: TaskObjectRecord)] = []
        /// What is over, the oldest first.
        var ended: [Name] = []
        var thread: ServiceThread?
        var isStopping = false
    }

    private let context: TaskContext
    private let logger: Logger
    private let board = Monitor(Board())

    /// How many may wait, and how many that are over are remembered.
    private static let greatestCount = 1000

    init(_ context: TaskContext, logger: Logger) {
        self.context = context
        self.logger = logger
    }

    /// How it stands with one, which this begins where nobody has asked for it, or where it is over and to be done again.
    ///
    /// - Throws: `Throttling` where too many wait.
    func ask(_ task: TaskRecord, _ object: TaskObjectRecord, restarts: Bool) throws(APIError) -> Outcome {
        let name = Name(task: task.id, key: object.key)
        let outcome = board.withLock { board -> Outcome? in
            if let outcome = board.outcomes[name], !outcome.isOver || !restarts { return outcome }
            guard board.waiting.count < Self.greatestCount, !board.isStopping else { return nil }
            board.ended.removeAll { $0 == name }
            board.outcomes[name] = .verifying(percent: 0)
            board.waiting.append((task, object))
            if board.thread == nil { board.thread = ServiceThread { [self] in work() } }
            return .verifying(percent: 0)
        }
        board.wake()
        guard let outcome else {
            throw APIError(
                503, "ServiceUnavailable", "Too many objects wait to be verified, or the service ends. Try again later."
            )
        }
        return outcome
    }

    /// Ends the one that runs, and forgets the others; it blocks.
    func stop() {
        let thread = board.withLock { board in
            board.isStopping = true
            board.waiting = []
            return board.thread
        }
        board.wake()
        thread?.join()
    }

    private var isStopping: Bool { board.withLock { $0.isStopping } }

    private func work() {
        while true {
            try? board.wait { (board) throws(StoreError) -> Void? in
                board.isStopping || !board.waiting.isEmpty ? () : nil
            }
            let next = board.withLock { $0.waiting.isEmpty ? nil : $0.waiting.removeFirst() }
            guard let (task, object) = next else { return }
            let outcome = verify(task, object)
            let name = Name(task: task.id, key: object.key)
            board.withLock { board in
                board.outcomes[name] = outcome
                board.ended.append(name)
                while board.ended.count > Self.greatestCount {
                    board.outcomes[board.ended.removeFirst()] = nil
                }
            }
            logger.notice(
                "an object was verified",
                metadata: ["task": "\(task.id)", "object": "\(object.key)", "outcome": "\(outcome.name)"])
        }
    }

    private func verify(_ task: TaskRecord, _ object: TaskObjectRecord) -> Outcome {
        let name = Name(task: task.id, key: object.key)
        let monitor = WorkMonitor(
            onProgress: { [self] fraction in
                board.withLock { $0.outcomes[name] = .verifying(percent: min(99, Int(fraction * 100))) }
            }, isCancelled: { [self] in isStopping })
        do throws(ImageError) {
            let (store, key) = try opened(task.bucket, object.key)
            let found = try context.worker.verify(key, in: store, monitor)
            // The manifest lies in the same bucket: whoever can change the one can change the other.
            guard String(found.crc64) == object.crc64, found.length == object.length else {
                return .failed("The object is whole, but it is not the one that the task made.")
            }
            return .verified(found)
        } catch {
            logger.warning(
                "an object is not what it must be, or can't be read",
                metadata: ["task": "\(task.id)", "object": "\(object.key)", "error": "\(error)"])
            let hidden = [(context.state.objectsPath + "/", "oss://"), (context.state.directory, "the service")]
            return .failed(hidden.reduce(error.description) { $0.replacing($1.0, with: $1.1) })
        }
    }

    private func opened(_ bucket: String, _ key: String) throws(ImageError) -> (any ObjectStore, ObjectKey) {
        do throws(StoreError) {
            let store = RetryingStore(try context.buckets.open(bucket), isCancelled: { [self] in isStopping })
            return (store, try ObjectKey(key))
        } catch {
            throw error.imageError
        }
    }
}
