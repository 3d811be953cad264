internal import ECSWire
internal import ImageModel
internal import Logging
internal import ObjectStorage
internal import Synchronization

/// What every task needs to be carried out.
struct TaskContext: Sendable {
    let state: ServiceState
    let buckets: any BucketProvider
    let worker: any DiskWorker
    let settings: ServiceSettings
}

/// One task in the hands of a thread.
struct TaskWork: Sendable {
    let context: TaskContext
    let task: TaskRecord
    /// Whether it was under way already when the service ended.
    let wasInterrupted: Bool
    let control: TaskControl
    let logger: Logger

    var state: ServiceState { context.state }

    /// For how many seconds the store is asked to take things back; a service that ends waits for it.
    private static let cleaningPatience = 30.0

    // MARK: The store

    /// The task's bucket, once it is sure that it may be used.
    func openStore() throws(TaskFailure) -> any ObjectStore {
        let bucket = task.bucket
        let facts = try patiently { () throws(StoreError) in try context.buckets.facts(of: bucket) }
        do throws(APIError) {
            let row = try BucketRules.require(bucket, of: task.accountID, in: task.regionID, state)
            try BucketRules.require(facts, of: row, reading: task.action == .importImage)
        } catch {
            throw .failed(TaskReason(error))
        }
        let store = try patiently { () throws(StoreError) in try context.buckets.open(bucket) }
        return retrying(store, patience: context.settings.storePatience)
    }

    private func retrying(_ store: any ObjectStore, patience: Double) -> any ObjectStore {
        RetryingStore(
            store, policy: RetryPolicy(longestPause: 5, patience: patience),
            isCancelled: { [control] in control.isToEnd },
            onRetry: { [logger] error in
                logger.warning("the store failed; trying again", metadata: ["error": "\(error)"])
            })
    }

    /// Makes a call until it succeeds, fails for good, or has failed for too long.
    private func patiently<Result>(_ call: () throws(StoreError) -> Result) throws(TaskFailure) -> Result {
        let end = ContinuousClock.now + .seconds(context.settings.storePatience)
        while true {
            if control.isToEnd { throw ending }
            do throws(StoreError) { return try call() } catch {
                guard error.isTransient, ContinuousClock.now < end else { throw failure(error.imageError) }
                logger.warning("the store failed; trying again", metadata: ["error": "\(error)"])
                try? Pause.sleep(seconds: 1) { [control] in control.isToEnd }
            }
        }
    }

    // MARK: Failures

    /// Why it ends where nothing but a request to stop is the reason.
    var ending: TaskFailure { control.isCancelled ? .cancelled : .stopped }

    func failure(_ error: ImageError) -> TaskFailure {
        if error.code == .cancelled || control.isToEnd { return ending }
        return .failed(TaskReason(error, hiding: hiddenPaths))
    }

    private var hiddenPaths: [(path: String, name: String)] {
        let disks = (try? state.image(task.imageID))?.disks ?? []
        return disks.map { ($0.path, "the disk \($0.device)") } + [
            (state.objectsPath + "/", "oss://"), (state.checkpointsPath, "the checkpoints"),
            (state.importsPath, "the imports"),
            (state.directory, "the service"),
        ]
    }

    // MARK: Progress

    /// Watches the work on one disk.
    ///
    /// - Parameters:
    ///   - done: what of the whole was done before, from 0 to 1.
    ///   - share: what of the whole the disk is.
    func monitor(done: Double, share: Double) -> WorkMonitor {
        let throttle = ProgressThrottle()
        return WorkMonitor(
            onProgress: { [state, task] fraction in
                guard let percent = throttle.percent(done + share * min(max(fraction, 0), 1)) else { return }
                // The next one will do, too.
                try? state.setProgress(percent, ofTask: task.id)
            }, isCancelled: { [control] in control.isToEnd })
    }

    // MARK: Taking back

    /// Removes what an export has made in the store, and its checkpoints.
    ///
    /// - Returns: the objects' rows as they are then: what could not be removed stays done.
    /// - Throws: `stopped` where the service ends meanwhile.
    func discardExport(_ jobs: [(object: TaskObjectRecord, job: DiskExportJob)]) throws(TaskFailure)
        -> [TaskObjectRecord]
    {
        var rows: [TaskObjectRecord] = []
        for (object, job) in jobs {
            var row = object.undone
            do throws(ImageError) { try context.worker.discard(job) } catch {
                if control.isStopping { throw .stopped }
                row.isDone = true
                logger.error(
                    "what the task made could not be removed; the next start tries again",
                    metadata: ["object": "\(row.key)", "error": "\(error)"])
            }
            rows.append(row)
        }
        return rows
    }

    /// The store to take things back from; nil where there is no such bucket any more.
    func cleaningStore() throws(TaskFailure) -> (any ObjectStore)? {
        do throws(StoreError) {
            return RetryingStore(
                try context.buckets.open(task.bucket),
                policy: RetryPolicy(longestPause: 2, patience: Self.cleaningPatience),
                isCancelled: { [control] in control.isStopping })
        } catch {
            if error.code == .noSuchBucket { return nil }
            throw control.isStopping ? .stopped : .failed(TaskReason(error.imageError, hiding: hiddenPaths))
        }
    }
}

/// Lets a percentage pass where it is a new one and half a second has gone by.
private final class ProgressThrottle: Sendable {
    private let last = Mutex<(percent: Int, time: ContinuousClock.Instant?)>((0, nil))

    /// - Returns: 99 at most: 100 is said when all is done.
    func percent(_ fraction: Double) -> Int? {
        let percent = min(99, Int(fraction * 100))
        let now = ContinuousClock.now
        return last.withLock { last in
            guard percent > last.percent, last.time.map({ now - $0 >= .milliseconds(500) }) ?? true else { return nil }
            last = (percent, now)
            return percent
        }
    }
}
