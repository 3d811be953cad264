import Synchronization

/// A clock that a test sets.
final class TestClock: Sendable {
    private let seconds: Mutex<UInt64>

    /// - Parameter seconds: since 1970-01-01 UTC.
    init(_ seconds: UInt64) { self.seconds = Mutex(seconds) }

    var now: @Sendable () -> UInt64 { { self.seconds.withLock { $0 } } }

    func advance(_ difference: Int64) { seconds.withLock { $0 = UInt64(Int64($0) + difference) } }
}
