internal import OSSWire
internal import ObjectStorage

/// An answer that says no, and what it means to a store.
struct ServerRefusal {
    let status: Int
    /// What the server calls the error, or nothing where it says no more than the status.
    let code: String
    private let answer: HTTPAnswer
    private let body: OSSErrorBody?

    init(_ answer: HTTPAnswer, _ body: OSSErrorBody?) {
        self.answer = answer
        self.body = body
        status = answer.status
        code = printable(body?.code ?? "", atMost: 100)
    }

    /// The server's clock, in seconds since 1970-01-01 UTC.
    var serverTime: UInt64? {
        body?.detail("ServerTime").flatMap { ISO8601.parse($0) ?? HTTPDate.parse($0) } ?? answer.date
    }

    private var requestID: String? {
        let header = answer.header(HeaderName.ossRequestID) ?? answer.header(HeaderName.amzRequestID)
        return (header ?? body?.requestID).flatMap { $0.isEmpty ? nil : printable($0, atMost: 100) }
    }

    func storeError(about call: BucketCall) -> StoreError {
        let (kind, persistence, hint) = judged(call.subject)
        let theirs = printable(body?.message ?? "")
        let said = theirs.isEmpty ? "the server answers \(status)" : "the server says '\(theirs)'"
        return StoreError(
            kind, hint.map { "\($0); \(said)" } ?? said, persistence: persistence, status: status,
            serverCode: code.isEmpty ? nil : code, requestID: requestID)
    }

    private typealias Judgement = (StoreError.Code, StoreError.Persistence, String?)

    private func judged(_ subject: BucketCall.Subject) -> Judgement {
        if let known = Self.byCode[code] { return (known.0, .permanent, known.1) }
        switch (code, status) {
        case ("RequestTimeTooSkewed", _):
            return (.accessDenied, .transient, "our clock and the server's differ too much; the server's is taken now")
        case ("RequestTimeout", _), (_, 408): return (.connection, .transient, "the server waited too long for us")
        case ("BadDigest", _), ("InvalidDigest", _), ("XAmzContentSHA256Mismatch", _):
            return (.checksumMismatch, .transient, "what arrived is not what was sent")
        case ("ConditionalRequestConflict", _), ("OperationAborted", _):
            return (.server, .transient, "another request for the same object was in the way")
        case ("SlowDown", _), ("ServiceUnavailable", _), (_, 429):
            return (.throttled, .transient(afterSeconds: retryAfter), nil)
        case ("PreconditionFailed", _), (_, 412):
            return subject == .notReplacing || subject == .completion
                ? (.objectExists, .permanent, "the object is there, and is not to be replaced")
                : (.preconditionFailed, .permanent, "the object is not the one that was meant")
        case (_, 507): return (.noSpace, .permanent, "the server has no room")
        case (_, 501): return (.unsupported, .permanent, "the server can't do this")
        case ("InternalError", _), ("InternalServerError", _), (_, 500...):
            return (.server, .transient(afterSeconds: retryAfter), nil)
        default: return byStatus(subject)
        }
    }

    /// What is left where the server has no name for it, as in answers to HEAD, which have no body.
    private func byStatus(_ subject: BucketCall.Subject) -> Judgement {
        switch status {
        case 300..<400: (.invalidRequest, .permanent, elsewhere)
        case 401, 403:
            (.accessDenied, .permanent, elsewhereInDenial ?? "the credentials do not allow this, or are wrong")
        case 404:
            (
                subject == .bucket
                    ? .noSuchBucket
                    : subject == .upload || subject == .completion
                        ? .noSuchUpload : .noSuchObject, .permanent, nil
            )
        case 409 where subject == .notReplacing || subject == .completion: (.objectExists, .permanent, nil)
        case 413: (.unsupported, .permanent, "that is too large for the server")
        case 416: (.invalidRange, .permanent, "the range is not within the object")
        default: (.invalidRequest, .permanent, nil)
        }
    }

    /// Another endpoint that the server names is for a person to take, since it would get our credentials.
    private var elsewhere: String {
        let region = answer.header(HeaderName.amzBucketRegion).map { ", region '\(printable($0, atMost: 100))'" } ?? ""
        let place = body?.detail("Endpoint") ?? answer.header(HeaderName.location)
        let named = place.map { "'\(printable($0, atMost: 200))'" } ?? "another endpoint"
        return "the bucket is at \(named)\(region), and redirects are not followed; give that endpoint"
    }

    /// OSS answers 403 to a request that went to the endpoint of another region, and names the right one.
    private var elsewhereInDenial: String? { body?.detail("Endpoint") == nil ? nil : elsewhere }

    /// In seconds, where the server says when to come again.
    private var retryAfter: Double? {
        guard let text = answer.header(HeaderName.retryAfter) else { return nil }
        if let seconds = UInt32(text) { return Double(seconds) }
        guard let then = HTTPDate.parse(text), let now = answer.date else { return nil }
        return then > now ? Double(then - now) : 0
    }

    /// Errors that mean the same whatever they are about, and what to do about them.
    private static let byCode: [String: (StoreError.Code, String?)] = [
        "NoSuchBucket": (.noSuchBucket, nil), "NoSuchKey": (.noSuchObject, nil), "NoSuchUpload": (.noSuchUpload, nil),
        "FileAlreadyExists": (.objectExists, "the object is there, and is not to be replaced"),
        "ObjectAlreadyExists": (.objectExists, "the object is there, and is not to be replaced"),
        "InvalidPart": (.invalidPart, nil), "InvalidPartOrder": (.invalidPart, nil),
        "EntityTooSmall": (.invalidPart, "a part is smaller than the server takes"),
        "EntityTooLarge": (.unsupported, "that is too large for the server"),
        "InvalidRange": (.invalidRange, "the range is not within the object"),
        "BucketAlreadyExists": (.bucketExists, nil), "BucketAlreadyOwnedByYou": (.bucketExists, nil),
        "NotImplemented": (.unsupported, "the server can't do this"),
        "InvalidAccessKeyId": (.accessDenied, "the server does not know the access key; look at its spelling"),
        "SignatureDoesNotMatch": (
            .accessDenied, "the signature is wrong; look at the access key's secret, the region and the endpoint"
        ),
        "SecurityTokenExpired": (.accessDenied, expired), "ExpiredToken": (.accessDenied, expired),
        "InvalidSecurityToken": (.accessDenied, "the security token is wrong or has expired; get new credentials"),
        "InvalidToken": (.accessDenied, "the security token is wrong or has expired; get new credentials"),
        "AccessKeyIdAndSecurityTokenNotMatch": (
            .accessDenied, "the security token was given with another access key; both come from one place"
        ),
        "SecondLevelDomainForbidden": (
            .accessDenied, "the server wants the bucket in the host's name; use the addressing 'virtual'"
        ),
        "InDebt": (.accessDenied, "the account has to be paid for first"),
        "UserDisable": (.accessDenied, "the account is disabled"),
        "QuotaExceeded": (.noSpace, "the quota is used up"), "XMinioStorageFull": (.noSpace, nil),
    ]

    private static let expired = "the temporary credentials have expired; get new ones"
}
