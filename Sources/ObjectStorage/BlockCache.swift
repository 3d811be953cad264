internal import ImageFiles
internal import ImageModel
internal import Synchronization

/// The last few runs of blocks that were read of an object, for all threads.
///
/// Whatever several threads want of one block at the same time is fetched once. What is read on behind a run that is cached is
/// fetched in longer runs: tables and compressed units are read in order.
final class BlockCache: Sendable {
    /// In bytes.
    static let blockLength: UInt64 = 256 << 10
    /// The longest run, in bytes.
    static let longestRun: UInt64 = 4 * blockLength
    /// How much is kept, in bytes.
    static let capacity: UInt64 = 16 * blockLength

    /// Consecutive blocks in memory; the last one of the object ends with it.
    struct Run: Sendable {
        /// The file offset of the first byte.
        var start: UInt64
        var bytes: [UInt8]
        var end: UInt64 { start + UInt64(bytes.count) }
    }

    /// A run that is there or on its way.
    private final class Entry: Sendable {
        let range: Range<UInt64>
        /// Held by the thread that fetches; the others sleep.
        let turn = SleepingLock()
        let outcome = Mutex<Result<[UInt8], ImageError>?>(nil)
        let lastUse = Atomic<Int>(0)

        init(_ range: Range<UInt64>) { self.range = range }
    }

    private struct State {
        var entries: [Entry] = []
        var uses = 0
    }

    private let length: UInt64
    private let state = Mutex(State())

    /// - Parameter length: of the object, in bytes.
    init(length: UInt64) { self.length = length }

    /// The run that holds a byte; `fetch` is called where it is not there.
    func run(
        at place: UInt64, _ fetch: (Range<UInt64>) throws(ImageError) -> [UInt8]
    ) throws(ImageError) -> Run {
        let entry = entry(at: place)
        let found: Result<[UInt8], ImageError>
        do {
            entry.turn.lock()
            defer { entry.turn.unlock() }
            if let outcome = entry.outcome.withLock({ $0 }) {
                found = outcome
            } else {
                do throws(ImageError) {
                    found = .success(try fetch(entry.range))
                } catch {
                    // Those who wait are told the same; whoever comes later tries again.
                    found = .failure(error)
                    drop(entry)
                }
                entry.outcome.withLock { $0 = found }
            }
        }
        switch found {
        case .success(let bytes): return Run(start: entry.range.lowerBound, bytes: bytes)
        case .failure(let error): throw error
        }
    }

    private func entry(at place: UInt64) -> Entry {
        state.withLock { state in
            state.uses += 1
            if let entry = state.entries.first(where: { $0.range.contains(place) }) {
                entry.lastUse.store(state.uses, ordering: .relaxed)
                return entry
            }
            let start = place.roundedDown(toMultipleOf: Self.blockLength)
            // What begins where a run ends goes on for longer.
            let goesOn = state.entries.contains { $0.range.upperBound == start }
            let next = state.entries.map(\.range.lowerBound).filter { $0 > start }.min() ?? length
            let end = min(length, next, start + (goesOn ? Self.longestRun : Self.blockLength))
            let entry = Entry(start..<end)
            entry.lastUse.store(state.uses, ordering: .relaxed)
            makeRoom(for: end - start, in: &state)
            state.entries.append(entry)
            return entry
        }
    }

    /// Drops the runs that nobody has used for the longest time.
    private func makeRoom(for length: UInt64, in state: inout State) {
        var used = state.entries.reduce(length) { $0 + $1.range.upperBound - $1.range.lowerBound }
        state.entries.sort { $0.lastUse.load(ordering: .relaxed) > $1.lastUse.load(ordering: .relaxed) }
        while used > Self.capacity, let last = state.entries.popLast() {
            used -= last.range.upperBound - last.range.lowerBound
        }
    }

    private func drop(_ entry: Entry) {
        state.withLock { state in state.entries.removeAll { $0 === entry } }
    }
}
