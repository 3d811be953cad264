internal import NIOCore
internal import NIOPosix
internal import ObjectStorage

/// The threads that may wait for the disk; event loops and the cooperative pool never do.
struct BlockingPool: Sendable {
    private let threads: NIOThreadPool

    init(threadCount: Int) {
        threads = NIOThreadPool(numberOfThreads: threadCount)
        threads.start()
    }

    /// Runs what blocks on one of the threads.
    func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await threads.runIfActive(body)
    }

    /// Starts what blocks and goes on; the future says how it ended.
    func start<Value: Sendable>(_ eventLoop: any EventLoop, _ body: @escaping @Sendable () throws -> Value)
        -> EventLoopFuture<Value>
    {
        threads.runIfActive(eventLoop: eventLoop, body)
    }

    /// Ends the threads, when what runs on them is through.
    func stop() async {
        // It fails only where it was stopped before.
        try? await threads.shutdownGracefully()
    }
}
