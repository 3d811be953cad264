internal import Glibc

/// State behind a lock whose waiters sleep, and for whose changes threads can wait.
// @unchecked: the pointers are set once, what they point to is used as POSIX says, and `state` is touched under the lock only.
@safe package final class Monitor<State: Sendable>: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var state: State

    package init(_ state: State) {
        self.state = state
        unsafe pthread_mutex_init(mutex, nil)
        unsafe pthread_cond_init(changed, nil)
    }

    deinit {
        unsafe pthread_cond_destroy(changed)
        unsafe pthread_mutex_destroy(mutex)
        unsafe changed.deallocate()
        unsafe mutex.deallocate()
    }

    /// Looks at the state or changes it, where nobody waits for the change.
    package func withLock<Result>(_ body: (inout State) throws(StoreError) -> Result) throws(StoreError) -> Result {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return try body(&state)
    }

    /// The same for what can't fail.
    package func withLock<Result>(_ body: (inout State) -> Result) -> Result {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return body(&state)
    }

    /// Wakes all who wait: the state has changed.
    package func wake() { unsafe pthread_cond_broadcast(changed) }

    /// Sleeps until the body answers something; it is asked again whenever somebody wakes those who wait.
    package func wait<Result>(until body: (inout State) throws(StoreError) -> Result?) throws(StoreError) -> Result {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        while true {
            if let result = try body(&state) { return result }
            unsafe pthread_cond_wait(changed, mutex)
        }
    }
}
