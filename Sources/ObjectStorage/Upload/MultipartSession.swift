internal import ImageCodecs
internal import Synchronization

/// One object on its way into a store: begun with its first part, each part sent once, completed and proved.
///
/// An object of one part is put whole. Parts are sent from many threads; all other calls come from one.
public final class MultipartSession: Sendable {
    /// What is known before the first byte.
    public struct Plan: Sendable {
        public var key: ObjectKey
        /// What the object gets when it is begun; its final attributes may not be known by then.
        public var attributes: ObjectAttributes
        /// Of every part but the last, in bytes.
        public var partLength: UInt64
        public var replacing: Bool
        /// Whether an object of one part is put, and not begun and completed: then it is held in memory until `finish`.
        public var putsWhole: Bool

        public init(
            key: ObjectKey, attributes: ObjectAttributes, partLength: UInt64, replacing: Bool, putsWhole: Bool = true
        ) {
            self.key = key
            self.attributes = attributes
            self.partLength = partLength
            self.replacing = replacing
            self.putsWhole = putsWhole
        }
    }

    private enum Stage: Sendable {
        case notBegun
        /// Another thread is about to begin it.
        case beginning
        case begun(MultipartUpload)
        case whole(ObjectBody)
    }

    private struct State: Sendable {
        var stage: Stage
        var sent: [Int: StoredPart] = [:]
        var failure: StoreError?
    }

    private let store: any ObjectStore
    public let plan: Plan
    /// What the store had when the upload was taken up again, by number.
    private let present: [Int: StoredPart]
    private let limit: BandwidthLimit?
    private let progress: TransferProgress
    private let isCancelled: @Sendable () -> Bool
    private let willInitiate: @Sendable () throws(StoreError) -> Void
    private let onInitiate: @Sendable (MultipartUpload) throws(StoreError) -> Void
    private let monitor: Monitor<State>

    /// - Parameters:
    ///   - resuming: an upload that was begun before, with the parts that the store has of it.
    ///   - isCancelled: ends parts that are on their way.
    ///   - willInitiate: is called before an upload is begun, and may throw.
    ///   - onInitiate: is told the upload before any part of it is sent; where it throws, the upload is dropped.
    public init(
        _ store: any ObjectStore, _ plan: Plan, resuming: (upload: MultipartUpload, parts: [StoredPart])? = nil,
        limit: BandwidthLimit? = nil, progress: TransferProgress = .init(),
        isCancelled: @escaping @Sendable () -> Bool = { false },
        willInitiate: @escaping @Sendable () throws(StoreError) -> Void = { () throws(StoreError) in },
        onInitiate: @escaping @Sendable (MultipartUpload) throws(StoreError) -> Void = { (_) throws(StoreError) in }
    ) {
        self.store = store
        self.plan = plan
        self.limit = limit
        self.progress = progress
        self.isCancelled = isCancelled
        self.willInitiate = willInitiate
        self.onInitiate = onInitiate
        var present: [Int: StoredPart] = [:]
        for part in resuming?.parts ?? [] { present[part.number] = part }
        self.present = present
        monitor = Monitor(State(stage: resuming.map { .begun($0.upload) } ?? .notBegun))
    }

    /// Sends a part, unless the store has it.
    ///
    /// - Throws: `part-differs` where the store has another part of that number, from a run before; what the store throws.
    public func send(_ part: PartFillingSink.Part) throws(StoreError) {
        let body = try part.body()
        if part.isWholeObject, plan.putsWhole, keepWhole(body) { return }
        guard part.length > 0 else { return }
        let limits = store.limits
        guard part.number <= limits.partCount else {
            throw StoreError(
                .invalidRequest,
                "the object has more than \(limits.partCount) parts of \(plan.partLength) bytes; ask for longer parts",
                operation: operation)
        }
        if let stored = present[part.number] {
            guard try store.holds(body, as: stored) else { throw differs(stored, body) }
            progress.findPart()
            note(stored, body)
            return
        }
        let upload = try begin()
        progress.take(body.length)
        let stored = try store.upload(paced(body), asPart: part.number, of: upload)
        progress.finishPart()
        note(stored, body)
    }

    /// Makes the object what was sent, and holds what the store says of it against what was sent.
    ///
    /// - Parameters:
    ///   - attributes: what the object is to have; an object of parts gets them once it is there.
    ///   - length: of the whole object, in bytes.
    ///   - crc64: CRC-64/XZ of the whole object, computed when the bytes were made.
    ///   - onCommit: is called when the object is there, or may be, before it gets its attributes: to stop now would leave it
    ///     half of what it must be.
    /// - Throws: `checksum-mismatch` where what was sent, or what the store has, is something else.
    public func finish(
        attributes: ObjectAttributes, length: UInt64, crc64: UInt64, onCommit: () -> Void = {}
    ) throws(StoreError) -> FinishedObject {
        let state = monitor.withLock { $0 }
        switch state.stage {
        case .whole(let body):
            try requireSent(body.length, body.crc64, length, crc64)
            let summary = try put(body, attributes)
            onCommit()
            return FinishedObject(summary: summary, hasAttributes: true, parts: 1)
        case .begun(let upload):
            let parts = state.sent.values.sorted { $0.number < $1.number }
            try requireSent(parts.reduce(0) { $0 + $1.length }, try sumOfParts(parts), length, crc64)
            var summary = try complete(upload, parts, crc64, onCommit)
            var hasAttributes = attributes == plan.attributes
            if !hasAttributes { hasAttributes = try set(attributes, &summary) }
            return FinishedObject(summary: summary, hasAttributes: hasAttributes, parts: parts.count)
        case .notBegun, .beginning:
            let summary = try put(ObjectBody([]), attributes)
            onCommit()
            return FinishedObject(summary: summary, hasAttributes: true, parts: 0)
        }
    }

    /// Has parts that are on their way break off, since all of it has failed.
    public func stop() {
        monitor.withLock { state in
            if state.failure == nil { state.failure = StoreError(.cancelled, "another part has failed") }
        }
        monitor.wake()
    }

    /// Drops what was sent; that there is nothing to drop is no error.
    public func abort() throws(StoreError) {
        guard case .begun(let upload) = monitor.withLock({ $0.stage }) else { return }
        do throws(StoreError) { try store.abort(upload) } catch { if error.code != .noSuchUpload { throw error } }
    }

    /// The store's name for the upload; nil before the first part, and for an object of one.
    public var uploadID: String? {
        guard case .begun(let upload) = monitor.withLock({ $0.stage }) else { return nil }
        return upload.id
    }

    /// The parts that the store has taken so far, or had, in ascending order; of a whole object none.
    public var sentParts: [StoredPart] {
        monitor.withLock { $0.sent.values.sorted { $0.number < $1.number } }
    }

    // MARK: Sending

    /// Keeps what the store has, with our own checksum: not every store keeps one.
    private func note(_ stored: StoredPart, _ body: ObjectBody) {
        var part = stored
        part.crc64 = body.crc64
        monitor.withLock { $0.sent[part.number] = part }
    }

    private var operation: String { "upload to \(store.name)/\(plan.key)" }

    /// - Returns: false where the upload was begun already, in a run before.
    private func keepWhole(_ body: ObjectBody) -> Bool {
        monitor.withLock { state in
            guard case .notBegun = state.stage else { return false }
            state.stage = .whole(body)
            return true
        }
    }

    /// The upload, which the first thread that needs it begins while the others wait.
    private func begin() throws(StoreError) -> MultipartUpload {
        let begun: MultipartUpload? = try monitor.wait { (state) throws(StoreError) in
            if let failure = state.failure { throw failure }
            switch state.stage {
            case .begun(let upload): return .some(upload)
            case .beginning: return nil
            case .notBegun, .whole:
                state.stage = .beginning
                return .some(nil)
            }
        }
        if let begun { return begun }
        defer { monitor.wake() }
        do throws(StoreError) {
            try willInitiate()
            let upload = try store.initiate(
                plan.key, plan.attributes, partLength: plan.partLength, replacing: plan.replacing)
            do throws(StoreError) { try onInitiate(upload) } catch {
                // Nobody would know of it any more.
                try? store.abort(upload)
                throw error
            }
            monitor.withLock { $0.stage = .begun(upload) }
            return upload
        } catch {
            monitor.withLock { state in
                if case .beginning = state.stage { state.stage = .notBegun }
                state.failure = error
            }
            throw error
        }
    }

    private func paced(_ body: ObjectBody) -> ObjectBody {
        body.paced(inPiecesOf: limit?.pieceLength ?? .max) {
            [limit, progress, monitor, isCancelled] (bytes) throws(StoreError) in
            if let failure = monitor.withLock({ $0.failure }) { throw failure }
            guard !isCancelled() else { throw StoreError(.cancelled, "stopped on request") }
            guard bytes > 0 else { return }
            try limit?.pass(bytes)
            progress.send(bytes)
        }
    }

    private func differs(_ stored: StoredPart, _ body: ObjectBody) -> StoreError {
        StoreError(
            .partDiffers,
            "part \(stored.number) that was sent before is not the one that the source gives now (\(stored.length) bytes, "
                + "CRC-64 \(stored.crc64.map(String.init) ?? "unknown"), now \(body.length) bytes, CRC-64 \(body.crc64)): the "
                + "source or the options changed; begin anew without the checkpoint",
            operation: operation)
    }

    // MARK: Finishing

    private func put(_ body: ObjectBody, _ attributes: ObjectAttributes) throws(StoreError) -> ObjectSummary {
        progress.take(body.length)
        do throws(StoreError) {
            return try store.put(paced(body), to: plan.key, attributes, replacing: plan.replacing)
        } catch {
            guard error.code == .objectExists else { throw error }
            // The answer to an earlier try may have been lost, and the object be our own.
            let found = try store.head(plan.key)
            let part = StoredPart(number: 1, length: found.length, tag: found.tag, crc64: found.crc64)
            guard found.attributes.userMetadata == attributes.userMetadata, try store.holds(body, as: part) else {
                throw error
            }
            return found
        }
    }

    private func complete(
        _ upload: MultipartUpload, _ parts: [StoredPart], _ crc64: UInt64, _ onCommit: () -> Void
    ) throws(StoreError) -> ObjectSummary {
        do throws(StoreError) {
            let made = try store.complete(upload, parts: parts, replacing: plan.replacing)
            guard made.crc64 == nil || made.crc64 == crc64 else { throw mismatch(made.crc64, crc64) }
        } catch {
            guard [.noSuchUpload, .objectExists, .connection, .server, .cancelled].contains(error.code) else {
                throw error
            }
            // The answer to an earlier try may have been lost; one that was stopped between two tries asks too.
            onCommit()
            guard let found = try? store.head(plan.key), store.isObject(found, madeOf: parts, crc64: crc64) else {
                throw error
            }
            // The same object may be there by another's hand, and the upload then as well.
            if error.code == .objectExists { try? store.abort(upload) }
        }
        onCommit()
        let found = try store.head(plan.key)
        let length = parts.reduce(0) { $0 + $1.length }
        guard found.length == length, found.crc64 == nil || found.crc64 == crc64 else {
            throw mismatch(found.crc64, crc64)
        }
        return found
    }

    /// - Returns: false where the store can't do it to an object of this size.
    private func set(_ attributes: ObjectAttributes, _ summary: inout ObjectSummary) throws(StoreError) -> Bool {
        do throws(StoreError) {
            try store.setAttributes(attributes, of: plan.key, tag: summary.tag)
        } catch {
            if error.code == .unsupported { return false }
            throw error
        }
        let before = summary
        summary = try store.head(plan.key)
        guard summary.length == before.length, summary.crc64 == before.crc64 else {
            throw mismatch(summary.crc64, before.crc64 ?? 0)
        }
        return true
    }

    /// What the parts' checksums add up to.
    private func sumOfParts(_ parts: [StoredPart]) throws(StoreError) -> UInt64 {
        var sum = CRC64Sum()
        var length: UInt64 = 0
        for (index, part) in parts.enumerated() {
            guard part.number == index + 1, let crc64 = part.crc64 else {
                throw StoreError(
                    .invalidPart, "part \(index + 1) was never sent, which should not be possible; begin anew",
                    operation: operation)
            }
            sum.add(CRC64Sum(checksum: crc64, length: part.length), startingAt: length)
            length += part.length
        }
        return sum.checksum(length: length)
    }

    private func requireSent(_ sentLength: UInt64, _ sentCRC64: UInt64, _ length: UInt64, _ crc64: UInt64)
        throws(StoreError)
    {
        guard sentLength == length, sentCRC64 == crc64 else {
            throw StoreError(
                .checksumMismatch,
                "what was sent has \(sentLength) bytes and CRC-64 \(sentCRC64), but what was made has \(length) and \(crc64); "
                    + "the upload was not completed: check the memory of this machine", operation: operation)
        }
    }

    private func mismatch(_ found: UInt64?, _ crc64: UInt64) -> StoreError {
        StoreError(
            .checksumMismatch,
            "the store says that the object has CRC-64 \(found.map(String.init) ?? "unknown"), but what was sent has \(crc64): "
                + "the object is not what it must be; delete it and export again", operation: operation)
    }
}

/// An object that is there.
public struct FinishedObject: Hashable, Sendable {
    /// What the store says of it.
    public var summary: ObjectSummary
    /// False where the store can't give an object of this size attributes that were known last.
    public var hasAttributes: Bool
    /// How many parts it was made of; 0 for one that was there before.
    public var parts: Int

    public init(summary: ObjectSummary, hasAttributes: Bool, parts: Int) {
        self.summary = summary
        self.hasAttributes = hasAttributes
        self.parts = parts
    }
}
