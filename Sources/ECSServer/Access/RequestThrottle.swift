internal import Synchronization

/// A bucket of tokens a key: each request takes one, and each second puts some back.
final class RequestThrottle: Sendable {
    private struct Bucket {
        var tokens: Int
        /// When it was last filled, in seconds.
        var filled: UInt64
    }

    /// Temporary keys come and go; with so many there is a look for buckets that nobody needs.
    private static let greatestNumberKept = 10_000

    private let rate: Int
    private let buckets = Mutex<[String: Bucket]>([:])

    /// - Parameter requestsPerSecond: on average, over bursts of twice as many; from 1.
    init(requestsPerSecond: Int) { rate = max(1, min(requestsPerSecond, 1_000_000)) }

    /// Takes a token of a key.
    ///
    /// - Parameter now: in seconds.
    /// - Returns: nil where there was one, else in how many seconds there will be.
    func take(_ key: String, at now: UInt64) -> Int? {
        buckets.withLock { buckets in
            if buckets.count >= Self.greatestNumberKept {
                buckets = buckets.filter { now >= $0.value.filled && now - $0.value.filled < 2 }
            }
            var bucket = buckets[key] ?? Bucket(tokens: 2 * rate, filled: now)
            // Two seconds fill it. A clock that was put back fills nothing, and starts anew.
            if now > bucket.filled {
                bucket.tokens = min(2 * rate, bucket.tokens + Int(min(now - bucket.filled, 2)) * rate)
            }
            bucket.filled = now
            guard bucket.tokens > 0 else {
                buckets[key] = bucket
                return 1
            }
            bucket.tokens -= 1
            buckets[key] = bucket
            return nil
        }
    }
}
