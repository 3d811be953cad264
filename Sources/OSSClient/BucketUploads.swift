internal import ImageCodecs
internal import OSSWire
internal import ObjectStorage

/// Objects that come in parts.
extension BucketClient {
    /// So many pages of a list are asked for; a server that names more has lost count.
    private static var greatestPageCount: Int { 1000 }

    func initiate(_ key: ObjectKey, _ attributes: ObjectAttributes, replacing: Bool)
        throws(StoreError) -> MultipartUpload
    {
        if !replacing { try requireNothing(at: key) }
        // S3 takes the condition on completion only.
        let condition = Dialect.looksBeforeNotReplacing ? [] : notReplacing(replacing)
        let answer = try make(
            BucketCall(
                method: "POST", key: key, query: [QueryItem("uploads")],
                headers: dialect.headers(for: attributes) + condition, subject: replacing ? .object : .notReplacing,
                detail: " uploads"))
        let tree = try tree(answer, "InitiateMultipartUpload", "POST \(key) uploads of")
        guard let id = tree["UploadId"]?.text, !id.isEmpty else {
            throw malformed("the answer names no upload", "POST \(key) uploads of")
        }
        return MultipartUpload(key: key, id: id)
    }

    func upload(_ body: ObjectBody, asPart number: Int, of upload: MultipartUpload) throws(StoreError) -> StoredPart {
        guard (1...Dialect.limits.partCount).contains(number), body.length <= Dialect.limits.greatestPartLength else {
            throw StoreError(
                .invalidRequest,
                "part \(number) of \(body.length) bytes: a part's number is 1 to \(Dialect.limits.partCount), "
                    + "its length up to \(Dialect.limits.greatestPartLength) bytes",
                operation: "PUT \(name)/\(upload.key)")
        }
        let answer = try make(
            BucketCall(
                method: "PUT", key: upload.key,
                query: [QueryItem("partNumber", String(number)), QueryItem("uploadId", upload.id)], body: body,
                subject: .upload, detail: " part \(number)"))
        guard let tag = answer.tag else {
            throw malformed("the answer has no ETag", "PUT \(upload.key) part \(number) of")
        }
        return StoredPart(number: number, length: body.length, tag: tag, crc64: answer.crc64)
    }

    func parts(of upload: MultipartUpload) throws(StoreError) -> [StoredPart] {
        var parts: [StoredPart] = []
        var marker = 0
        while true {
            var query = [
                QueryItem("max-parts", "1000"), QueryItem("encoding-type", "url"), QueryItem("uploadId", upload.id),
            ]
            if marker > 0 { query.append(QueryItem("part-number-marker", String(marker))) }
            let answer = try make(
                BucketCall(method: "GET", key: upload.key, query: query, subject: .upload, detail: " parts"))
            let page = BucketListing(
                try tree(answer, "ListParts", "GET \(upload.key) parts of"), plusIsSpace: Dialect.plusIsSpace)
            let found = try page.parts()
            guard found.first.map({ $0.number > marker }) ?? !page.isTruncated,
                parts.count + found.count <= Dialect.limits.partCount
            else { throw malformed("the parts are not in order, or there are too many", "GET \(upload.key) parts of") }
            parts += found
            guard page.isTruncated, let last = found.last else { return parts }
            marker = last.number
        }
    }

    func complete(_ upload: MultipartUpload, parts: [StoredPart], replacing: Bool)
        throws(StoreError) -> ObjectSummary
    {
        if !replacing { try requireNothing(at: upload.key) }
        var writer = XMLWriter(root: "CompleteMultipartUpload")
        for part in parts {
            writer.element("Part") { element in
                element.element("PartNumber", part.number)
                element.element("ETag", "\"\(part.tag)\"")
            }
        }
        let operation = "POST \(upload.key) complete of"
        let answer = try make(
            BucketCall(
                method: "POST", key: upload.key, query: [QueryItem("uploadId", upload.id)],
                headers: [HeaderField(HeaderName.contentType, "application/xml")] + notReplacing(replacing),
                body: ObjectBody(writer.bytes), bodyKind: .document, subject: replacing ? .upload : .completion,
                isSlow: true,
                detail: " complete"))
        let tree = try tree(answer, "CompleteMultipartUpload", operation)
        guard let tag = tree["ETag"]?.text ?? answer.tag else { throw malformed("the answer has no ETag", operation) }
        try checkWhole(answer, parts, operation)
        return ObjectSummary(
            length: parts.reduce(0) { $0 + $1.length }, tag: unquoted(tag), crc64: answer.crc64,
            modified: moment(of: answer))
    }

    /// Compares the object's CRC-64 with that of its parts, where the server answers the one and has answered the others.
    private func checkWhole(_ answer: HTTPAnswer, _ parts: [StoredPart], _ operation: String) throws(StoreError) {
        guard let theirs = answer.crc64, parts.allSatisfy({ $0.crc64 != nil }) else { return }
        var sum = CRC64Sum()
        var length: UInt64 = 0
        for part in parts {
            sum.add(CRC64Sum(checksum: part.crc64 ?? 0, length: part.length), startingAt: length)
            length += part.length
        }
        let ours = sum.checksum(length: length)
        guard ours != theirs else { return }
        throw StoreError(
            .checksumMismatch,
            "the server says that the CRC-64 of the object is \(theirs), but that of its parts is \(ours): "
                + "the object that is there now is damaged, and has to be exported again",
            operation: "\(operation) \(name)")
    }

    func abort(_ upload: MultipartUpload) throws(StoreError) {
        _ = try make(
            BucketCall(
                method: "DELETE", key: upload.key, query: [QueryItem("uploadId", upload.id)], subject: .upload,
                detail: " upload"))
    }

    func uploads(prefix: String) throws(StoreError) -> [MultipartUpload] {
        var uploads: [MultipartUpload] = []
        var markers: (key: String, id: String)?
        for _ in 0..<Self.greatestPageCount {
            var query = [
                QueryItem("uploads"), QueryItem("encoding-type", "url"), QueryItem("max-uploads", "1000"),
                QueryItem("prefix", prefix),
            ]
            if let markers {
                query += [QueryItem("key-marker", markers.key), QueryItem("upload-id-marker", markers.id)]
            }
            let answer = try make(BucketCall(method: "GET", query: query, subject: .bucket, detail: " uploads"))
            let page = BucketListing(
                try tree(answer, "ListMultipartUploads", "GET uploads of"), plusIsSpace: Dialect.plusIsSpace)
            uploads += try page.uploads()
            guard page.isTruncated else { return inOrder(uploads.filter { $0.key.description.hasPrefix(prefix) }) }
            let next = (key: try page.marker("NextKeyMarker") ?? "", id: try page.marker("NextUploadIdMarker") ?? "")
            guard !next.key.isEmpty, markers == nil || markers?.key != next.key || markers?.id != next.id else {
                throw malformed("the list goes on, and does not say where", "GET uploads of")
            }
            markers = next
        }
        throw malformed("the list has more than \(Self.greatestPageCount) pages", "GET uploads of")
    }

    private func inOrder(_ uploads: [MultipartUpload]) -> [MultipartUpload] {
        uploads.sorted { left, right in
            let (one, other) = (left.key.description.utf8, right.key.description.utf8)
            return one.elementsEqual(other) ? left.id < right.id : one.lexicographicallyPrecedes(other)
        }
    }
}
