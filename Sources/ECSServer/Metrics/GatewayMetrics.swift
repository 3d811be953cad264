internal import Synchronization

/// Counts the requests of the API, in the text format of Prometheus (version 0.0.4).
final class GatewayMetrics: Sendable {
    /// What requests are counted as whose action the backend does not know, or that say none that can be read.
    private static let otherActions = "other"
    /// Actions beyond these count as others: what clients write must not fill the memory.
    private static let greatestNumberOfActions = 64

    private struct Series: Hashable {
        var action: String
        var status: Int
    }

    private struct State {
        var inFlight = 0
        var abandoned = 0
        /// Those that the backend has carried out or refused otherwise than as unknown.
        var actions: Set<String> = []
        var requests: [Series: Int] = [:]
        var durations: [String: DurationHistogram] = [:]
    }

    private let state = Mutex(State())

    func began() { state.withLock { $0.inFlight += 1 } }

    /// The client was gone before its request was read.
    func abandoned() {
        state.withLock {
            $0.inFlight -= 1
            $0.abandoned += 1
        }
    }

    func ended(_ record: APIRequestRecord) {
        state.withLock { state in
            state.inFlight -= 1
            let action = Self.label(of: record, &state)
            state.requests[Series(action: action, status: record.status), default: 0] += 1
            state.durations[action, default: DurationHistogram()].add(record.seconds)
        }
    }

    private static func label(of record: APIRequestRecord, _ state: inout State) -> String {
        guard let action = record.action else { return otherActions }
        // Only signed requests reach the backend, and only it knows which actions there are.
        if record.accountID != nil, record.status == 200, state.actions.count < greatestNumberOfActions {
            state.actions.insert(action)
        }
        return state.actions.contains(action) ? action : otherActions
    }

    /// All of it; each line ends with a line feed.
    var text: String {
        let state = state.withLock { $0 }
        var lines = [
            "# HELP lathe_api_requests_in_flight Requests of the API that are being answered.",
            "# TYPE lathe_api_requests_in_flight gauge", "lathe_api_requests_in_flight \(state.inFlight)",
            "# HELP lathe_api_requests_abandoned_total Requests whose client was gone before they were read.",
            "# TYPE lathe_api_requests_abandoned_total counter",
            "lathe_api_requests_abandoned_total \(state.abandoned)",
            "# HELP lathe_api_requests_total Requests of the API by action and HTTP status.",
            "# TYPE lathe_api_requests_total counter",
        ]
        for (series, count) in state.requests.sorted(by: {
            ($0.key.action, $0.key.status) < ($1.key.action, $1.key.status)
        }) {
            lines.append(
                "lathe_api_requests_total{action=\"\(series.action)\",status=\"\(series.status)\"} \(count)")
        }
        lines += [
            "# HELP lathe_api_request_duration_seconds From the head of a request to the end of its answer.",
            "# TYPE lathe_api_request_duration_seconds histogram",
        ]
        for (action, histogram) in state.durations.sorted(by: { $0.key < $1.key }) {
            lines += histogram.lines("lathe_api_request_duration_seconds", "action=\"\(action)\"")
        }
        return lines.map { "\($0)\n" }.joined()
    }
}

/// How often which time was taken.
struct DurationHistogram {
    /// In seconds.
    private static let bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

    /// One for each bound, and one for what is longer than all.
    private var counts = [Int](repeating: 0, count: bounds.count + 1)
    private var sum = 0.0

    mutating func add(_ seconds: Double) {
        counts[Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count] += 1
        sum += seconds
    }

    /// As Prometheus has it, each bucket with those before it.
    ///
    /// - Parameter labels: those that all lines have.
    func lines(_ name: String, _ labels: String) -> [String] {
        var lines: [String] = []
        var total = 0
        for (place, count) in counts.enumerated() {
            total += count
            let bound = place < Self.bounds.count ? "\(Self.bounds[place])" : "+Inf"
            lines.append("\(name)_bucket{\(labels),le=\"\(bound)\"} \(total)")
        }
        lines.append("\(name)_sum{\(labels)} \(sum)")
        lines.append("\(name)_count{\(labels)} \(total)")
        return lines
    }
}
