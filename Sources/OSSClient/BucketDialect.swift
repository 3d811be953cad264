internal import ImageCodecs
internal import OSSWire
internal import ObjectStorage

/// What tells OSS and S3 apart; all else of the two is one (`BucketClient`).
protocol BucketDialect: Sendable {
    /// What stands before `://` in the bucket's name.
    static var scheme: String { get }
    /// `x-oss-` or `x-amz-`, which nearly all headers of the kind begin with.
    static var headerPrefix: String { get }
    static var limits: MultipartLimits { get }
    /// Whether `+` stands for a space in keys of lists, which come escaped.
    static var plusIsSpace: Bool { get }
    /// Whether whoever replaces nothing must look first, since not every server heeds the header.
    static var looksBeforeNotReplacing: Bool { get }

    /// Headers for what is said of an object.
    func headers(for attributes: ObjectAttributes) -> [HeaderField]
    /// What an answer's headers say of an object.
    func attributes(from answer: HTTPAnswer) -> ObjectAttributes
    /// The header that asks to replace nothing.
    var notReplacingHeader: HeaderField { get }
    /// What is known of the body before it is sent.
    func digests(of body: ObjectBody?, isPart: Bool) throws(StoreError) -> BodyDigests
    /// Headers about the body.
    func headers(for digests: BodyDigests) -> [HeaderField]
    /// Compares what the server says it has got with what was sent.
    func check(_ answer: HTTPAnswer, _ body: ObjectBody, _ digests: BodyDigests) throws(StoreError)
    /// Signs a request.
    ///
    /// - Parameter path: of the URL, before it is escaped.
    func sign(_ request: inout WireRequest, path: String, _ digests: BodyDigests, at seconds: UInt64)
}

/// What is computed of a body before it is sent.
struct BodyDigests: Sendable {
    /// 16 bytes.
    var md5: [UInt8]?
    /// What stands for the body where it is signed.
    var payloadHash = unsignedPayload
}

extension BucketDialect {
    /// The headers that both kinds have, but for their prefix.
    func commonHeaders(for attributes: ObjectAttributes, aclHeader: String) -> [HeaderField] {
        var headers = [HeaderField(HeaderName.contentType, attributes.contentType ?? "application/octet-stream")]
        for (name, value) in attributes.userMetadata.sorted(by: { $0.key < $1.key }) {
            headers.append(HeaderField("\(Self.headerPrefix)meta-\(name)", value))
        }
        if let storageClass = attributes.storageClass {
            headers.append(HeaderField("\(Self.headerPrefix)storage-class", storageClass))
        }
        if let acl = attributes.acl { headers.append(HeaderField(aclHeader, acl)) }
        return headers
    }

    func commonAttributes(from answer: HTTPAnswer) -> ObjectAttributes {
        var attributes = ObjectAttributes(contentType: answer.header(HeaderName.contentType))
        let prefix = "\(Self.headerPrefix)meta-"
        for (name, value) in answer.headers where name.lowercased().hasPrefix(prefix) {
            attributes.userMetadata[String(name.lowercased().dropFirst(prefix.count))] = value
        }
        attributes.storageClass = answer.header("\(Self.headerPrefix)storage-class")
        return attributes
    }
}
