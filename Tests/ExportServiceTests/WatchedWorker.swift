import ExportService
import ImageModel
import ObjectStorage
import Synchronization

@testable import LatheCommands

/// The real engine, at whose doors a test stands.
final class WatchedWorker: DiskWorker {
    private let engine = ServiceHarness.engine
    private let before: @Sendable (DiskExportJob, WorkMonitor) throws(ImageError) -> Void
    private let after: @Sendable (DiskExportJob) throws(ImageError) -> Void
    private let count = Mutex((running: 0, most: 0, begun: 0))

    init(
        before: @escaping @Sendable (DiskExportJob, WorkMonitor) throws(ImageError) -> Void = {
            (_, _) throws(ImageError) in
        },
        after: @escaping @Sendable (DiskExportJob) throws(ImageError) -> Void = { (_) throws(ImageError) in }
    ) {
        self.before = before
        self.after = after
    }

    /// How many exports were at work at a time, at most.
    var mostRunning: Int { count.withLock { $0.most } }
    /// How often an export of a disk was begun.
    var begun: Int { count.withLock { $0.begun } }

    let formats = ServiceHarness.engine.formats

    func examine(_ path: String) throws(ImageError) -> DiskFacts { try engine.examine(path) }

    func examine(_ path: String, as format: String) throws(ImageError) -> DiskFacts {
        try engine.examine(path, as: format)
    }

    func export(_ job: DiskExportJob, _ monitor: WorkMonitor) throws(ImageError) -> ExportedDisk {
        count.withLock { count in
            count.running += 1
            count.begun += 1
            count.most = max(count.most, count.running)
        }
        defer { count.withLock { $0.running -= 1 } }
        try before(job, monitor)
        let made = try engine.export(job, monitor)
        try after(job)
        return made
    }

    func made(by job: DiskExportJob) throws(ImageError) -> ExportedDisk? { try engine.made(by: job) }
    func discard(_ job: DiskExportJob) throws(ImageError) { try engine.discard(job) }

    func fetch(
        _ key: ObjectKey, from store: any ObjectStore, format: String?, to path: String, _ monitor: WorkMonitor
    ) throws(ImageError) -> DiskFacts {
        try engine.fetch(key, from: store, format: format, to: path, monitor)
    }

    func verify(_ key: ObjectKey, in store: any ObjectStore, _ monitor: WorkMonitor) throws(ImageError) -> ExportedDisk
    {
        try engine.verify(key, in: store, monitor)
    }
}

/// A door that is shut until a test opens it.
final class Gate: Sendable {
    private let isOpen = Mutex(false)
    private let visitors = Mutex(0)

    func open() { isOpen.withLock { $0 = true } }
    /// How many have come to it.
    var arrived: Int { visitors.withLock { $0 } }

    /// Waits until it is open or the work is to stop.
    func pass(_ monitor: WorkMonitor = WorkMonitor()) throws(ImageError) {
        visitors.withLock { $0 += 1 }
        while !isOpen.withLock({ $0 }) {
            if monitor.isCancelled() { throw ImageError(.cancelled, "stopped on request") }
            try? Pause.sleep(seconds: 0.005) { false }
        }
    }
}

/// Buckets of which one is a store that a test makes.
struct OneBucket: BucketProvider {
    let store: any ObjectStore
    var facts: @Sendable () throws(StoreError) -> BucketFacts? = { () throws(StoreError) in BucketFacts() }

    func facts(of bucket: String) throws(StoreError) -> BucketFacts? { try facts() }
    func open(_ bucket: String) throws(StoreError) -> any ObjectStore { store }
    func create(_ bucket: String) throws(StoreError) {}
}
