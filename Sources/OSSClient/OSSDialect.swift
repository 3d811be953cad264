internal import ImageCodecs
internal import OSSWire
internal import ObjectStorage

/// OSS's own way of saying it.
struct OSSDialect: BucketDialect {
    static let scheme = "oss"
    static let headerPrefix = "x-oss-"
    static let limits = MultipartLimits.oss
    static let plusIsSpace = false
    static let looksBeforeNotReplacing = false

    let configuration: OSSConfiguration
    let credentials: Credentials?

    var notReplacingHeader: HeaderField { HeaderField(HeaderName.ossForbidOverwrite, "true") }

    func headers(for attributes: ObjectAttributes) -> [HeaderField] {
        var headers = commonHeaders(for: attributes, aclHeader: HeaderName.ossObjectACL)
        if let encryption = attributes.encryption {
            headers.append(HeaderField(HeaderName.ossServerSideEncryption, encryption.algorithm))
            if let keyID = encryption.keyID {
                headers.append(HeaderField(HeaderName.ossServerSideEncryptionKeyID, keyID))
            }
        }
        return headers
    }

    func attributes(from answer: HTTPAnswer) -> ObjectAttributes {
        var attributes = commonAttributes(from: answer)
        attributes.encryption = answer.header(HeaderName.ossServerSideEncryption).map {
            ServerSideEncryption(
                algorithm: $0, keyID: answer.header(HeaderName.ossServerSideEncryptionKeyID))
        }
        return attributes
    }

    /// An object that is put whole always has an MD5.
    ///
    /// A damaged one would be there, under its name, before its CRC-64 is answered; a damaged part is in nobody's way.
    func digests(of body: ObjectBody?, isPart: Bool) throws(StoreError) -> BodyDigests {
        guard let body, !isPart || configuration.sendsContentMD5 else { return BodyDigests() }
        return BodyDigests(md5: try BodyReading(body, md5: true, sha256: false).md5)
    }

    func headers(for digests: BodyDigests) -> [HeaderField] {
        digests.md5.map { [HeaderField(HeaderName.contentMD5, Base64.encode($0))] } ?? []
    }

    func check(_ answer: HTTPAnswer, _ body: ObjectBody, _ digests: BodyDigests) throws(StoreError) {
        guard let theirs = answer.crc64, theirs != body.crc64 else { return }
        throw StoreError(
            .checksumMismatch,
            "the server says that the CRC-64 of what arrived is \(theirs), but \(body.crc64) was sent",
            persistence: .transient)
    }

    func sign(_ request: inout WireRequest, path: String, _ digests: BodyDigests, at seconds: UInt64) {
        guard let credentials else { return }
        switch configuration.signature {
        case .v1: OSSSignature.signV1(&request, credentials, at: seconds)
        case .v4: OSSSignatureV4.sign(&request, credentials, region: configuration.region, at: seconds)
        }
    }
}

extension HTTPAnswer {
    /// CRC-64/XZ of the object or part, where the answer has it.
    var crc64: UInt64? { header(HeaderName.ossHashCRC64).flatMap { UInt64($0) } }

    /// The ETag without its quotation marks.
    var tag: String? { header(HeaderName.eTag).map(unquoted) }

    /// When the server sent it, in seconds since 1970-01-01 UTC.
    var date: UInt64? { header(HeaderName.date).flatMap(HTTPDate.parse) }
}

/// An ETag without its quotation marks, and without the sign of a weak one.
func unquoted(_ tag: String) -> String {
    var tag = Substring(tag)
    if tag.hasPrefix("W/") { tag = tag.dropFirst(2) }
    if tag.count >= 2, tag.hasPrefix("\""), tag.hasSuffix("\"") { tag = tag.dropFirst().dropLast() }
    return String(tag)
}
