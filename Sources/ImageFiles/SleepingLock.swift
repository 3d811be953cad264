internal import Glibc
internal import ImageModel

/// A lock whose waiters sleep.
///
/// `Synchronization.Mutex` takes a priority-inheriting futex on Linux, and the kernel spins for the owner of one: for a lock
/// that is held during a write of megabytes, a third of all processor time went there.
// @unchecked: the pointer is set once, and what it points to is used as POSIX says.
@safe package final class SleepingLock: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

    package init() { unsafe pthread_mutex_init(mutex, nil) }

    deinit {
        unsafe pthread_mutex_destroy(mutex)
        unsafe mutex.deallocate()
    }

    func withLock<Result>(_ body: () throws(ImageError) -> Result) throws(ImageError) -> Result {
        lock()
        defer { unlock() }
        return try body()
    }

    /// For callers whose errors are of another type; `unlock` follows on every way out.
    package func lock() { unsafe pthread_mutex_lock(mutex) }
    package func unlock() { unsafe pthread_mutex_unlock(mutex) }
}
