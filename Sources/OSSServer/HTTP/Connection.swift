internal import HTTPHost
internal import Hummingbird
internal import HummingbirdCore
internal import NIOCore
internal import OSSWire
internal import ObjectStorage

/// Answers the requests of one connection after another, whatever they hold.
struct Responder: Sendable {
    let parsing: RequestParsing
    let authenticator: Authenticator
    let access: (any AccessControl)?
    let allowsAnonymous: Bool
    let service: ObjectService
    let slots: ConnectionSlots
    let clock: @Sendable () -> UInt64
    /// How long a client may take none of the bytes of an answer.
    let stallLimit: TimeAmount
    let observer: (@Sendable (RequestRecord) -> Void)?

    /// - Throws: where nothing can be answered any more; the connection is then closed.
    @concurrent
    func respond(to request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel) async throws {
        let start = ContinuousClock.now
        let id = Self.requestID()
        var record = RequestRecord(method: request.method.rawValue, target: request.head.path ?? "", id: id)
        var answer: Answer
        do {
            var parsed = try await parsing.request(request, id: id, arrived: clock())
            let operation = try await admit(&parsed, channel)
            if parsed.field("Expect")?.lowercased() == "100-continue" {
                try await writer.writeInformationalHead(HTTPResponse(status: .continue))
            }
            answer = try await service.answer(operation, parsed)
        } catch let lost as ConnectionLost {
            throw lost.cause
        } catch {
            let failure = Self.failure(error)
            record.code = failure.code
            record.cause = failure.status >= 500 ? "\(error)" : nil
            answer = Self.answer(failure, request, id: id)
        }
        record.status = answer.status
        answer.add(HeaderName.ossRequestID, id)
        answer.add(HeaderName.ossServerTime, "\((ContinuousClock.now - start).milliseconds)")
        try await send(answer, isHead: request.method == .head, writer, channel)
        record.seconds = Double((ContinuousClock.now - start).milliseconds) / 1000
        observer?(record)
    }

    /// What the request asks for, where whoever sent it may; the connection is then somebody's, unless it asks for what everybody
    /// may.
    private func admit(_ request: inout OSSRequest, _ channel: any Channel) async throws -> Operation {
        slots.begin(channel)
        var isProved = false
        defer { slots.end(channel, isProved: isProved) }
        let caller = try await caller(of: request)
        let operation = try Operation(request)
        try await require(operation, by: caller, &request)
        isProved = caller != .anybody || allowsAnonymous
        return operation
    }

    /// - Throws: `AccessDenied`, `NoSuchBucket`.
    private func require(_ operation: Operation, by caller: Caller, _ request: inout OSSRequest) async throws {
        let accesses = try operation.accesses(request)
        if caller == .anybody {
            guard !allowsAnonymous else { return }
            // What is asked for beside the reading or writing itself, no list gives to everybody.
            guard accesses.count == 1, try await service.letsAnybody(operation, request) else {
                throw OSSFailure.accessDenied("You have no right to access this object because of bucket acl.")
            }
            return
        }
        guard access != nil else { return }
        let permit = Permit(control: access, caller: caller)
        request.permit = permit
        do {
            try await service.pool.run { try permit.require(accesses) }
        } catch let failure as OSSFailure where failure.code == "AccessDenied" && accesses.count == 1 {
            // What anybody may do, a stranger with a key may do too.
            guard try await service.letsAnybody(operation, request) else { throw failure }
        }
    }

    private func caller(of request: OSSRequest) async throws -> Caller {
        guard access != nil else { return try authenticator.caller(of: request) }
        return try await service.pool.run { try authenticator.caller(of: request) }
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
        let length: UInt64? =
            switch answer.body {
            // An answer to HEAD may have said how long the object is.
            case .empty: [204, 304].contains(answer.status) || fields[.contentLength] != nil ? nil : 0
            case .bytes(let bytes): UInt64(bytes.count)
            case .object(let stream): stream.length
            }
        if let length { fields[.contentLength] = "\(length)" }
        let head = HTTPResponse(status: .init(code: answer.status), headerFields: fields)
        switch answer.body {
        case .bytes(let bytes) where !isHead:
            try await writer.write(response: head, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
        case .object(let stream) where !isHead:
            var body = try await writer.writeHead(head)
            try await send(stream, to: &body, channel)
            try await body.finish(nil)
        default: try await writer.writeResponse(head)
        }
    }

    /// Sends one piece while the next is read; no other is in memory.
    @concurrent
    private func send(
        _ stream: ObjectStream, to body: inout some ResponseBodyWriter, _ channel: any Channel
    ) async throws {
        let pieceLength = UInt64(BodyReader.pieceLength)
        let piece = { (start: UInt64) in
            service.pool.start(channel.eventLoop) {
                ByteBuffer(bytes: try stream.read(start..<min(start + pieceLength, stream.length)))
            }
        }
        var start: UInt64 = 0
        guard stream.length > 0 else { return }
        var next = piece(start)
        while true {
            let buffer = try await next.get()
            start += UInt64(buffer.readableBytes)
            let isLast = start >= stream.length
            if !isLast { next = piece(start) }
            let patience = channel.eventLoop.scheduleTask(in: stallLimit) { channel.close(mode: .all, promise: nil) }
            defer { patience.cancel() }
            try await body.write(buffer)
            if isLast { return }
        }
    }
}

extension Responder {
    /// 24 hexadecimal digits, which nobody guesses and no two requests share.
    private static func requestID() -> String {
        tag(ofMD5: (0..<12).map { _ in UInt8.random(in: 0...255) })
    }

    private static func failure(_ error: any Error) -> OSSFailure {
        switch error {
        case let failure as OSSFailure: failure
        case let error as StoreError: OSSFailure(error)
        default: .internalError
        }
    }

    /// An answer without a body has the error in a field (OSS, "x-oss-err").
    private static func answer(_ failure: OSSFailure, _ request: Request, id: String) -> Answer {
        let body = OSSErrorBody(
            code: failure.code, message: failure.message, requestID: id, hostID: request.head.authority ?? "",
            ec: failure.ec,
            recommendDoc: failure.ec.map { "https://api.aliyun.com/troubleshoot?q=\($0)" },
            details: failure.details.map { OSSErrorBody.Detail($0.name, $0.value) })
        var answer = Answer(failure.status, [(HeaderName.contentType, "application/xml")], body: .bytes(body.xml))
        if request.method == .head {
            answer.add(HeaderName.ossError, body.headerValue)
            // As GET would have it (RFC 9110, section 8.6). Without it the answer would get an end of chunks for a body, which
            // the client takes for the beginning of its next answer.
            answer.add(HeaderName.contentLength, "\(body.xml.count)")
            answer.body = .empty
        }
        answer.add(HeaderName.ossErrorCode, failure.ec)
        return answer
    }
}

/// The connection broke, so nothing can be answered.
struct ConnectionLost: Error {
    let cause: any Error
}

extension Duration {
    /// Whole milliseconds.
    var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}
