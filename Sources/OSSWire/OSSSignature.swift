/// Version 1 of the OSS signature: HMAC-SHA1, in base64 (OSS, "Include a V1 signature in the Authorization header").
public enum OSSSignature {
    /// What is signed.
    ///
    /// - Parameter date: the value of `x-oss-date`, else of `Date`; the time of expiry in a presigned URL.
    public static func v1StringToSign(_ request: WireRequest, date: String) -> String {
        let headers = request.canonicalHeaders { $0.hasPrefix("x-oss-") }.map { "\($0.name):\($0.value)\n" }.joined()
        let query = request.query.filter { subresources.contains($0.name) }.sorted { $0.name < $1.name }
            .map { item in (item.value ?? "").isEmpty ? item.name : "\(item.name)=\(item.value ?? "")" }
        let resource = request.resource + (query.isEmpty ? "" : "?\(query.joined(separator: "&"))")
        let md5 = request.header(HeaderName.contentMD5) ?? ""
        let type = request.header(HeaderName.contentType) ?? ""
        return "\(request.method)\n\(md5)\n\(type)\n\(date)\n\(headers)\(resource)"
    }

    /// The signature of a request, in base64.
    public static func v1(_ request: WireRequest, date: String, secret: String) -> String {
        Base64.encode(SigningDigest.hmacSHA1(v1StringToSign(request, date: date), key: secret))
    }

    /// The value of `Authorization` for a request whose other headers are all there.
    public static func authorizationV1(_ request: WireRequest, _ credentials: Credentials) -> String {
        let date = request.header(HeaderName.ossDate) ?? request.header(HeaderName.date) ?? ""
        return "OSS \(credentials.accessKeyID):\(v1(request, date: date, secret: credentials.accessKeySecret))"
    }

    /// Gives a request the headers that version 1 wants, the signature last.
    ///
    /// - Parameter seconds: the time of the request since 1970-01-01 UTC.
    public static func signV1(_ request: inout WireRequest, _ credentials: Credentials, at seconds: UInt64) {
        request.setHeader(HeaderName.date, HTTPDate.format(seconds))
        if let token = credentials.securityToken { request.setHeader(HeaderName.ossSecurityToken, token) }
        request.setHeader(HeaderName.authorization, authorizationV1(request, credentials))
    }

    /// What stands in an `Authorization` header of version 1.
    public struct AuthorizationV1: Hashable, Sendable {
        public var accessKeyID: String
        public var signature: String

        /// Nil where the header is not `OSS ID:SIGNATURE`.
        public init?(parsing header: String) {
            guard header.hasPrefix("OSS ") else { return nil }
            let halves = header.dropFirst(4).split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard halves.count == 2, !halves[0].isEmpty, !halves[1].isEmpty else { return nil }
            accessKeyID = String(halves[0]).trimmingSpaces
            signature = String(halves[1]).trimmingSpaces
        }
    }

    /// What a URL has that was presigned with version 1.
    public struct PresignedV1: Hashable, Sendable {
        public var accessKeyID: String
        /// In seconds since 1970-01-01 UTC.
        public var expires: UInt64
        public var signature: String
        public var securityToken: String?

        /// Nil where the query is not of a URL that was presigned so.
        public init?(parsing query: [QueryItem]) {
            func value(_ name: String) -> String? { query.first { $0.name == name }?.value }
            guard let id = value("OSSAccessKeyId"), let expires = value("Expires").flatMap({ UInt64($0) }),
                let signature = value("Signature")
            else { return nil }
            accessKeyID = id
            self.expires = expires
            self.signature = signature
            securityToken = value("security-token")
        }

        /// Whether the signature is that of the request under the secret.
        public func isRight(for request: WireRequest, secret: String) -> Bool {
            ConstantTime.equal(OSSSignature.v1(request, date: String(expires), secret: secret), signature)
        }
    }

    /// The whole query of a presigned URL of the request.
    ///
    /// - Parameter expires: in seconds since 1970-01-01 UTC.
    public static func presignedQueryV1(
        _ request: WireRequest, _ credentials: Credentials, expires: UInt64
    ) -> [QueryItem] {
        var request = request
        if let token = credentials.securityToken { request.query.append(QueryItem("security-token", token)) }
        let signature = v1(request, date: String(expires), secret: credentials.accessKeySecret)
        return request.query + [
            QueryItem("OSSAccessKeyId", credentials.accessKeyID), QueryItem("Expires", String(expires)),
            QueryItem("Signature", signature),
        ]
    }

    /// The query items that version 1 signs: those that name a sub-resource or change the answer (oss2 2.19.1, `auth.py`,
    /// and alibabacloud-oss-v2 1.4.1, `signer/v1.py`, together).
    public static let subresources: Set<String> = [
        "accessPoint", "accessPointPolicy", "acl", "append", "asyncFetch", "bucketArchiveDirectRead", "bucketInfo",
        "callback", "callback-var", "cloudboxes", "cname", "comp", "continuation-token", "cors", "delete", "encryption",
        "endTime", "group", "httpsConfig", "inventory", "inventoryId", "lifecycle", "link", "live", "location",
        "logging",
        "metaQuery", "objectInfo", "objectMeta", "partNumber", "policy", "position", "publicAccessBlock", "qos",
        "qosInfo", "qosRequester", "redundancyTransition", "referer", "regionList", "replication",
        "replicationLocation",
        "replicationProgress", "requestPayment", "requesterQosInfo", "resourceGroup", "resourcePool",
        "resourcePoolBuckets", "resourcePoolInfo", "response-cache-control", "response-content-disposition",
        "response-content-encoding", "response-content-language", "response-content-type", "response-expires",
        "restore",
        "security-token", "sequential", "startTime", "stat", "status", "style", "styleName", "symlink", "tagging",
        "transferAcceleration", "uploadId", "uploads", "versionId", "versioning", "versions", "vod", "website", "worm",
        "wormExtend", "wormId", "x-oss-ac-forward-allow", "x-oss-ac-source-ip", "x-oss-ac-subnet-mask",
        "x-oss-ac-vpc-id", "x-oss-access-point-name", "x-oss-async-process", "x-oss-process",
        "x-oss-redundancy-transition-taskid", "x-oss-request-payer", "x-oss-target-redundancy-type",
        "x-oss-traffic-limit", "x-oss-write-get-object-response",
    ]
}
