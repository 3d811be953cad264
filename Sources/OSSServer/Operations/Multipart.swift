internal import OSSWire
internal import ObjectStorage

extension ObjectService {
    /// InitiateMultipartUpload: what is said of the object is said here.
    func initiateUpload(_ request: OSSRequest) async throws -> Answer {
        let key = try key(request)
        let replacing = try !request.flag(HeaderName.ossForbidOverwrite)
        let upload = try await withBucket(request) { bucket in
            let settings = try bucket.serverSettings()
            let attributes = try ObjectFields.attributes(request, bucketClass: settings.storageClass)
            try settings.requireNoEncryption()
            try bucket.require(key, absent: !replacing)
            // How long the parts will be, OSS is not told.
            return try bucket.initiate(key, attributes, partLength: 0, replacing: replacing)
        }
        let encoding = try ListingEncoding(request)
        var xml = XMLWriter(root: "InitiateMultipartUploadResult")
        encoding.announce(in: &xml)
        xml.element("Bucket", request.wire.bucket ?? "")
        xml.element("Key", encoding.text(key.description))
        xml.element("UploadId", upload.id)
        return Answer(xml: xml)
    }

    /// UploadPart; how long a part may be shows when the upload is completed.
    func uploadPart(_ request: OSSRequest) async throws -> Answer {
        let upload = try upload(request)
        let number = try partNumber(request)
        let expectations = try BodyExpectations(request)
        var reader = try bodyReader(request)
        let length = request.contentLength
        let writer = try await withBucket(request) { try $0.beginPart(number, of: upload, length: length) }
        let md5 = try await Reception(writer, pool).receive(&reader)
        try expectations.require(md5: md5, crc64: writer.crc64)
        let part = try await pool.run { try writer.commit(tag: tag(ofMD5: md5)) }
        return Self.stored(tag: part.tag, crc64: part.crc64, md5: md5)
    }

    /// AbortMultipartUpload.
    func abortUpload(_ request: OSSRequest) async throws -> Answer {
        let upload = try upload(request)
        try await withBucket(request) { try $0.abort(upload) }
        return Answer(204)
    }

    /// ListParts, in pages.
    func listParts(_ request: OSSRequest) async throws -> Answer {
        let upload = try upload(request)
        let encoding = try ListingEncoding(request)
        let marker = try request.number("part-number-marker", 0...Int(Int32.max)) ?? 0
        let count = try request.number("max-parts", 1...1000) ?? 1000
        let (parts, initiated) = try await withBucket(request) { bucket in
            (try bucket.parts(of: upload), try bucket.beginning(of: upload))
        }
        let rest = parts.filter { $0.number > marker }
        let page = rest.prefix(count)
        var xml = XMLWriter(root: "ListPartsResult")
        encoding.announce(in: &xml)
        xml.element("Bucket", request.wire.bucket ?? "")
        xml.element("Key", encoding.text(upload.key.description))
        xml.element("UploadId", upload.id)
        xml.element("StorageClass", "Standard")
        xml.element("PartNumberMarker", marker)
        xml.element("NextPartNumberMarker", page.last?.number ?? marker)
        xml.element("MaxParts", count)
        xml.element("IsTruncated", page.count < rest.count)
        for part in page {
            xml.element("Part") { xml in
                xml.element("PartNumber", part.number)
                // The store keeps no time of a part, which came at this time or later.
                xml.element("LastModified", ISO8601.format(initiated))
                xml.element("ETag", "\"\(part.tag)\"")
                if let crc = part.crc64 { xml.element("HashCrc64ecma", crc) }
                xml.element("Size", part.length)
            }
        }
        return Answer(xml: xml)
    }

    /// ListMultipartUploads, in pages.
    func listUploads(_ request: OSSRequest) async throws -> Answer {
        let encoding = try ListingEncoding(request)
        let query = try UploadQuery(request)
        let uploads = try await withBucket(request) { try $0.uploads(prefix: query.prefix) }
        let page = UploadPage(uploads, query)
        var xml = XMLWriter(root: "ListMultipartUploadsResult")
        encoding.announce(in: &xml)
        xml.element("Bucket", request.wire.bucket ?? "")
        xml.element("KeyMarker", encoding.text(query.keyMarker))
        xml.element("UploadIdMarker", query.idMarker)
        xml.element("NextKeyMarker", encoding.text(page.nextKeyMarker))
        xml.element("NextUploadIdMarker", page.nextIDMarker)
        xml.element("Delimiter", encoding.text(query.delimiter))
        xml.element("Prefix", encoding.text(query.prefix))
        xml.element("MaxUploads", query.count)
        xml.element("IsTruncated", page.isTruncated)
        for upload in page.uploads {
            xml.element("Upload") { xml in
                xml.element("Key", encoding.text(upload.key.description))
                xml.element("UploadId", upload.id)
                xml.element("StorageClass", "Standard")
                xml.element("Initiated", ISO8601.format(upload.initiated ?? 0))
            }
        }
        for prefix in page.commonPrefixes {
            xml.element("CommonPrefixes") { $0.element("Prefix", encoding.text(prefix)) }
        }
        return Answer(xml: xml)
    }

    /// The upload that a request names.
    func upload(_ request: OSSRequest) throws(OSSFailure) -> MultipartUpload {
        MultipartUpload(key: try key(request), id: request.parameter("uploadId") ?? "")
    }

    func partNumber(_ request: OSSRequest) throws(OSSFailure) -> Int {
        guard let number = try request.number("partNumber", 1...MultipartLimits.oss.partCount) else {
            throw .invalidArgument("A part has a partNumber beside its uploadId.", name: "partNumber")
        }
        return number
    }
}

extension DirectoryBucket {
    /// When an upload was begun, in seconds since 1970-01-01 UTC; it blocks.
    func beginning(of upload: MultipartUpload) throws(StoreError) -> UInt64 {
        try uploads(prefix: upload.key.description).first { $0.id == upload.id }?.initiated ?? 0
    }
}
