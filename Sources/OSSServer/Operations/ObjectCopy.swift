internal import OSSWire
internal import ObjectStorage

extension ObjectService {
    /// CopyObject, within the store.
    func copyObject(_ request: OSSRequest) async throws -> Answer {
        let key = try key(request)
        let source = try CopySource(request)
        let sourceName = try bucketName(source.bucket)
        let sourceKey = try self.key(source.key)
        let replacing = try !request.flag(HeaderName.ossForbidOverwrite)
        let isSame =
            try bucketName(request) == sourceName && key.description.utf8.elementsEqual(sourceKey.description.utf8)
        let replacesMetadata = try Self.replacesMetadata(request) || isSame
        let object: ObjectSummary? = try await withBucket(request) { bucket in
            let reader = try store.bucket(sourceName).open(sourceKey)
            guard try source.conditionsAllow(reader.summary) else { return nil }
            let settings = try bucket.serverSettings()
            var attributes = try ObjectFields.attributes(request, bucketClass: settings.storageClass)
            if !replacesMetadata {
                attributes.contentType = reader.summary.attributes.contentType
                attributes.userMetadata = reader.summary.attributes.userMetadata
                attributes.servedFields = reader.summary.attributes.servedFields
            }
            // Whoever may not set a list gets rid of none either.
            if isSame { attributes.acl = attributes.acl ?? reader.summary.attributes.acl }
            try settings.requireNoEncryption()
            try bucket.require(key, absent: !replacing)
            guard !isSame else {
                try bucket.setAttributes(attributes, of: key, tag: reader.summary.tag)
                return try bucket.head(key)
            }
            let writer = try bucket.beginObject(key)
            let md5 = try reader.copy(0..<reader.summary.length, to: writer)
            return try writer.commit(tag: tag(ofMD5: md5), attributes, replacing: replacing)
        }
        guard let object else { return Answer(304) }
        return Self.copied(root: "CopyObjectResult", tag: object.tag, modified: object.modified, crc64: object.crc64)
    }

    /// UploadPartCopy.
    func copyPart(_ request: OSSRequest) async throws -> Answer {
        let upload = try upload(request)
        let number = try partNumber(request)
        let source = try CopySource(request)
        let sourceName = try bucketName(source.bucket)
        let sourceKey = try key(source.key)
        let now = request.arrived
        let part: StoredPart? = try await withBucket(request) { bucket in
            let reader = try store.bucket(sourceName).open(sourceKey)
            guard try source.conditionsAllow(reader.summary) else { return nil }
            let range = try source.range(in: reader.summary)
            guard range.upperBound - range.lowerBound <= MultipartLimits.oss.greatestPartLength else {
                throw OSSFailure(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")
            }
            let writer = try bucket.beginPart(number, of: upload, length: range.upperBound - range.lowerBound)
            let md5 = try reader.copy(range, to: writer)
            return try writer.commit(tag: tag(ofMD5: md5))
        }
        guard let part else { return Answer(304) }
        return Self.copied(root: "CopyPartResult", tag: part.tag, modified: now, crc64: part.crc64)
    }

    private static func copied(root: String, tag: String, modified: UInt64, crc64: UInt64?) -> Answer {
        var xml = XMLWriter(root: root)
        xml.element("LastModified", ISO8601.format(modified))
        xml.element("ETag", "\"\(tag)\"")
        var answer = Answer(xml: xml, [(HeaderName.eTag, "\"\(tag)\"")])
        answer.add(HeaderName.ossHashCRC64, crc64.map { "\($0)" })
        return answer
    }

    /// An object that is copied onto itself takes what the request says, whatever this says (OSS, "CopyObject").
    private static func replacesMetadata(_ request: OSSRequest) throws(OSSFailure) -> Bool {
        switch request.field(HeaderName.ossMetadataDirective)?.uppercased() {
        case nil, "COPY": return false
        case "REPLACE": return true
        case let other?:
            throw .invalidArgument(
                "\(HeaderName.ossMetadataDirective) is COPY or REPLACE.", name: HeaderName.ossMetadataDirective,
                value: other)
        }
    }
}

/// What is copied: `x-oss-copy-source: /bucket/key`, escaped, with its conditions and its range.
struct CopySource: Sendable {
    let bucket: String
    let key: String
    private let rangeField: String?
    private let preconditions: Preconditions

    init(_ request: OSSRequest) throws(OSSFailure) {
        let field = request.field(HeaderName.ossCopySource) ?? ""
        let escaped = field.first == "/" ? field.dropFirst() : Substring(field)
        guard !escaped.contains("?") else { throw .notImplemented("versions of objects, which the copy source names") }
        let halves = escaped.split(separator: "/", maxSplits: 1)
        guard halves.count == 2, let bucket = PercentEncoding.decode(String(halves[0])),
            let key = PercentEncoding.decode(String(halves[1]))
        else {
            throw .invalidArgument(
                "\(HeaderName.ossCopySource) is /bucket/key, the key escaped.", name: HeaderName.ossCopySource,
                value: field)
        }
        self.bucket = bucket
        self.key = key
        rangeField = request.field(HeaderName.ossCopySourceRange)
        preconditions = Preconditions(request, prefix: "x-oss-copy-source-")
    }

    /// False where the source is as the client knows it.
    ///
    /// - Throws: `PreconditionFailed`.
    func conditionsAllow(_ object: ObjectSummary) throws(OSSFailure) -> Bool {
        switch preconditions.verdict(on: object) {
        case .met: return true
        case .notModified: return false
        case .failed(let condition): throw .preconditionFailed("x-oss-copy-source-\(condition)")
        }
    }

    func range(in object: ObjectSummary) throws(OSSFailure) -> Range<UInt64> {
        guard let rangeField else { return 0..<object.length }
        guard let range = ByteRange.exact(rangeField, length: object.length) else {
            throw OSSFailure(
                416, "InvalidRange", "The requested range cannot be satisfied",
                details: [("RangeRequested", rangeField), ("ActualObjectSize", "\(object.length)")])
        }
        return range
    }
}

extension ObjectReader {
    /// Copies a range and answers its MD5; it blocks.
    fileprivate func copy(_ range: Range<UInt64>, to writer: some PieceWriter) throws(StoreError) -> [UInt8] {
        let md5 = MD5Sum()
        var start = range.lowerBound
        while start < range.upperBound {
            let end = min(range.upperBound, start + UInt64(BodyReader.pieceLength))
            let bytes = try read(start..<end)
            md5.update(bytes)
            try writer.write(bytes.span)
            start = end
        }
        return md5.finish()
    }
}
