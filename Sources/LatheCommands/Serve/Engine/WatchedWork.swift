internal import ExportService
internal import Glibc
internal import ImageModel
internal import ImagePipeline
internal import Synchronization

/// Runs work of the pipeline under the eyes of the service.
enum WatchedWork {
    /// How often is looked, in microseconds.
    private static let interval: UInt32 = 20_000

    /// Runs the body on this thread, while another tells how far it is and carries a request to stop to it.
    ///
    /// - Throws: `limit-exceeded` where there is no other thread to be had; what the body throws.
    static func run<Result>(
        _ monitor: WorkMonitor, threads: Int, _ body: (WorkOptions) throws(ImageError) -> Result
    ) throws(ImageError) -> Result {
        let (progress, cancellation) = (WorkProgress(), CancellationFlag())
        let hasEnded = Atomic<Bool>(false)
        let watch = { @Sendable in
            while !hasEnded.load(ordering: .relaxed) {
                if monitor.isCancelled() { cancellation.cancel() }
                if let total = progress.total, total > 0 {
                    monitor.onProgress(Double(progress.done) / Double(total))
                }
                usleep(interval)
            }
        }
        return try WorkerThreads.run(besides: 1, watch) { () throws(ImageError) in
            defer { hasEnded.store(true, ordering: .relaxed) }
            return try body(WorkOptions(threads: threads, progress: progress, cancellation: cancellation))
        }
    }
}
