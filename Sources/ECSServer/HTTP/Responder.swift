internal import ECSWire
internal import FoundationEssentials
internal import HTTPHost
internal import Hummingbird
internal import HummingbirdCore
internal import NIOCore
internal import OSSWire

/// Answers the requests of one connection after another, whatever they hold.
struct Responder: Sendable {
    /// The paths at which no page can stand.
    static let ownPaths: Set<String> = ["/", "/healthz", "/readyz", "/metrics"]

    private let gate: Gatekeeper
    private let backend: any RPCBackend
    private let pages: [String: StaticPage]
    private let metrics = GatewayMetrics()
    private let pool: BlockingPool
    private let slots: ConnectionSlots
    private let clock: @Sendable () -> UInt64
    private let patience: TimeAmount
    private let limits = RPCMessage.Limits()
    private let observer: (@Sendable (APIRequestRecord) -> Void)?

    init(
        _ backend: any RPCBackend, _ configuration: ECSServerConfiguration, pages: [String: StaticPage],
        _ pool: BlockingPool, _ slots: ConnectionSlots
    ) {
        gate = Gatekeeper(
            backend, throttle: configuration.requestsPerSecond.map { RequestThrottle(requestsPerSecond: $0) })
        self.backend = backend
        self.pages = pages
        self.pool = pool
        self.slots = slots
        clock = configuration.timeSource
        patience = configuration.patience
        observer = configuration.observer
    }

    /// - Throws: where the connection is to be closed.
    @concurrent
    func respond(to request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel) async throws {
        let start = ContinuousClock.now
        var body = RequestBodyReader(request, channel, patience: patience)
        let target = RequestTarget(request)
        var record = APIRequestRecord(requestID: UUID().uuidString, route: route(of: target.path))
        let isCall = record.route == .api
        if isCall { metrics.began() }
        var answer: Answer
        do {
            if isCall {
                answer = try await self.answer(request, target, &body, writer, channel, &record)
            } else {
                answer = try await self.answer(request.method, target, &record)
            }
        } catch let lost as ConnectionLost {
            metrics.abandoned()
            throw lost.cause ?? lost
        }
        answer.fields.append(("x-acs-request-id", record.requestID))
        if body.isUnread { answer.fields.append(("Connection", "close")) }
        let outcome: Result<Void, any Error>
        do {
            try await send(answer, isHead: request.method == .head, writer, channel)
            outcome = .success(())
        } catch {
            outcome = .failure(error)
        }
        record.finish(answer, after: ContinuousClock.now - start)
        if isCall { metrics.ended(record) }
        observer?(record)
        try outcome.get()
        if body.isUnread {
            await body.drain()
            throw ConnectionDone()
        }
    }

    private func route(of path: String) -> APIRequestRecord.Route {
        switch path {
        case "/": .api
        case "/healthz": .health
        case "/readyz": .readiness
        case "/metrics": .metrics
        default: pages[path] == nil ? .unknown : .page
        }
    }

    @concurrent
    private func send(
        _ answer: Answer, isHead: Bool, _ writer: consuming ResponseWriter, _ channel: any Channel
    ) async throws {
        var fields = HTTPFields()
        for field in answer.fields {
            guard let name = HTTPFields.Element.Name(field.name) else { continue }
            fields.append(HTTPFields.Element(name: name, value: field.value))
        }
        fields[.date] = HTTPDate.format(clock())
        fields[.server] = "Lathe"
        fields[.xContentTypeOptions] = "nosniff"
        fields[.cacheControl] = "no-store"
        fields[.contentLength] = "\(answer.body.count)"
        let head = HTTPResponse(status: .init(code: answer.status), headerFields: fields)
        // A client that takes nothing is not idle to the server as long as it has another request waiting.
        let cut = channel.eventLoop.scheduleTask(in: patience) { channel.close(promise: nil) }
        defer { cut.cancel() }
        if isHead {
            try await writer.writeResponse(head)
        } else {
            try await writer.write(response: head, body: ResponseBody(byteBuffer: ByteBuffer(bytes: answer.body)))
        }
    }
}

// MARK: The API

extension Responder {
    @concurrent
    private func answer(
        _ request: Request, _ target: RequestTarget, _ body: inout RequestBodyReader,
        _ writer: borrowing ResponseWriter, _ channel: any Channel, _ record: inout APIRequestRecord
    ) async throws -> Answer {
        var headers = request.headers.map { HeaderField($0.name.rawName, $0.value) }
        var format = AnswerFormat(guessing: target.query, headers)
        do {
            try target.check()
            // HTTP/1 has it among the fields, what reads it has it apart.
            headers.append(HeaderField("Host", try target.requireHost(headers)))
            let bytes = try await collect(&body, request, target, writer)
            let message = try RPCMessage(
                method: request.method.rawValue, query: target.query, headers: headers, body: bytes, limits: limits)
            // A form may have it as well; where it is neither, the guess decides how that is said.
            format = try AnswerFormat(message)
            let claim = try SignatureClaim(message)
            record.action = claim.action
            return try await answer(message, claim, as: format, channel, &record)
        } catch let error as APIError {
            var answer = Answer(error, as: format, requestID: record.requestID, host: target.safeHost)
            if error.status == 405 { answer.fields.append(("Allow", "GET, POST")) }
            return answer
        }
    }

    @concurrent
    private func collect(
        _ body: inout RequestBodyReader, _ request: Request, _ target: RequestTarget, _ writer: borrowing ResponseWriter
    ) async throws -> [UInt8] {
        guard request.method == .get || request.method == .post else { throw APIError.unsupportedMethod }
        let room = limits.length - target.query.utf8.count
        guard room >= 0 else { throw APIError.requestTooLarge(limit: limits.length) }
        if let announced = request.headers[.contentLength].flatMap({ Int($0) }), announced > room {
            throw APIError.requestTooLarge(limit: limits.length)
        }
        if let expected = request.headers[.expect] {
            guard expected.lowercased() == "100-continue" else {
                throw APIError(417, "ExpectationFailed", "The only expectation that is met is 100-continue.")
            }
            if body.isUnread { try await writer.writeInformationalHead(HTTPResponse(status: .continue)) }
        }
        guard let bytes = try await body.collect(upTo: room) else {
            throw APIError.requestTooLarge(limit: limits.length)
        }
        return bytes
    }

    @concurrent
    private func answer(
        _ message: RPCMessage, _ claim: SignatureClaim, as format: AnswerFormat, _ channel: any Channel,
        _ record: inout APIRequestRecord
    ) async throws -> Answer {
        let (gate, now, id) = (gate, clock(), record.requestID)
        let outcome: Gatekeeper.Outcome
        slots.begin(channel)
        do {
            // A thread of the backend can't be cut off when the server stops; the client that waits for it can.
            outcome = try await withTaskCancellationHandler {
                try await pool.run { gate.carryOut(message, claim, requestID: id, at: now) }
            } onCancel: {
                channel.close(promise: nil)
            }
        } catch {
            slots.end(channel, isProved: false)
            throw APIError.unavailable("It is about to stop.")
        }
        slots.end(channel, isProved: outcome.accountID != nil)
        record.accountID = outcome.accountID
        switch outcome.result {
        case .success(let fields):
            let all = AnswerObject([.init("RequestId", .text(id))] + fields.fields)
            return Answer(contentType: format.contentType, all.rendered(as: format, action: claim.action))
        case .failure(let error): throw error
        }
    }
}

// MARK: Everything else

extension Responder {
    @concurrent
    private func answer(
        _ method: HTTPRequest.Method, _ target: RequestTarget, _ record: inout APIRequestRecord
    ) async throws -> Answer {
        if record.route == .unknown {
            let format = AnswerFormat(guessing: target.query, [])
            return Answer(.actionNotFound, as: format, requestID: record.requestID, host: target.safeHost)
        }
        guard method == .get || method == .head else {
            var answer = Answer(405, text: "Use GET or HEAD here.")
            answer.fields.append(("Allow", "GET, HEAD"))
            return answer
        }
        switch record.route {
        case .readiness: return await readiness()
        case .metrics: return await metricsText()
        case .page: return pages[target.path].map { Answer(page: $0) } ?? Answer(404, text: "There is no such page.")
        case .health, .api, .unknown: return Answer(200, text: "alive")
        }
    }

    @concurrent
    private func readiness() async -> Answer {
        let backend = backend
        do {
            guard let reason = try await pool.run({ backend.unreadiness() }) else { return Answer(200, text: "ready") }
            return Answer(503, text: reason)
        } catch {
            return Answer(503, text: "The server is about to stop.")
        }
    }

    @concurrent
    private func metricsText() async -> Answer {
        let backend = backend
        let more = try? await pool.run { backend.metrics() }
        return Answer(
            contentType: "text/plain; version=0.0.4; charset=utf-8", Array("\(metrics.text)\(more ?? "")".utf8))
    }
}

extension Answer {
    /// A page runs nothing and loads nothing but what this server has, and stands in nobody's frame.
    fileprivate init(page: StaticPage) {
        self.init(
            contentType: page.contentType, page.bytes,
            [
                (
                    "Content-Security-Policy",
                    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
                ), ("X-Frame-Options", "DENY"), ("Referrer-Policy", "no-referrer"),
                ("Cross-Origin-Opener-Policy", "same-origin"), ("Cross-Origin-Resource-Policy", "same-origin"),
            ])
    }
}

extension APIRequestRecord {
    fileprivate mutating func finish(_ answer: Answer, after duration: Duration) {
        status = answer.status
        code = answer.code
        cause = answer.cause
        seconds = duration / .seconds(1)
    }
}
