internal import ECSWire

/// What a request is answered: everything but what every answer carries (`Responder`).
struct Answer: Sendable {
    var status: Int
    var fields: [(name: String, value: String)]
    var body: [UInt8]
    /// What the API calls a failure.
    var code: String?
    /// What led to a failure of the server itself.
    var cause: String?

    init(_ status: Int = 200, contentType: String, _ body: [UInt8], _ fields: [(name: String, value: String)] = []) {
        self.status = status
        self.fields = [("Content-Type", contentType)] + fields
        self.body = body
    }

    /// A line of text for people and probes.
    init(_ status: Int, text: String) {
        self.init(status, contentType: "text/plain; charset=utf-8", Array("\(text)\n".utf8))
    }

    /// - Parameter host: what the client calls this server.
    init(_ error: APIError, as format: AnswerFormat, requestID: String, host: String) {
        // No backend can make an answer of it that clients take for a success.
        let status = (400...599).contains(error.status) ? error.status : 500
        let body = APIErrorBody(error, requestID: requestID, hostID: host)
        self.init(status, contentType: format.contentType, body.rendered(as: format))
        code = error.code
        cause = status >= 500 ? error.cause ?? error.message : nil
        if let seconds = error.retryAfterSeconds, seconds > 0 {
            // In milliseconds: what the vendor's newer client reads there, it sleeps.
            fields.append(("x-acs-retry-after", "\(seconds * 1000)"))
            fields.append(("Retry-After", "\(seconds)"))
        }
    }
}
