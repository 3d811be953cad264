internal import Glibc

/// A thread of the service's own: work that blocks never runs on the cooperative pool.
struct ServiceThread: Sendable {
    private let thread: pthread_t

    /// - Returns: nil where the system grants no thread.
    init?(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let start = unsafe Unmanaged.passRetained(ThreadBody(body))
        guard unsafe pthread_create(&thread, nil, runThreadBody, start.toOpaque()) == 0 else {
            unsafe start.release()
            return nil
        }
        self.thread = thread
    }

    /// Waits until it has ended; to be called once.
    func join() { pthread_join(thread, nil) }
}

private final class ThreadBody: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

private func runThreadBody(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let argument = unsafe argument {
        unsafe Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().body()
    }
    return nil
}
