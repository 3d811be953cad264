internal import Synchronization

/// How often, and how long, a call that failed for the moment is made again.
public struct RetryPolicy: Hashable, Sendable {
    /// How often one call is made at most, the first time included.
    public var attempts: Int
    /// The first pause is up to so many seconds; each further one up to twice the one before.
    public var basePause: Double
    /// No pause is longer than so many seconds, unless the store asks for it.
    public var longestPause: Double
    /// How many repeats all calls have together.
    ///
    /// A call that succeeds at once gives a tenth of one back: a store that fails
    /// now and then is put up with for any length of time, one that is down is not.
    public var budget: Int
    /// A store that asks for a longer pause than so many seconds is not waited for.
    public var longestWait: Double
    /// For so many seconds from its first failure a call is made again, however often, whatever the budget; nil goes by
    /// `attempts` and `budget`.
    public var patience: Double?

    public init(
        attempts: Int = 10, basePause: Double = 0.2, longestPause: Double = 20, budget: Int = 200,
        longestWait: Double = 300, patience: Double? = nil
    ) {
        self.attempts = attempts
        self.basePause = basePause
        self.longestPause = longestPause
        self.budget = budget
        self.longestWait = longestWait
        self.patience = patience
    }
}

/// A store whose calls are made again where another try may succeed, after a pause of random length.
///
/// The pause is drawn from the whole range that it may have ("full jitter": M. Brooker, "Exponential Backoff and Jitter", AWS
/// Architecture Blog, 2015), so that clients that failed together do not come back together.
public struct RetryingStore: ObjectStore {
    private let store: any ObjectStore
    private let policy: RetryPolicy
    private let isCancelled: @Sendable () -> Bool
    private let onRetry: @Sendable (StoreError) -> Void
    private let state: RetryState

    /// - Parameters:
    ///   - isCancelled: ends a pause.
    ///   - onRetry: is told each error that is followed by another try.
    public init(
        _ store: any ObjectStore, policy: RetryPolicy = .init(),
        isCancelled: @escaping @Sendable () -> Bool = { false },
        onRetry: @escaping @Sendable (StoreError) -> Void = { _ in }
    ) {
        self.store = store
        self.policy = policy
        self.isCancelled = isCancelled
        self.onRetry = onRetry
        state = RetryState(budget: Double(policy.budget))
    }

    /// Makes a call until it succeeds, fails for good, or was made often enough.
    ///
    /// - Parameter isStoppable: false for a call that belongs to the stopping.
    private func retrying<Result>(isStoppable: Bool = true, _ call: () throws(StoreError) -> Result)
        throws(StoreError) -> Result
    {
        let isCancelled = isStoppable ? isCancelled : { false }
        var attempt = 1
        var end: ContinuousClock.Instant?
        while true {
            guard !isCancelled() else { throw StoreError(.cancelled, "stopped on request") }
            do throws(StoreError) {
                let result = try call()
                state.refill(upTo: Double(policy.budget))
                return result
            } catch {
                guard case .transient(let wait) = error.persistence else { throw error }
                if let patience = policy.patience {
                    let limit = end ?? ContinuousClock.now + .seconds(patience)
                    end = limit
                    guard ContinuousClock.now < limit else { throw error.after(attempts: attempt) }
                } else if attempt >= policy.attempts {
                    throw error.after(attempts: attempt)
                }
                if let wait, wait > policy.longestWait { throw error.asking(forPauseOf: wait) }
                guard policy.patience != nil || state.take() else { throw error.outOfBudget(policy.budget) }
                onRetry(error)
                let range = min(policy.longestPause, policy.basePause * Double(1 << min(attempt - 1, 20)))
                try Pause.sleep(
                    seconds: max(wait ?? 0, Double.random(in: 0...max(range, 0))), isCancelled: isCancelled)
                attempt += 1
            }
        }
    }
}

extension RetryingStore {
    public var name: String { store.name }
    public var location: String { store.location }
    public var limits: MultipartLimits { store.limits }

    public func put(_ body: ObjectBody, to key: ObjectKey, _ attributes: ObjectAttributes, replacing: Bool)
        throws(StoreError) -> ObjectSummary
    {
        try retrying { () throws(StoreError) in try store.put(body, to: key, attributes, replacing: replacing) }
    }

    public func initiate(_ key: ObjectKey, _ attributes: ObjectAttributes, partLength: UInt64, replacing: Bool)
        throws(StoreError) -> MultipartUpload
    {
        try retrying { () throws(StoreError) in
            try store.initiate(key, attributes, partLength: partLength, replacing: replacing)
        }
    }

    public func upload(_ body: ObjectBody, asPart number: Int, of upload: MultipartUpload) throws(StoreError)
        -> StoredPart
    {
        try retrying { () throws(StoreError) in try store.upload(body, asPart: number, of: upload) }
    }

    public func parts(of upload: MultipartUpload) throws(StoreError) -> [StoredPart] {
        try retrying { () throws(StoreError) in try store.parts(of: upload) }
    }

    public func complete(_ upload: MultipartUpload, parts: [StoredPart], replacing: Bool) throws(StoreError)
        -> ObjectSummary
    {
        try retrying { () throws(StoreError) in try store.complete(upload, parts: parts, replacing: replacing) }
    }

    public func abort(_ upload: MultipartUpload) throws(StoreError) {
        try retrying(isStoppable: false) { () throws(StoreError) in try store.abort(upload) }
    }

    public func uploads(prefix: String) throws(StoreError) -> [MultipartUpload] {
        try retrying { () throws(StoreError) in try store.uploads(prefix: prefix) }
    }

    public func get(_ key: ObjectKey, range: Range<UInt64>, tag: String?) throws(StoreError) -> [UInt8] {
        try retrying { () throws(StoreError) in try store.get(key, range: range, tag: tag) }
    }

    public func head(_ key: ObjectKey) throws(StoreError) -> ObjectSummary {
        try retrying { () throws(StoreError) in try store.head(key) }
    }

    public func list(prefix: String, after key: String?, count: Int) throws(StoreError) -> ObjectPage {
        try retrying { () throws(StoreError) in try store.list(prefix: prefix, after: key, count: count) }
    }

    public func delete(_ key: ObjectKey) throws(StoreError) {
        // Who stops an export has what was sent taken back.
        try retrying(isStoppable: false) { () throws(StoreError) in try store.delete(key) }
    }

    public func setAttributes(_ attributes: ObjectAttributes, of key: ObjectKey, tag: String) throws(StoreError) {
        try retrying { () throws(StoreError) in try store.setAttributes(attributes, of: key, tag: tag) }
    }

    public func holds(_ body: ObjectBody, as part: StoredPart) throws(StoreError) -> Bool {
        try store.holds(body, as: part)
    }

    public func isObject(_ object: ObjectSummary, madeOf parts: [StoredPart], crc64: UInt64) -> Bool {
        store.isObject(object, madeOf: parts, crc64: crc64)
    }
}

/// What is left of the repeats that all calls have together.
private final class RetryState: Sendable {
    private let left: Mutex<Double>

    init(budget: Double) { left = Mutex(budget) }

    func take() -> Bool {
        left.withLock { left in
            guard left >= 1 else { return false }
            left -= 1
            return true
        }
    }

    func refill(upTo budget: Double) { left.withLock { $0 = min(budget, $0 + 0.1) } }
}

extension StoreError {
    fileprivate func after(attempts: Int) -> StoreError {
        var error = self
        error.persistence = .permanent
        if attempts > 1 { error.message += "; it was tried \(attempts) times" }
        return error
    }

    fileprivate func asking(forPauseOf seconds: Double) -> StoreError {
        var error = self
        error.persistence = .permanent
        error.message += "; the store asks to come again in \(Int(seconds)) s, and that is not waited for"
        return error
    }

    fileprivate func outOfBudget(_ budget: Int) -> StoreError {
        var error = self
        error.persistence = .permanent
        error.message += "; all calls together have been repeated more than \(budget) times, so the store is given up"
        return error
    }
}
