internal import OSSWire
internal import ObjectStorage

extension ObjectService {
    /// PutObject.
    func putObject(_ request: OSSRequest) async throws -> Answer {
        let key = try key(request)
        let replacing = try !request.flag(HeaderName.ossForbidOverwrite)
        let expectations = try BodyExpectations(request)
        var reader = try bodyReader(request)
        let (attributes, writer) = try await withBucket(request) { bucket in
            let settings = try bucket.serverSettings()
            let attributes = try ObjectFields.attributes(request, bucketClass: settings.storageClass)
            try settings.requireNoEncryption()
            try bucket.require(key, absent: !replacing)
            return (attributes, try bucket.beginObject(key))
        }
        let md5 = try await Reception(writer, pool).receive(&reader)
        try expectations.require(md5: md5, crc64: writer.crc64)
        let object = try await pool.run {
            try writer.commit(tag: tag(ofMD5: md5), attributes, replacing: replacing)
        }
        return Self.stored(tag: object.tag, crc64: object.crc64, md5: md5)
    }

    /// The body of a request that stores it.
    ///
    /// - Throws: `MissingContentLength` where nothing says how long it is.
    func bodyReader(_ request: OSSRequest) throws(OSSFailure) -> BodyReader {
        guard request.contentLength != nil || request.isChunked else {
            throw OSSFailure(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
        }
        return try BodyReader(
            request.body, announced: request.contentLength, limit: MultipartLimits.oss.greatestPartLength)
    }

    /// What a client is told of bytes that were stored.
    static func stored(tag: String, crc64: UInt64?, md5: [UInt8]) -> Answer {
        var answer = Answer(200, [(HeaderName.eTag, "\"\(tag)\""), (HeaderName.contentMD5, Base64.encode(md5))])
        answer.add(HeaderName.ossHashCRC64, crc64.map { "\($0)" })
        return answer
    }
}

/// What a client says that the body must come to.
struct BodyExpectations: Sendable {
    private let md5: ContentMD5?
    private let crc64: UInt64?

    init(_ request: OSSRequest) throws(OSSFailure) {
        md5 = try ContentMD5(request)
        guard let text = request.field(HeaderName.ossHashCRC64) else {
            crc64 = nil
            return
        }
        guard let checksum = decimal(text) else {
            throw .invalidArgument(
                "\(HeaderName.ossHashCRC64) is an unsigned decimal number of 64 bits.", name: HeaderName.ossHashCRC64,
                value: text)
        }
        crc64 = checksum
    }

    /// - Throws: `InvalidDigest`.
    func require(md5 found: [UInt8], crc64 checksum: UInt64) throws(OSSFailure) {
        try md5?.require(found)
        guard let crc64, crc64 != checksum else { return }
        throw OSSFailure(
            400, "InvalidDigest", "The CRC-64 you specified did not match what we received.",
            details: [(HeaderName.ossHashCRC64, "\(crc64)"), ("Calculated-CRC64", "\(checksum)")])
    }
}

extension DirectoryBucket {
    /// Refuses early what the store would refuse at the end.
    func require(_ key: ObjectKey, absent: Bool) throws(StoreError) {
        guard absent else { return }
        do throws(StoreError) {
            _ = try open(key)
        } catch {
            guard error.code == .noSuchObject else { throw error }
            return
        }
        throw StoreError(.objectExists, "there is an object under this key", operation: key.description)
    }
}
