internal import Glibc
public import ImageModel
internal import Synchronization

/// Threads of our own for work that blocks: the cooperative pool must never wait for a disk.
public enum WorkerThreads {
    /// The processors that this process may use.
    public static let processorCount = max(1, min(256, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))

    /// Runs `body` once on each of `count` threads, the calling one among them, and returns when all are through.
    ///
    /// Where the system grants fewer threads, fewer run: the work is shared out among those that are there.
    static func run(_ count: Int, _ body: @escaping @Sendable () -> Void) {
        let threads = start(count - 1, body)
        body()
        for thread in threads { pthread_join(thread, nil) }
    }

    /// Runs `helper` once on each of `count` threads while the calling one runs `body`, and returns when all are through.
    ///
    /// Where the system grants fewer threads, fewer run.
    ///
    /// - Throws: `limit-exceeded` where the system grants not one; what `body` throws.
    public static func run<Result>(
        besides count: Int, _ helper: @escaping @Sendable () -> Void, _ body: () throws(ImageError) -> Result
    ) throws(ImageError) -> Result {
        let threads = start(count, helper)
        guard !threads.isEmpty else {
            throw ImageError(
                .limitExceeded, "the system grants no thread; raise the limit on processes and threads (ulimit -u)")
        }
        defer { for thread in threads { pthread_join(thread, nil) } }
        return try body()
    }

    private static func start(_ count: Int, _ body: @escaping @Sendable () -> Void) -> [pthread_t] {
        var threads: [pthread_t] = []
        while threads.count < count {
            var thread = pthread_t()
            let start = unsafe Unmanaged.passRetained(ThreadStart(body))
            let status = unsafe pthread_create(&thread, nil, startThread, start.toOpaque())
            guard status == 0 else {
                unsafe start.release()
                break
            }
            threads.append(thread)
        }
        return threads
    }
}

private final class ThreadStart: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

private func startThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let argument = unsafe argument {
        unsafe Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue().body()
    }
    return nil
}

/// Lets threads through one after the other, in the order of their tickets.
// @unchecked: the pointers are set once, and what they point to is used as POSIX says.
@safe final class Turnstile: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let turned = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    /// Guarded by `mutex`.
    private var current: UInt64 = 0
    private var stopped = false

    init() {
        unsafe pthread_mutex_init(mutex, nil)
        unsafe pthread_cond_init(turned, nil)
    }

    deinit {
        unsafe pthread_cond_destroy(turned)
        unsafe pthread_mutex_destroy(mutex)
        unsafe turned.deallocate()
        unsafe mutex.deallocate()
    }

    /// Waits for a ticket's turn, which then is the caller's until `pass`.
    ///
    /// - Returns: false where the turnstile was stopped.
    func enter(_ ticket: UInt64) -> Bool {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        while current != ticket && !stopped { unsafe pthread_cond_wait(turned, mutex) }
        return !stopped
    }

    /// Ends the turn of the ticket that is in.
    func pass() {
        unsafe pthread_mutex_lock(mutex)
        current += 1
        unsafe pthread_cond_broadcast(turned)
        unsafe pthread_mutex_unlock(mutex)
    }

    /// Sends away everyone who waits or comes later.
    func stop() {
        unsafe pthread_mutex_lock(mutex)
        stopped = true
        unsafe pthread_cond_broadcast(turned)
        unsafe pthread_mutex_unlock(mutex)
    }
}

/// The first error of several threads; all of them look here and stop.
package final class SharedFailure: Sendable {
    private let failed = Atomic<Bool>(false)
    private let first = Mutex<ImageError?>(nil)

    package init() {}

    package var isSet: Bool { failed.load(ordering: .relaxed) }

    package func set(_ error: ImageError) {
        first.withLock { kept in if kept == nil { kept = error } }
        failed.store(true, ordering: .relaxed)
    }

    package func rethrow() throws(ImageError) {
        if let error = first.withLock({ $0 }) { throw error }
    }
}

/// A thread that nobody waits for: it listens or reports until the process ends.
public enum BackgroundThread {
    /// - Returns: false where the system grants none.
    @discardableResult
    public static func start(_ body: @escaping @Sendable () -> Void) -> Bool {
        var thread = pthread_t()
        let start = unsafe Unmanaged.passRetained(ThreadStart(body))
        guard unsafe pthread_create(&thread, nil, startThread, start.toOpaque()) == 0 else {
            unsafe start.release()
            return false
        }
        pthread_detach(thread)
        return true
    }
}
