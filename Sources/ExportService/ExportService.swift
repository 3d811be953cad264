public import ECSWire
internal import GRDB
public import Logging
internal import Synchronization

/// The ExportImage service: what stands behind the gateway.
///
/// What it knows is in the database of `ServiceState`; what it does to disks and buckets is done by a worker and a provider that it
/// is given. One process at a time has a data directory: whoever makes a service holds its lock.
public final class ExportService: RPCBackend {
    let state: ServiceState
    let buckets: any BucketProvider
    let worker: any DiskWorker
    let settings: ServiceSettings
    let runner: TaskRunner
    let verifications: Verifications
    let logger: Logger
    private let announced = Mutex("")

    public init(
        _ state: ServiceState, buckets: any BucketProvider, worker: any DiskWorker, settings: ServiceSettings = .init(),
        logger: Logger
    ) {
        self.state = state
        self.buckets = buckets
        self.worker = worker
        self.settings = settings
        self.logger = logger
        let context = TaskContext(state: state, buckets: buckets, worker: worker, settings: settings)
        runner = TaskRunner(context, logger: logger)
        verifications = Verifications(context, logger: logger)
    }

    /// Takes up the tasks that were under way when the service ended, and begins with those that wait.
    ///
    /// - Throws: `unavailable`, `corrupt`.
    public func start() throws(StateError) { try runner.start() }

    /// Has everything that runs stop where it is, to go on at the next start, and returns when it has; it blocks.
    public func stop() {
        verifications.stop()
        runner.stop()
    }

    /// Says where the API is: what DescribeRegions answers for a region without an endpoint of its own.
    ///
    /// - Parameter endpoint: a host and a port.
    public func announce(endpoint: String) { announced.withLock { $0 = endpoint } }

    var endpoint: String { announced.withLock { $0 } }

    // MARK: RPCBackend

    public func signingKey(_ accessKeyID: String) throws(APIError) -> SigningKey? {
        try keeping { () throws(StateError) in try state.signingKey(accessKeyID) }
    }

    public func claimNonce(_ nonce: String, of accessKeyID: String, expires: UInt64) throws(APIError) -> Bool {
        try keeping { () throws(StateError) in try state.claimNonce(nonce, of: accessKeyID, expires: expires) }
    }

    public func perform(_ request: RPCRequest) throws(APIError) -> AnswerObject {
        guard let operation = APIOperation.table[APIOperation.Name(request.version, request.action)] else {
            throw .actionNotFound
        }
        let call = APICall(request)
        try requireAllowed(operation, call)
        return try operation.perform(self, call)
    }

    /// What a role was not given, its sessions may not do; an account's own keys may do everything with what is the account's.
    private func requireAllowed(_ operation: APIOperation, _ call: APICall) throws(APIError) {
        guard call.principal.roleName != nil, let action = operation.permission else { return }
        let authorization = try keeping { () throws(StateError) in try state.authorization(of: call.principal) }
        guard authorization.allows(action, on: operation.resource(call)) else {
            throw APIError(
                403, "Forbidden.RAM",
                "User not authorized to operate on the specified resource, or this API doesn't support RAM.")
        }
    }

    public func unreadiness() -> String? {
        guard runner.isStarted else { return "The service does not carry out tasks: it is starting or ending." }
        do throws(StateError) {
            _ = try state.regions()
            return nil
        } catch {
            return "The service can't read its records."
        }
    }

    public func metrics() -> String {
        let counts = (try? state.taskCounts()) ?? [:]
        var lines = ["# HELP lathe_tasks Tasks by their status.", "# TYPE lathe_tasks gauge"]
        for status in TaskRecord.Status.allCases {
            lines.append("lathe_tasks{status=\"\(status.rawValue)\"} \(counts[status] ?? 0)")
        }
        lines += [
            "# HELP lathe_tasks_running Tasks that a thread of this process carries out now.",
            "# TYPE lathe_tasks_running gauge", "lathe_tasks_running \(runner.runningCount)",
        ]
        return lines.joined(separator: "\n") + "\n"
    }

    // MARK: Records

    /// Makes a call to the database, whose failures a caller is told nothing of but when to come again.
    func keeping<Result>(_ call: () throws(StateError) -> Result) throws(APIError) -> Result {
        do throws(StateError) { return try call() } catch { throw APIError(error) }
    }

    /// Reads and writes in one transaction, which may refuse: then nothing is written.
    func transaction<Value>(_ body: (Database) throws -> Swift.Result<Value, APIError>) throws(APIError) -> Value {
        try keeping { () throws(StateError) in try state.database.write(body) }.get()
    }
}

extension APIError {
    /// A failure of the records that is no fault of the request.
    init(_ error: StateError) {
        self =
            error.code == .unavailable
            ? .unavailable("Try again.") : .internalError(error.description)
        cause = error.description
    }
}

extension ServiceState {
    func taskCounts() throws(StateError) -> [TaskRecord.Status: Int] {
        try database.read { db in
            var counts: [TaskRecord.Status: Int] = [:]
            for status in TaskRecord.Status.allCases {
                counts[status] = try TaskRecord.filter(Column("status") == status).fetchCount(db)
            }
            return counts
        }
    }
}
