public import ImageModel
internal import Synchronization

/// How far a piece of work has come; workers write it, anyone may read it at any time.
public final class WorkProgress: Sendable {
    private static let unknown = UInt64.max

    private let totalBytes = Atomic<UInt64>(unknown)
    private let doneBytes = Atomic<UInt64>(0)

    public init() {}

    /// Guest bytes in all; nil while that is not known.
    public var total: UInt64? {
        let total = totalBytes.load(ordering: .relaxed)
        return total == Self.unknown ? nil : total
    }
    /// Guest bytes that are through, zeros included.
    public var done: UInt64 { doneBytes.load(ordering: .relaxed) }

    /// - Parameter total: nil where it is not known yet.
    func begin(total: UInt64?) {
        totalBytes.store(total ?? Self.unknown, ordering: .relaxed)
        doneBytes.store(0, ordering: .relaxed)
    }

    /// All is through, and it is known what that was.
    func end(total: UInt64) {
        totalBytes.store(total, ordering: .relaxed)
        doneBytes.store(total, ordering: .relaxed)
    }

    func reach(_ guest: GuestOffset) { doneBytes.max(guest.bytes, ordering: .relaxed) }
}

/// A request to stop, from any thread or a signal handler's queue; the work ends with `cancelled`.
public final class CancellationFlag: Sendable {
    private enum Request {
        static let none: UInt8 = 0
        static let stop: UInt8 = 1
        /// It is too late to stop.
        static let disregarded: UInt8 = 2
    }

    private let request = Atomic<UInt8>(Request.none)

    public init() {}

    public func cancel() {
        _ = request.compareExchange(expected: Request.none, desired: Request.stop, ordering: .relaxed)
    }

    public var isCancelled: Bool { request.load(ordering: .relaxed) == Request.stop }

    /// Has the work go on to its end whatever was or will be requested: what it made can be seen, and must not stay half of
    /// itself.
    public func disregard() { request.store(Request.disregarded, ordering: .relaxed) }
}

/// What every kind of work over a disk takes.
public struct WorkOptions: Sendable {
    /// How many threads work, 1 to 256.
    ///
    /// The result never depends on it.
    public var threads: Int
    /// Guest bytes that a thread takes at once, a power of two from 64 KiB to 8 MiB; raised to the allocation unit
    /// where that is larger.
    ///
    /// The result never depends on it.
    public var chunkSize: UInt64
    public var progress: WorkProgress?
    public var cancellation: CancellationFlag?

    public static let defaultChunkSize: UInt64 = 2 << 20
    public static let threadCounts = 1...256
    public static let chunkSizes: ClosedRange<UInt64> = 64 << 10...8 << 20

    public init(
        threads: Int = WorkerThreads.processorCount, chunkSize: UInt64 = defaultChunkSize,
        progress: WorkProgress? = nil, cancellation: CancellationFlag? = nil
    ) {
        self.threads = threads
        self.chunkSize = chunkSize
        self.progress = progress
        self.cancellation = cancellation
    }

    /// - Throws: `invalid-option`.
    func validate() throws(ImageError) {
        guard Self.threadCounts.contains(threads) else {
            throw ImageError(.invalidOption, "\(threads) threads can't be had; ask for 1 to 256")
        }
        guard Self.chunkSizes.contains(chunkSize), chunkSize.nonzeroBitCount == 1 else {
            throw ImageError(
                .invalidOption, "a chunk of \(chunkSize) bytes can't be had; it is a power of two from 64 KiB to 8 MiB")
        }
    }

    /// - Throws: `cancelled`.
    public func requireGoingOn() throws(ImageError) {
        if cancellation?.isCancelled ?? false {
            throw ImageError(.cancelled, "stopped on request; nothing was left behind")
        }
    }
}
