/// Version 4 of the OSS signature: HMAC-SHA256 with a key for one day, region and product (OSS, "Include a V4 signature").
public enum OSSSignatureV4 {
    /// What stands before the credential, and in the first line of what is signed.
    public static let algorithm = "OSS4-HMAC-SHA256"
    /// The last name of every scope.
    public static let terminator = "aliyun_v4_request"

    /// What a derived key is good for.
    public struct Scope: Hashable, Sendable, CustomStringConvertible {
        /// `yyyymmdd`.
        public var day: String
        /// As `cn-hangzhou`.
        public var region: String
        /// `oss`, or `oss-cloudbox`.
        public var product: String

        public init(day: String, region: String, product: String = "oss") {
            self.day = day
            self.region = region
            self.product = product
        }

        public var description: String { "\(day)/\(region)/\(product)/\(OSSSignatureV4.terminator)" }
    }

    /// Whether a header is signed without being named: all of OSS's own, the media type and the body's MD5.
    public static func isSignedByDefault(_ lowerCaseName: String) -> Bool {
        lowerCaseName.hasPrefix("x-oss-") || lowerCaseName == "content-type" || lowerCaseName == "content-md5"
    }

    /// The request as it is signed.
    ///
    /// - Parameter additionalHeaders: names of headers that are signed besides; those signed anyway are left out.
    public static func canonicalRequest(_ request: WireRequest, additionalHeaders: [String] = []) -> String {
        let additional = canonicalNames(additionalHeaders)
        let headers = request.canonicalHeaders { isSignedByDefault($0) || additional.contains($0) }
        return [
            request.method,
            PercentEncoding.encode(request.resource, keepingSlashes: true),
            request.canonicalQuery(leavingOut: "x-oss-signature", keepsEqualsSign: false),
            headers.map { "\($0.name):\($0.value)\n" }.joined(),
            additional.joined(separator: ";"),
            request.header(HeaderName.ossContentSHA256) ?? unsignedPayload,
        ].joined(separator: "\n")
    }

    /// The names in lower case and in order, each once, without those that are signed anyway.
    static func canonicalNames(_ names: [String]) -> [String] {
        Set(names.map { $0.lowercased() }).filter { !isSignedByDefault($0) }.sorted()
    }

    /// - Parameter date: `yyyymmddThhmmssZ`, the value of `x-oss-date`.
    public static func stringToSign(canonicalRequest: String, date: String, scope: Scope) -> String {
        "\(algorithm)\n\(date)\n\(scope)\n\(SigningDigest.sha256(canonicalRequest))"
    }

    /// The signature, 64 lower-case hexadecimal digits.
    public static func signature(stringToSign: String, scope: Scope, secret: String) -> String {
        let key = SigningDigest.derivedKey(
            secret: "aliyun_v4\(secret)", [scope.day, scope.region, scope.product, terminator])
        return Hexadecimal.encode(SigningDigest.hmacSHA256(stringToSign, key: key))
    }

    /// The signature of a request, 64 lower-case hexadecimal digits.
    ///
    /// - Parameter date: `yyyymmddThhmmssZ`, as the request has it in its headers or its query.
    public static func signature(
        of request: WireRequest, date: String, scope: Scope, additionalHeaders: [String] = [], secret: String
    ) -> String {
        let canonical = canonicalRequest(request, additionalHeaders: additionalHeaders)
        let text = stringToSign(canonicalRequest: canonical, date: date, scope: scope)
        return signature(stringToSign: text, scope: scope, secret: secret)
    }

    /// Gives a request the headers that version 4 wants, the signature last.
    ///
    /// - Parameters:
    ///   - seconds: the time of the request since 1970-01-01 UTC.
    ///   - additionalHeaders: headers to sign besides; those that the request does not have are left out.
    public static func sign(
        _ request: inout WireRequest, _ credentials: Credentials, region: String, product: String = "oss",
        at seconds: UInt64, additionalHeaders: [String] = []
    ) {
        let date = ISO8601.formatBasic(seconds)
        request.setHeader(HeaderName.ossDate, date)
        request.setHeader(HeaderName.ossContentSHA256, unsignedPayload)
        if let token = credentials.securityToken { request.setHeader(HeaderName.ossSecurityToken, token) }
        let scope = Scope(day: String(date.prefix(8)), region: region, product: product)
        let additional = canonicalNames(additionalHeaders).filter { request.header($0) != nil }
        let signature = signature(
            of: request, date: date, scope: scope, additionalHeaders: additional, secret: credentials.accessKeySecret)
        let authorization = Authorization(
            accessKeyID: credentials.accessKeyID, scope: scope, additionalHeaders: additional, signature: signature)
        request.setHeader(HeaderName.authorization, authorization.headerValue)
    }

    /// The whole query of a presigned URL of the request.
    ///
    /// - Parameters:
    ///   - seconds: when it was signed, since 1970-01-01 UTC.
    ///   - validity: for how long it is good, in seconds.
    public static func presignedQuery(
        _ request: WireRequest, _ credentials: Credentials, region: String, product: String = "oss",
        at seconds: UInt64, validity: UInt64, additionalHeaders: [String] = []
    ) -> [QueryItem] {
        let date = ISO8601.formatBasic(seconds)
        let scope = Scope(day: String(date.prefix(8)), region: region, product: product)
        let additional = canonicalNames(additionalHeaders).filter { request.header($0) != nil }
        var request = request
        request.query += [
            QueryItem("x-oss-signature-version", algorithm), QueryItem("x-oss-date", date),
            QueryItem("x-oss-expires", String(validity)),
            QueryItem("x-oss-credential", "\(credentials.accessKeyID)/\(scope)"),
        ]
        if let token = credentials.securityToken { request.query.append(QueryItem("x-oss-security-token", token)) }
        if !additional.isEmpty {
            request.query.append(QueryItem("x-oss-additional-headers", additional.joined(separator: ";")))
        }
        let signature = signature(
            of: request, date: date, scope: scope, additionalHeaders: additional, secret: credentials.accessKeySecret)
        return request.query + [QueryItem("x-oss-signature", signature)]
    }
}
