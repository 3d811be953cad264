import ECSServer
import ECSWire
import Foundation
import LatheTestSupport
import OSSWire
import Synchronization
import Testing

/// A backend that knows a few keys and actions, and remembers what reached it.
final class FakeBackend: RPCBackend {
    static let account = "1234567890123456"
    static let key = Credentials(accessKeyID: "AKID", accessKeySecret: "top-secret")
    static let temporary = Credentials(
        accessKeyID: "STS.1", accessKeySecret: "sts-secret", securityToken: "CAIS/+token=")
    static let expired = Credentials(accessKeyID: "STS.2", accessKeySecret: "old-secret", securityToken: "CAIS-old")

    private struct State {
        var requests: [RPCRequest] = []
        var nonces: Set<String> = []
        var expiries: [UInt64] = []
        var lookups = 0
        var mostAtOnce = 0
        var running = 0
        var unreadiness: String?
        /// While it is true, calls of `Wait` do not end.
        var isHeld = false
    }

    private let state = Mutex(State())
    let now: UInt64

    init(now: UInt64) { self.now = now }

    /// What was carried out.
    var requests: [RPCRequest] { state.withLock { $0.requests } }
    /// Until when nonces must be remembered.
    var expiries: [UInt64] { state.withLock { $0.expiries } }
    var lookups: Int { state.withLock { $0.lookups } }
    var running: Int { state.withLock { $0.running } }
    var mostAtOnce: Int { state.withLock { $0.mostAtOnce } }

    func setUnreadiness(_ reason: String?) { state.withLock { $0.unreadiness = reason } }
    func hold(_ isHeld: Bool) { state.withLock { $0.isHeld = isHeld } }

    func signingKey(_ accessKeyID: String) throws(APIError) -> SigningKey? {
        state.withLock { $0.lookups += 1 }
        let principal = Principal(accountID: Self.account, accessKeyID: accessKeyID)
        func temporary(_ credentials: Credentials, expires: UInt64) -> SigningKey {
            SigningKey(
                secret: credentials.accessKeySecret,
                tokenSHA256: SigningDigest.sha256(credentials.securityToken ?? ""), expires: expires,
                principal: principal)
        }
        switch accessKeyID {
        case Self.key.accessKeyID: return SigningKey(secret: Self.key.accessKeySecret, principal: principal)
        case Self.temporary.accessKeyID: return temporary(Self.temporary, expires: now + 3600)
        case Self.expired.accessKeyID: return temporary(Self.expired, expires: now)
        case "DISABLED": throw .accessKeyInactive
        case "BROKEN": throw .internalError("the disk with /secret/path is gone")
        default: return nil
        }
    }

    func claimNonce(_ nonce: String, of accessKeyID: String, expires: UInt64) throws(APIError) -> Bool {
        state.withLock {
            $0.expiries.append(expires)
            return $0.nonces.insert("\(accessKeyID) \(nonce)").inserted
        }
    }

    func perform(_ request: RPCRequest) throws(APIError) -> AnswerObject {
        state.withLock {
            $0.requests.append(request)
            $0.running += 1
            $0.mostAtOnce = max($0.mostAtOnce, $0.running)
        }
        defer { state.withLock { $0.running -= 1 } }
        switch request.action {
        case "DescribeRegions":
            return ["Regions": .list(item: "Region", [.object(["RegionId": "cn-hangzhou", "LocalName": "杭州 <&>"])])]
        case "ExportImage": return ["RegionId": "cn-hangzhou", "TaskId": "tsk-1", "ExportTaskId": "tsk-1"]
        case "DescribeTasks": return try tasks(request)
        case "CancelTask":
            throw APIError(403, "InvalidTaskId.IncorrectTaskStatus", "The specified task status is invalid.")
        case "DescribeImages": throw .internalError("the database at /secret/path is gone")
        case "AssumeRole": return assumedRole
        case "Wait":
            while state.withLock({ $0.isHeld }) { usleep(2000) }
            return ["Waited": true]
        default: throw .actionNotFound
        }
    }

    private func tasks(_ request: RPCRequest) throws(APIError) -> AnswerObject {
        let tasks = (1...2).map { number in
            AnswerValue.object([
                "TaskId": "tsk-\(number)", "TaskAction": "ExportImage", "TaskStatus": "Finished",
                "SupportCancel": false,
            ])
        }
        return [
            "RegionId": "cn-hangzhou", "PageNumber": 1, "PageSize": 10, "TotalCount": 2,
            "TaskSet": .list(item: "Task", tasks),
        ]
    }

    private var assumedRole: AnswerObject {
        [
            "Credentials": .object([
                "AccessKeyId": .text(Self.temporary.accessKeyID),
                "AccessKeySecret": .text(Self.temporary.accessKeySecret),
                "SecurityToken": .text(Self.temporary.securityToken ?? ""),
                "Expiration": .text(APITime.format(now + 3600)),
            ]), "AssumedRoleUser": .object(["Arn": "acs:ram::1:role/r/s", "AssumedRoleId": "3:s"]),
        ]
    }

    func unreadiness() -> String? { state.withLock { $0.unreadiness } }

    func metrics() -> String { "# TYPE lathe_tasks gauge\nlathe_tasks 7\n" }
}

/// A gateway of a test's own.
struct OwnGateway: Sendable {
    let server: ECSServer
    let backend: FakeBackend
    let records: Records

    /// What the observer saw.
    final class Records: Sendable {
        private let list = Mutex<[APIRequestRecord]>([])

        func append(_ record: APIRequestRecord) { list.withLock { $0.append(record) } }
        var all: [APIRequestRecord] { list.withLock { $0 } }
    }

    var host: String { "\(server.host):\(server.port)" }

    /// Sends a request as it stands, on a connection of its own.
    func exchange(_ request: String, body: [UInt8] = []) async throws -> RawAnswer {
        let (port, host) = (server.port, server.host)
        return try await onThread {
            let connection = try RawConnection(port: port, host: host)
            try connection.send(Array(request.utf8) + body)
            return try connection.answer(toHead: request.hasPrefix("HEAD "))
        }
    }

    func call(_ action: String, _ parameters: [String: String] = [:]) -> RPCCall {
        RPCCall(action, parameters, host: host)
    }

    /// Signs a call now, under a nonce of its own.
    func signed(
        _ call: RPCCall, _ version: RPCCall.SignatureVersion = .v3, _ key: Credentials = FakeBackend.key,
        later seconds: Int64 = 0, nonce: String = UUID().uuidString
    ) -> SignedCall {
        call.signed(version, key, at: UInt64(Int64(backend.now) + seconds), nonce: nonce)
    }

    func send(_ call: SignedCall, _ fields: String...) async throws -> RawAnswer {
        try await exchange(call.text(fields), body: call.body)
    }

    func get(_ path: String, method: String = "GET") async throws -> RawAnswer {
        try await exchange("\(method) \(path) HTTP/1.1\r\nHost: \(host)\r\n\r\n")
    }
}

extension SignedCall {
    /// The head as it is sent.
    func text(_ fields: [String] = []) -> String {
        let headers = headers.map { "\($0.name): \($0.value)\r\n" }.joined()
        let length = method == "POST" ? "Content-Length: \(body.count)\r\n" : ""
        return "\(method) \(target) HTTP/1.1\r\n\(headers)\(length)\(fields.map { "\($0)\r\n" }.joined())\r\n"
    }
}

/// Runs a body with a gateway of its own, which has ended when this returns.
func withGateway(
    pages: [String: StaticPage] = [:], now: UInt64 = 1_700_000_000,
    _ change: (inout ECSServerConfiguration) -> Void = { _ in }, _ body: (OwnGateway) async throws -> Void
) async throws {
    let backend = FakeBackend(now: now)
    let records = OwnGateway.Records()
    var configuration = ECSServerConfiguration()
    configuration.clock = { now }
    configuration.observer = { records.append($0) }
    change(&configuration)
    let server = try await ECSServer.start(backend, configuration, pages: pages)
    let own = OwnGateway(server: server, backend: backend, records: records)
    do {
        try await body(own)
        backend.hold(false)
        await server.stop(patience: 1)
    } catch {
        backend.hold(false)
        await server.stop(patience: 1)
        throw error
    }
}

/// Runs what blocks on a thread of its own: the server's handlers need those that run asynchronous work.
func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result(catching: body)) }
    }
}

/// Waits for something to become so, for at most half a minute.
func eventually(_ condition: () -> Bool, sourceLocation: SourceLocation = #_sourceLocation) async throws {
    for _ in 0..<3000 {
        if condition() { return }
        try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("it did not become so", sourceLocation: sourceLocation)
}
