internal import ImageCodecs
internal import OSSWire
internal import ObjectStorage

/// S3's way of saying it, as Amazon and many servers besides have it.
struct S3Dialect: BucketDialect {
    static let scheme = "s3"
    static let headerPrefix = "x-amz-"
    static let limits = MultipartLimits.s3
    static let plusIsSpace = true
    static let looksBeforeNotReplacing = true

    let configuration: S3Configuration
    let authority: String
    let credentials: Credentials?

    var notReplacingHeader: HeaderField { HeaderField(HeaderName.ifNoneMatch, "*") }

    /// KMS is `aws:kms` here.
    private static let kms = (ours: "KMS", theirs: "aws:kms")

    func headers(for attributes: ObjectAttributes) -> [HeaderField] {
        var headers = commonHeaders(for: attributes, aclHeader: HeaderName.amzACL)
        if let encryption = attributes.encryption {
            let algorithm = encryption.algorithm == Self.kms.ours ? Self.kms.theirs : encryption.algorithm
            headers.append(HeaderField(HeaderName.amzServerSideEncryption, algorithm))
            if let keyID = encryption.keyID {
                headers.append(HeaderField(HeaderName.amzServerSideEncryptionKeyID, keyID))
            }
        }
        return headers
    }

    func attributes(from answer: HTTPAnswer) -> ObjectAttributes {
        var attributes = commonAttributes(from: answer)
        attributes.encryption = answer.header(HeaderName.amzServerSideEncryption).map {
            ServerSideEncryption(
                algorithm: $0 == Self.kms.theirs ? Self.kms.ours : $0,
                keyID: answer.header(HeaderName.amzServerSideEncryptionKeyID))
        }
        return attributes
    }

    /// The MD5 is what makes the server refuse a damaged body.
    ///
    /// Without TLS the body is signed too: else whoever is on the way
    /// could change both.
    func digests(of body: ObjectBody?, isPart: Bool) throws(StoreError) -> BodyDigests {
        let isSecure = configuration.endpoint.isSecure
        guard let body else { return BodyDigests(payloadHash: isSecure ? unsignedPayload : BodyReading.emptySHA256) }
        let reading = try BodyReading(body, md5: true, sha256: !isSecure && credentials != nil)
        return BodyDigests(md5: reading.md5, payloadHash: reading.sha256 ?? unsignedPayload)
    }

    func headers(for digests: BodyDigests) -> [HeaderField] {
        digests.md5.map { [HeaderField(HeaderName.contentMD5, Base64.encode($0))] } ?? []
    }

    /// The ETag of what was sent in one piece is its MD5, except with some kinds of encryption (S3, "Object", ETag).
    func check(_ answer: HTTPAnswer, _ body: ObjectBody, _ digests: BodyDigests) throws(StoreError) {
        guard let md5 = digests.md5, let tag = answer.tag, tag.utf8.count == 32, let theirs = Hexadecimal.decode(tag),
            answer.header(HeaderName.amzServerSideEncryption)?.hasPrefix("aws:kms") != true, theirs != md5
        else { return }
        throw StoreError(
            .checksumMismatch,
            "the server says that the MD5 of what arrived is \(tag), but \(Hexadecimal.encode(md5)) was sent",
            persistence: .transient)
    }

    func sign(_ request: inout WireRequest, path: String, _ digests: BodyDigests, at seconds: UInt64) {
        guard let credentials else { return }
        request.setHeader(HeaderName.host, authority)
        S3Signature.sign(
            &request, path: path, credentials, region: configuration.region, payloadHash: digests.payloadHash,
            at: seconds)
    }
}
