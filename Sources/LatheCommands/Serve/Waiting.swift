internal import Dispatch
internal import ObjectStorage
internal import Synchronization

/// Runs asynchronous work to its end; for the main thread, which may wait and on which nothing else runs.
func waiting<Value: Sendable>(
    _ body: @escaping @Sendable () async throws(StoreError) -> Value
) throws(StoreError) -> Value {
    let box = Outcome<Value>()
    let ended = DispatchSemaphore(value: 0)
    Task.detached {
        do throws(StoreError) {
            box.set(.success(try await body()))
        } catch {
            box.set(.failure(error))
        }
        ended.signal()
    }
    ended.wait()
    return try box.get()
}

func waiting(_ body: @escaping @Sendable () async -> Void) {
    let ended = DispatchSemaphore(value: 0)
    Task.detached {
        await body()
        ended.signal()
    }
    ended.wait()
}

/// How work ended that another thread waits for.
private final class Outcome<Value: Sendable>: Sendable {
    private let result = Mutex<Result<Value, StoreError>>(.failure(StoreError(.cancelled, "the work did not end")))

    func set(_ result: Result<Value, StoreError>) { self.result.withLock { $0 = result } }

    func get() throws(StoreError) -> Value { try result.withLock { $0 }.get() }
}
