import ObjectStorage
import ObjectStoreConformance
import Synchronization
import Testing

/// What is tried again, how often, and after how long.
@Suite struct RetryingStoreTests {
    private static let quick = RetryPolicy(attempts: 5, basePause: 0.001, longestPause: 0.002)

    /// A store whose first calls fail.
    private func store(failing count: Int, _ error: StoreError) -> MemoryStore {
        MemoryStore(before: { (_, number) throws(StoreError) in if number < count { throw error } })
    }

    private let key = Result { try ObjectKey("key") }

    @Test func aCallThatFailsForTheMomentIsMadeAgain() throws {
        let store = store(failing: 3, StoreError(.connection, "reset", persistence: .transient))
        let seen = Mutex(0)
        let retrying = RetryingStore(store, policy: Self.quick, onRetry: { _ in seen.withLock { $0 += 1 } })
        _ = try retrying.put(ObjectBody([1]), to: key.get(), .init(), replacing: true)
        #expect(store.calls.count == 4)
        #expect(seen.withLock { $0 } == 3)
    }

    @Test func aCallThatFailsForGoodIsNot() throws {
        let store = store(failing: 1, StoreError(.accessDenied, "no"))
        let error = #expect(throws: StoreError.self) {
            try RetryingStore(store, policy: Self.quick).head(key.get())
        }
        #expect(error?.code == .accessDenied)
        #expect(store.calls.count == 1)
    }

    @Test func afterSoManyAttemptsItIsGivenUp() throws {
        let store = store(failing: 100, StoreError(.server, "busy", persistence: .transient))
        let error = #expect(throws: StoreError.self) {
            try RetryingStore(store, policy: Self.quick).head(key.get())
        }
        #expect(store.calls.count == 5)
        #expect(error?.isTransient == false)
        #expect(error?.message.contains("tried 5 times") == true)
    }

    @Test func allCallsTogetherHaveABudget() throws {
        let store = store(failing: 1000, StoreError(.server, "busy", persistence: .transient))
        var policy = Self.quick
        policy.attempts = 1000
        policy.budget = 7
        let error = #expect(throws: StoreError.self) { try RetryingStore(store, policy: policy).head(key.get()) }
        #expect(store.calls.count == 8)
        #expect(error?.message.contains("given up") == true)
    }

    @Test func theStoresOwnPauseIsKept() throws {
        let store = store(failing: 1, StoreError(.throttled, "slow", persistence: .transient(afterSeconds: 0.3)))
        let start = ContinuousClock.now
        _ = try RetryingStore(store, policy: Self.quick).list(prefix: "", after: nil, count: 1)
        #expect(ContinuousClock.now - start >= .milliseconds(300))
    }

    @Test func aPauseEndsWhenTheWorkIsToStop() throws {
        let store = store(failing: 1, StoreError(.throttled, "slow", persistence: .transient(afterSeconds: 60)))
        let isCancelled = Atomic(false)
        let retrying = RetryingStore(
            store, policy: Self.quick, isCancelled: { isCancelled.load(ordering: .relaxed) },
            onRetry: { _ in isCancelled.store(true, ordering: .relaxed) })
        let error = #expect(throws: StoreError.self) { try retrying.list(prefix: "", after: nil, count: 1) }
        #expect(error?.code == .cancelled)
    }

    @Test func aStoreThatAsksForALongPauseIsNotWaitedFor() throws {
        let store = store(failing: 1, StoreError(.throttled, "slow", persistence: .transient(afterSeconds: 301)))
        let error = #expect(throws: StoreError.self) {
            try RetryingStore(store, policy: Self.quick).head(key.get())
        }
        #expect(error?.code == .throttled)
        #expect(error?.isTransient == false)
        #expect(error?.message.contains("301 s") == true)
        #expect(store.calls.count == 1)
    }

    @Test func whatIsStoppedCanBeTakenBack() throws {
        let store = MemoryStore()
        let upload = try store.initiate(key.get(), .init(), partLength: 1, replacing: true)
        let retrying = RetryingStore(store, policy: Self.quick, isCancelled: { true })
        #expect(throws: StoreError.self) { try retrying.parts(of: upload) }
        try retrying.abort(upload)
        #expect(store.uploadCount == 0)
    }

    @Test func bandwidthIsShared() throws {
        let limit = BandwidthLimit(bytesPerSecond: 1_000_000)
        let start = ContinuousClock.now
        let body = ObjectBody([UInt8](repeating: 1, count: 200_000)).paced { (bytes) throws(StoreError) in
            try limit.pass(bytes)
        }
        let store = MemoryStore()
        _ = try store.put(body, to: key.get(), .init(), replacing: true)
        _ = try store.put(body, to: key.get(), .init(), replacing: true)
        // The last piece goes at once when its turn comes, so less than all of the time is waited.
        #expect(ContinuousClock.now - start >= .milliseconds(190))
    }
}

/// How long parts are.
@Suite struct PartPlanTests {
    private func length(_ object: UInt64, chosen: UInt64? = nil, _ limits: MultipartLimits = .oss) throws -> UInt64 {
        try PartPlan.partLength(forObjectOf: object, chosen: chosen, limits: limits)
    }

    @Test func smallObjectsHavePartsOfEightMebibytes() throws {
        #expect(try length(0) == 8 << 20)
        #expect(try length(80_000 << 20) == 8 << 20)
    }

    @Test func greatObjectsHaveAtMostTenThousandParts() throws {
        for object: UInt64 in [80_001 << 20, 1 << 40, 48 << 40] {
            let part = try length(object)
            #expect(part % (1 << 20) == 0)
            #expect((object + part - 1) / part <= 10_000)
        }
    }

    @Test func moreThanTheStoreTakesIsRefused() {
        #expect(throws: StoreError.self) { try length(50_001 << 30) }
    }

    @Test func aChosenLengthIsHeldAgainstTheLimits() throws {
        #expect(try length(900 << 20, chosen: 100 << 10 | 7) == 100 << 10 | 7)
        #expect(throws: StoreError.self) { try length(1 << 30, chosen: 100) }
        #expect(throws: StoreError.self) { try length(1 << 30, chosen: 6 << 30) }
        #expect(throws: StoreError.self) { try length(1 << 40, chosen: 1 << 20) }
        #expect(throws: StoreError.self) { try length(1 << 30, chosen: 4 << 20, .s3) }
    }
}
