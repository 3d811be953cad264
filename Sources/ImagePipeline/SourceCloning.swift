internal import ImageFormats
internal import ImageModel
internal import Synchronization

/// Whether data is shared with the source where the file system can (reflinks), or always written.
///
/// The bytes of the result never depend on it.
public enum ReflinkPolicy: String, CaseIterable, Hashable, Sendable {
    /// What can be shared is; the rest is written.
    case auto
    /// Every whole block of data is shared, or the conversion fails.
    case always
    /// Everything is written.
    case never
}

/// Has the sink clone what workers planned, in runs as long as possible: a clone costs by the call and the stored extent,
/// not by the byte, so runs are joined over chunks and handed on when they end.
///
/// A clone is made after its bytes were read. Who writes to the source in between gets a result that holds the later bytes and
/// a fingerprint of the earlier ones; `requireUnchanged`, asked behind the last clone, fails such a conversion.
final class SourceCloning: Sendable {
    /// A longer run would keep a request to stop waiting.
    private static let longestRun: UInt64 = 1 << 30
    /// What is read and written at once where a clone is refused after all.
    private static let copyStep: UInt64 = 1 << 20

    let blockSize: UInt64
    let policy: ReflinkPolicy
    private let source: any ImageSource
    private let sink: any ImageSink
    private let pending = Mutex<ClonedRange?>(nil)
    private let cloned = Atomic<UInt64>(0)
    private let refused = Atomic<Bool>(false)

    /// - Returns: nil where nothing can be cloned and need not be.
    /// - Throws: `unsupported` where nothing can be cloned and all should be.
    init?(_ policy: ReflinkPolicy, _ storage: UnitStorage, source: any ImageSource, sink: any ImageSink)
        throws(ImageError)
    {
        guard policy != .never else { return nil }
        var support = CloningSupport.unavailable("compressed units are not stored as the source has them")
        if case .plain = storage { support = sink.cloning(of: source) }
        switch support {
        case .blocks(of: let size): blockSize = size
        case .unavailable(let reason):
            guard policy == .always else { return nil }
            throw ImageError(
                .unsupported, "no data can be shared with the source: \(reason); leave '--reflink always' out",
                path: source.name)
        }
        self.policy = policy
        self.source = source
        self.sink = sink
    }

    /// Whether it is worth while to plan clones: not after one was refused.
    var isGoingOn: Bool { !refused.load(ordering: .relaxed) }

    /// Bytes of the image that are shared with the source.
    var clonedBytes: UInt64 { cloned.load(ordering: .relaxed) }

    /// Takes the clones of the next chunk, in guest order.
    ///
    /// - Returns: the runs that have ended, for `perform`.
    func add(_ clones: [ClonedRange]) -> [ClonedRange] {
        pending.withLock { pending in
            var ended: [ClonedRange] = []
            for clone in clones {
                guard var run = pending else {
                    pending = clone
                    continue
                }
                if run.absorb(clone, atMost: Self.longestRun) {
                    pending = run
                } else {
                    ended.append(run)
                    pending = clone
                }
            }
            return ended
        }
    }

    /// Clones runs, or copies those that can't be.
    func perform(_ runs: [ClonedRange]) throws(ImageError) {
        for run in runs {
            let range = FileRange(start: run.source, length: run.guest.length)
            if isGoingOn, try sink.clone(range, of: source, to: run.place) {
                cloned.add(range.length, ordering: .relaxed)
                continue
            }
            refused.store(true, ordering: .relaxed)
            guard policy != .always else {
                throw ImageError(
                    .unsupported,
                    "the file system refuses to share \(range.length) bytes of the source, though it shared its first "
                        + "block; leave '--reflink always' out", path: source.name, offset: range.start)
            }
            try copy(range, to: run.place)
        }
    }

    /// Clones the run that is still open, behind the last chunk.
    func finish() throws(ImageError) {
        let rest = pending.withLock { pending in
            defer { pending = nil }
            return pending
        }
        if let rest { try perform([rest]) }
    }

    /// - Throws: `unsupported` where all data should be shared, and some can't be.
    func require(_ plan: ClonePlan) throws(ImageError) {
        guard policy == .always, let (guest, reason) = plan.obstacle else { return }
        throw ImageError(
            .unsupported,
            "guest bytes \(guest.start.bytes) to \(guest.end.bytes) can't be shared with the source: \(reason); leave "
                + "'--reflink always' out", path: source.name)
    }

    /// Reads a range once more, and writes it: its checksums have been counted.
    private func copy(_ range: FileRange, to place: FileOffset) throws(ImageError) {
        var buffer = [UInt8](repeating: 0, count: Int(min(range.length, Self.copyStep)))
        var done: UInt64 = 0
        while done < range.length {
            let step = min(Self.copyStep, range.length - done)
            try source.read(FileRange(start: range.start + done, length: step), into: &buffer, at: 0)
            try sink.write(data: buffer.span.extracting(0..<Int(step)), at: place + done)
            done += step
        }
    }
}

extension ClonedRange {
    /// Takes `next` in where it goes on as this one does, in the source and in the image; guest offsets may jump.
    fileprivate mutating func absorb(_ next: ClonedRange, atMost limit: UInt64) -> Bool {
        let length = guest.length
        guard source + length == next.source, place + length == next.place, length + next.guest.length <= limit else {
            return false
        }
        guest.length += next.guest.length
        return true
    }
}
