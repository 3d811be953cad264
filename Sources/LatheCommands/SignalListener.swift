internal import ArgumentParser
internal import Glibc
internal import ImagePipeline
internal import Synchronization

/// Turns SIGINT, SIGTERM, SIGHUP and SIGQUIT into a request to stop.
enum SignalListener {
    /// How long the work may take to stop by itself: a pipe whose reader sleeps can keep it longer.
    static let defaultPatienceSeconds = 2

    /// The signal that asked the process to end last; 0 where none has.
    private static let received = Atomic<Int32>(0)

    /// What a process answers that a signal has ended, as shells say it: 128 and the signal's number.
    static var exitStatus: Int32 {
        let number = received.load(ordering: .relaxed)
        return 128 + (number == 0 ? SIGINT : number)
    }

    /// Listens on a thread of its own, so that nothing runs inside a signal handler; threads started later inherit the mask.
    ///
    /// A second signal ends the process at once.
    static func cancel(_ cancellation: CancellationFlag, patienceSeconds: Int = defaultPatienceSeconds) {
        let signals = block()
        let isListening = BackgroundThread.start {
            guard signals.wait() else { return }
            cancellation.cancel()
            signals.wait(seconds: patienceSeconds)
            // The unfinished destination has no name, so leaving at once leaves nothing behind.
            _exit(exitStatus)
        }
        // Where there is no thread to be had, the signals do what they do to other programs.
        if !isListening { signals.release() }
    }

    /// The signals that somebody waits for.
    struct Signals: Sendable {
        fileprivate let watched: sigset_t

        /// Lets them end the process again, as if nobody had waited for them.
        fileprivate func release() {
            var watched = watched
            unsafe pthread_sigmask(SIG_UNBLOCK, &watched, nil)
        }

        /// Waits until one comes; false where that can't be.
        fileprivate func wait() -> Bool {
            var watched = watched
            var number: Int32 = 0
            guard unsafe sigwait(&watched, &number) == 0 else { return false }
            received.store(number, ordering: .relaxed)
            return true
        }

        /// Waits until one comes, or so long.
        fileprivate func wait(seconds: Int) {
            var watched = watched
            var patience = timespec(tv_sec: seconds, tv_nsec: 0)
            let number = unsafe sigtimedwait(&watched, nil, &patience)
            if number > 0 { received.store(number, ordering: .relaxed) }
        }
    }

    /// Keeps the signals from this thread and from those that it starts from now on.
    static func block() -> Signals {
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        // What the caller has us ignore, as nohup does with SIGHUP, would reach sigwait all the same.
        for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] where !isIgnored(number) { unsafe sigaddset(&signals, number) }
        unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
        return Signals(watched: signals)
    }

    /// Returns when a signal comes; the next one after that ends the process at once.
    static func wait(for signals: Signals) {
        _ = signals.wait()
        BackgroundThread.start {
            guard signals.wait() else { return }
            _exit(exitStatus)
        }
    }

    private static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        guard unsafe sigaction(number, nil, &action) == 0 else { return false }
        // C function pointers do not compare in Swift; their bits do.
        return unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
            == unsafeBitCast(SIG_IGN, to: Int.self)
    }
}
