internal import Glibc
internal import Synchronization

/// Sleeps that end early when the work is to stop.
public enum Pause {
    /// Sleeps for so many seconds.
    ///
    /// - Parameter isCancelled: asked several times a second.
    /// - Throws: `cancelled`.
    public static func sleep(seconds: Double, isCancelled: () -> Bool) throws(StoreError) {
        let end = ContinuousClock.now + .seconds(seconds)
        while true {
            guard !isCancelled() else { throw StoreError(.cancelled, "stopped on request") }
            let left = Self.seconds(ContinuousClock.now.duration(to: end))
            guard left > 0 else { return }
            usleep(UInt32(min(left, 0.1) * 1e6))
        }
    }

    static func seconds(_ duration: Duration) -> Double {
        Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
    }
}

/// So many bytes a second for all who share it, in the order in which they ask.
public final class BandwidthLimit: Sendable {
    private let bytesPerSecond: Double
    /// No more should be asked for at once, in bytes: as many senders as there may be then have their turn every second or so.
    ///
    /// A connection on which nothing moves for long, while the others have their turns, is closed by its server.
    let pieceLength: Int
    /// When the next bytes may go.
    private let next = Mutex(ContinuousClock.now)
    private let isCancelled: @Sendable () -> Bool

    /// - Parameter bytesPerSecond: not 0.
    public init(bytesPerSecond: UInt64, isCancelled: @escaping @Sendable () -> Bool = { false }) {
        self.bytesPerSecond = Double(bytesPerSecond)
        pieceLength = Int(min(max(bytesPerSecond / 64, 256), 256 << 10))
        self.isCancelled = isCancelled
    }

    /// Waits until so many bytes may go.
    ///
    /// - Throws: `cancelled`.
    public func pass(_ bytes: Int) throws(StoreError) {
        let now = ContinuousClock.now
        let start = next.withLock { next in
            // Time that nobody used is not saved up.
            let start = max(next, now)
            next = start + .seconds(Double(bytes) / bytesPerSecond)
            return start
        }
        if start > now { try Pause.sleep(seconds: Pause.seconds(now.duration(to: start)), isCancelled: isCancelled) }
    }
}

/// How far a transfer has come; workers write it, anyone may read it at any time.
public final class TransferProgress: Sendable {
    private let taken = Atomic<UInt64>(0)
    private let sent = Atomic<UInt64>(0)
    private let parts = Atomic<Int>(0)
    private let present = Atomic<Int>(0)
    private let repeats = Atomic<Int>(0)

    public init() {}

    /// Bytes that are still to be sent of the parts that were handed over; fewer than that where any were sent again.
    public var bytesWaiting: UInt64 {
        let sent = bytesSent
        let taken = taken.load(ordering: .relaxed)
        return taken > sent ? taken - sent : 0
    }
    /// Bytes that were handed to the network or disk, repeated ones included.
    public var bytesSent: UInt64 { sent.load(ordering: .relaxed) }
    /// Parts that the store has taken, without those that it had.
    public var partsSent: Int { parts.load(ordering: .relaxed) }
    /// Parts that the store had already.
    public var partsPresent: Int { present.load(ordering: .relaxed) }
    /// Calls that were made again.
    public var retries: Int { repeats.load(ordering: .relaxed) }

    func take(_ bytes: UInt64) { taken.add(bytes, ordering: .relaxed) }
    func send(_ bytes: Int) { sent.add(UInt64(bytes), ordering: .relaxed) }
    func finishPart() { parts.add(1, ordering: .relaxed) }
    func findPart() { present.add(1, ordering: .relaxed) }
    public func retry() { repeats.add(1, ordering: .relaxed) }
}
