/// Version 4 of Amazon's signature, as S3 wants it ("Signature Calculations for the Authorization Header").
public enum S3Signature {
    public static let algorithm = "AWS4-HMAC-SHA256"
    public static let terminator = "aws4_request"

    /// Headers that are not signed: what is about the connection, or what a proxy may change.
    private static let unsignedHeaders: Set<String> = [
        "authorization", "user-agent", "connection", "expect", "transfer-encoding", "content-length",
    ]

    /// The request as it is signed: all headers that it has but those about the connection, `Host` among them.
    ///
    /// - Parameters:
    ///   - path: as it is sent, before it is escaped: `/bucket/key`, or `/key` where the bucket is in the host's name.
    ///   - payloadHash: SHA-256 of the body in lower-case hexadecimal, or `UNSIGNED-PAYLOAD`.
    public static func canonicalRequest(_ request: WireRequest, path: String, payloadHash: String) -> String {
        let headers = signedHeaders(request)
        return [
            request.method,
            PercentEncoding.encode(path, keepingSlashes: true),
            request.canonicalQuery(keepsEqualsSign: true),
            headers.map { "\($0.name):\(collapsed($0.value))\n" }.joined(),
            headers.map(\.name).joined(separator: ";"),
            payloadHash,
        ].joined(separator: "\n")
    }

    private static func signedHeaders(_ request: WireRequest) -> [(name: String, value: String)] {
        request.canonicalHeaders { !unsignedHeaders.contains($0) }
    }

    /// A run of spaces counts as one.
    private static func collapsed(_ value: String) -> String {
        value.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
    }

    /// - Parameters:
    ///   - date: `yyyymmddThhmmssZ`, the value of `x-amz-date`.
    ///   - scope: `yyyymmdd/region/s3/aws4_request`.
    public static func stringToSign(canonicalRequest: String, date: String, scope: String) -> String {
        "\(algorithm)\n\(date)\n\(scope)\n\(SigningDigest.sha256(canonicalRequest))"
    }

    /// The signature, 64 lower-case hexadecimal digits.
    public static func signature(stringToSign: String, day: String, region: String, secret: String) -> String {
        let key = SigningDigest.derivedKey(secret: "AWS4\(secret)", [day, region, "s3", terminator])
        return Hexadecimal.encode(SigningDigest.hmacSHA256(stringToSign, key: key))
    }

    /// Gives a request the headers that the signature wants, the signature last; it must have its `Host`.
    ///
    /// - Parameters:
    ///   - path: as for `canonicalRequest`.
    ///   - payloadHash: as for `canonicalRequest`.
    ///   - seconds: the time of the request since 1970-01-01 UTC.
    public static func sign(
        _ request: inout WireRequest, path: String, _ credentials: Credentials, region: String, payloadHash: String,
        at seconds: UInt64
    ) {
        let date = ISO8601.formatBasic(seconds)
        request.setHeader(HeaderName.amzDate, date)
        request.setHeader(HeaderName.amzContentSHA256, payloadHash)
        if let token = credentials.securityToken { request.setHeader(HeaderName.amzSecurityToken, token) }
        let day = String(date.prefix(8))
        let scope = "\(day)/\(region)/s3/\(terminator)"
        let canonical = canonicalRequest(request, path: path, payloadHash: payloadHash)
        let text = stringToSign(canonicalRequest: canonical, date: date, scope: scope)
        let signature = signature(stringToSign: text, day: day, region: region, secret: credentials.accessKeySecret)
        let names = signedHeaders(request).map(\.name).joined(separator: ";")
        request.setHeader(
            HeaderName.authorization,
            "\(algorithm) Credential=\(credentials.accessKeyID)/\(scope),SignedHeaders=\(names),Signature=\(signature)")
    }
}
