internal import ArgumentParser
internal import Glibc
internal import ImagePipeline

/// Turns SIGINT, SIGTERM and SIGHUP into a request to stop.
enum SignalListener {
    /// How long the work may take to stop by itself: a pipe whose reader sleeps can keep it longer.
    private static let patienceSeconds: UInt32 = 2

    /// Listens on a thread of its own, so that nothing runs inside a signal handler; threads started later inherit the mask.
    static func cancel(_ cancellation: CancellationFlag) {
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        // What the caller has us ignore, as nohup does with SIGHUP, would reach sigwait all the same.
        for number in [SIGINT, SIGTERM, SIGHUP] where !isIgnored(number) { unsafe sigaddset(&signals, number) }
        unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
        let watched = signals
        BackgroundThread.start {
            var watched = watched
            var number: Int32 = 0
            guard unsafe sigwait(&watched, &number) == 0 else { return }
            cancellation.cancel()
            sleep(patienceSeconds)
            // The unfinished destination has no name, so leaving at once leaves nothing behind.
            _exit(ExitStatus.interrupted.rawValue)
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
