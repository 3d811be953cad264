internal import NIOPosix

/// The threads that may wait for the backend; event loops and the cooperative pool never do.
struct BlockingPool: Sendable {
    private let threads: NIOThreadPool

    init(threadCount: Int) {
        threads = NIOThreadPool(numberOfThreads: threadCount)
        threads.start()
    }

    /// Runs what blocks on one of the threads.
    ///
    /// - Throws: `CancellationError` where the pool has ended.
    func run<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async throws -> Value {
        try await threads.runIfActive(body)
    }

    /// Ends the threads, when what runs on them is through.
    func stop() async {
        // It fails only where it was stopped before.
        try? await threads.shutdownGracefully()
    }
}
