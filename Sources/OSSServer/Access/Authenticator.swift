internal import Crypto
internal import OSSWire
internal import ObjectStorage

/// Who sent a request.
enum Caller: Hashable, Sendable {
    case key(id: String)
    /// Nobody signed it.
    case anybody
}

/// Finds out who sent a request, by its signature.
struct Authenticator: Sendable {
    /// How far the clocks of a client and the server may be apart, in seconds (OSS, "RequestTimeTooSkewed").
    static let greatestSkew: UInt64 = 15 * 60
    /// How long a URL presigned with version 4 may be good, in seconds (OSS, "Include a V4 signature in a URL").
    static let greatestValidity: UInt64 = 7 * 24 * 3600

    private let credentials: [String: ServerCredential]
    private let access: (any AccessControl)?

    /// - Parameters:
    ///   - credentials: each with an ID of its own; of several with one ID, the last is taken.
    ///   - access: knows further keys; to ask it blocks.
    init(_ credentials: [ServerCredential], access: (any AccessControl)? = nil) {
        self.access = access
        var byID: [String: ServerCredential] = [:]
        for credential in credentials { byID[credential.credentials.accessKeyID] = credential }
        self.credentials = byID
    }

    /// - Throws: the failure that OSS answers where a signature is there, and is not right.
    func caller(of request: OSSRequest) throws(OSSFailure) -> Caller {
        if let header = request.field(HeaderName.authorization) {
            if let claim = OSSSignatureV4.Authorization(parsing: header) { return try caller(request, claim) }
            if let claim = OSSSignature.AuthorizationV1(parsing: header) { return try caller(request, claim) }
            throw Self.unknownMethod(header)
        }
        if request.hasParameter("x-oss-signature-version") || request.hasParameter("x-oss-signature") {
            guard let claim = OSSSignatureV4.Presigned(parsing: request.wire.query) else {
                throw .invalidArgument(
                    "The address is presigned, but some of x-oss-signature-version, x-oss-credential, x-oss-date, "
                        + "x-oss-expires and x-oss-signature is missing or malformed.")
            }
            return try caller(request, claim)
        }
        if request.hasParameter("Signature") || request.hasParameter("OSSAccessKeyId") {
            guard let claim = OSSSignature.PresignedV1(parsing: request.wire.query) else {
                throw .accessDenied(
                    "The address is presigned, but some of OSSAccessKeyId, Expires and Signature is missing.", ec: nil)
            }
            return try caller(request, claim)
        }
        return .anybody
    }

    // MARK: Signatures in the header

    private func caller(_ request: OSSRequest, _ claim: OSSSignatureV4.Authorization) throws(OSSFailure) -> Caller {
        guard let date = request.field(HeaderName.ossDate), let time = ISO8601.parseBasic(date) else {
            throw Self.missingDate(HeaderName.ossDate, "20231203T121212Z")
        }
        guard request.field(HeaderName.ossContentSHA256) == unsignedPayload else {
            throw .invalidArgument(
                "\(HeaderName.ossContentSHA256) must be \(unsignedPayload).", name: HeaderName.ossContentSHA256,
                value: request.field(HeaderName.ossContentSHA256) ?? "")
        }
        let credential = try credential(claim.accessKeyID)
        try requireNear(time, request)
        try requireScope(claim.scope, of: date)
        let secret = credential.credentials.accessKeySecret
        guard claim.isRight(for: request.wire, date: date, secret: secret) else {
            throw Self.mismatchV4(request, claim, date: date)
        }
        try requireToken(request.field(HeaderName.ossSecurityToken), credential, request)
        return .key(id: claim.accessKeyID)
    }

    private func caller(_ request: OSSRequest, _ claim: OSSSignature.AuthorizationV1) throws(OSSFailure) -> Caller {
        let name = request.field(HeaderName.ossDate) == nil ? HeaderName.date : HeaderName.ossDate
        guard let date = request.field(name), let time = HTTPDate.parse(date) else {
            throw Self.missingDate(name, "Wed, 28 Dec 2022 10:27:41 GMT")
        }
        let credential = try credential(claim.accessKeyID)
        try requireNear(time, request)
        let expected = OSSSignature.v1(request.wire, date: date, secret: credential.credentials.accessKeySecret)
        guard ConstantTime.equal(expected, claim.signature) else {
            throw Self.mismatchV1(request, claim.accessKeyID, claim.signature, date: date)
        }
        // alibabacloud-oss-v2 names it without the prefix in version 1 (signer/v1.py).
        let token = request.field(HeaderName.ossSecurityToken) ?? request.field("security-token")
        try requireToken(token, credential, request)
        return .key(id: claim.accessKeyID)
    }

    // MARK: Signatures in the query

    private func caller(_ request: OSSRequest, _ claim: OSSSignatureV4.Presigned) throws(OSSFailure) -> Caller {
        let credential = try credential(claim.authorization.accessKeyID)
        guard (1...Self.greatestValidity).contains(claim.validity) else {
            throw .invalidArgument(
                "x-oss-expires is a number of seconds from 1 to \(Self.greatestValidity).", name: "x-oss-expires",
                value: "\(claim.validity)")
        }
        try requireScope(claim.authorization.scope, of: claim.date)
        guard claim.signed <= request.arrived + Self.greatestSkew else { throw Self.skewed(claim.signed, request) }
        try requireNotExpired(claim.signed + claim.validity, request)
        guard claim.isRight(for: request.wire, secret: credential.credentials.accessKeySecret) else {
            throw Self.mismatchV4(request, claim.authorization, date: claim.date)
        }
        try requireToken(claim.securityToken, credential, request)
        return .key(id: claim.authorization.accessKeyID)
    }

    private func caller(_ request: OSSRequest, _ claim: OSSSignature.PresignedV1) throws(OSSFailure) -> Caller {
        let credential = try credential(claim.accessKeyID)
        try requireNotExpired(claim.expires, request)
        guard claim.isRight(for: request.wire, secret: credential.credentials.accessKeySecret) else {
            throw Self.mismatchV1(request, claim.accessKeyID, claim.signature, date: String(claim.expires))
        }
        try requireToken(claim.securityToken, credential, request)
        return .key(id: claim.accessKeyID)
    }

    // MARK: What all of them ask

    private func credential(_ id: String) throws(OSSFailure) -> ServerCredential {
        var credential = credentials[id]
        if credential == nil { credential = try found(id) }
        guard let credential else {
            throw OSSFailure(
                403, "InvalidAccessKeyId", "The OSS Access Key Id you provided does not exist in our records.",
                details: [("OSSAccessKeyId", id)])
        }
        return credential
    }

    private func found(_ id: String) throws(OSSFailure) -> ServerCredential? {
        do throws(StoreError) { return try access?.credential(id) } catch { throw OSSFailure(error) }
    }

    private func requireNear(_ time: UInt64, _ request: OSSRequest) throws(OSSFailure) {
        let distance = max(time, request.arrived) - min(time, request.arrived)
        guard distance <= Self.greatestSkew else { throw Self.skewed(time, request) }
    }

    private func requireNotExpired(_ expires: UInt64, _ request: OSSRequest) throws(OSSFailure) {
        guard request.arrived > expires else { return }
        throw OSSFailure.accessDenied("Request has expired.", ec: nil)
            .naming("Expires", ISO8601.format(expires)).naming("ServerTime", ISO8601.format(request.arrived))
    }

    private func requireScope(_ scope: OSSSignatureV4.Scope, of date: String) throws(OSSFailure) {
        guard date.hasPrefix(scope.day), scope.product == "oss" else {
            throw .invalidArgument(
                "The scope of the credential is '\(scope)', expected the day of \(HeaderName.ossDate), '\(date)', a region "
                    + "and the product 'oss'.", name: "Credential", value: "\(scope)")
        }
    }

    /// The token of a temporary key comes with every request, and with no request of another key.
    private func requireToken(_ token: String?, _ credential: ServerCredential, _ request: OSSRequest)
        throws(OSSFailure)
    {
        switch (credential.credentials.securityToken, token) {
        case (nil, let token?)
        where credential.tokenSHA256.map { ConstantTime.equal($0, Self.digest(of: token)) } ?? false:
            break
        case (nil, nil) where credential.tokenSHA256 != nil: throw Self.invalidToken
        case (nil, nil): break
        case (let expected?, let token?) where ConstantTime.equal(expected, token): break
        default: throw Self.invalidToken
        }
        if let expires = credential.expires, request.arrived >= expires {
            throw OSSFailure(
                403, "SecurityTokenExpired", "The security token you provided has expired.",
                details: [("ServerTime", ISO8601.format(request.arrived))])
        }
    }
}

extension Authenticator {
    private static let invalidToken = OSSFailure(
        403, "InvalidSecurityToken", "The security token you provided is invalid.")

    private static func digest(of token: String) -> String {
        Hexadecimal.encode(Array(SHA256.hash(data: Array(token.utf8))))
    }

    private static func unknownMethod(_ header: String) -> OSSFailure {
        if header.hasPrefix("OSS2 ") {
            return .notImplemented("version 2 of the signature, which OSS has given up; versions 1 and 4 are")
        }
        return .invalidArgument("Authorization header is invalid: it is of version 1 or 4 of the OSS signature.")
    }

    private static func missingDate(_ name: String, _ example: String) -> OSSFailure {
        .accessDenied("OSS authentication requires a valid Date: \(name) as '\(example)'.", ec: nil)
    }

    private static func skewed(_ time: UInt64, _ request: OSSRequest) -> OSSFailure {
        OSSFailure(
            403, "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            details: [
                ("MaxAllowedSkewMilliseconds", "\(greatestSkew * 1000)"), ("RequestTime", ISO8601.format(time)),
                ("ServerTime", ISO8601.format(request.arrived)),
            ])
    }

    private static let mismatch =
        "The request signature we calculated does not match the signature you provided. Check your key and signing method."

    /// What was signed here goes with the failure: comparing it with what the client signed tells what is wrong.
    private static func mismatchV1(_ request: OSSRequest, _ id: String, _ signature: String, date: String)
        -> OSSFailure
    {
        let text = OSSSignature.v1StringToSign(request.wire, date: date)
        return OSSFailure(
            403, "SignatureDoesNotMatch", mismatch,
            details: [("OSSAccessKeyId", id), ("SignatureProvided", signature)] + signed(text))
    }

    private static func mismatchV4(
        _ request: OSSRequest, _ claim: OSSSignatureV4.Authorization, date: String
    ) -> OSSFailure {
        let canonical = OSSSignatureV4.canonicalRequest(
            request.wire, additionalHeaders: claim.additionalHeaders)
        let text = OSSSignatureV4.stringToSign(canonicalRequest: canonical, date: date, scope: claim.scope)
        return OSSFailure(
            403, "SignatureDoesNotMatch", mismatch, ec: "0002-00000201",
            details: [("OSSAccessKeyId", claim.accessKeyID), ("SignatureProvided", claim.signature)] + signed(text)
                + [("CanonicalRequest", canonical)])
    }

    private static func signed(_ text: String) -> [(String, String)] {
        [
            ("StringToSign", text),
            ("StringToSignBytes", text.utf8.map { Hexadecimal.encode([$0]) }.joined(separator: " ")),
        ]
    }
}
