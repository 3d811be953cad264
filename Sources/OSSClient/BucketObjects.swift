internal import Glibc
internal import ImageCodecs
internal import OSSWire
internal import ObjectStorage

/// Whole objects.
extension BucketClient {
    /// Makes the bucket.
    func createBucket() throws(StoreError) {
        _ = try make(BucketCall(method: "PUT", subject: .bucket))
    }

    func put(_ body: ObjectBody, to key: ObjectKey, _ attributes: ObjectAttributes, replacing: Bool)
        throws(StoreError) -> ObjectSummary
    {
        if !replacing { try requireNothing(at: key) }
        let answer = try make(
            BucketCall(
                method: "PUT", key: key, headers: dialect.headers(for: attributes) + notReplacing(replacing),
                body: body,
                bodyKind: .object, subject: replacing ? .object : .notReplacing))
        guard let tag = answer.tag else { throw malformed("the answer to a put has no ETag", "PUT \(key)") }
        return ObjectSummary(
            length: body.length, tag: tag, crc64: answer.crc64, modified: moment(of: answer), attributes: attributes)
    }

    func notReplacing(_ replacing: Bool) -> [HeaderField] { replacing ? [] : [dialect.notReplacingHeader] }

    /// The time of an answer in seconds since 1970-01-01 UTC, by the server's clock where it says so.
    func moment(of answer: HTTPAnswer) -> UInt64 {
        answer.header(HeaderName.lastModified).flatMap(HTTPDate.parse) ?? answer.date
            ?? UInt64(max(0, time(nil)))
    }

    /// Asks whether an object is there, where the server may not heed a header that says not to replace it.
    func requireNothing(at key: ObjectKey) throws(StoreError) {
        guard Dialect.looksBeforeNotReplacing else { return }
        do throws(StoreError) {
            _ = try head(key)
        } catch {
            if error.code == .noSuchObject { return }
            throw error
        }
        throw StoreError(
            .objectExists, "the object is there, and is not to be replaced", operation: "PUT \(name)/\(key)")
    }

    func head(_ key: ObjectKey) throws(StoreError) -> ObjectSummary {
        let answer = try make(BucketCall(method: "HEAD", key: key, subject: .object))
        guard let tag = answer.tag, let length = answer.header(HeaderName.contentLength).flatMap({ UInt64($0) }) else {
            throw malformed("the answer has no ETag, or no length", "HEAD \(key)")
        }
        return ObjectSummary(
            length: length, tag: tag, crc64: answer.crc64, modified: moment(of: answer),
            attributes: dialect.attributes(from: answer))
    }

    func get(_ key: ObjectKey, range: Range<UInt64>, tag: String?) throws(StoreError) -> [UInt8] {
        let detail = " bytes \(range.lowerBound) to \(range.upperBound)"
        guard !range.isEmpty, let length = Int(exactly: range.upperBound - range.lowerBound) else {
            throw StoreError(
                .invalidRange, "a range that is empty or too long", operation: "GET \(name)/\(key)\(detail)")
        }
        // Without it, OSS answers a range that is not within the object with the whole object ("GetObject").
        var headers = [
            HeaderField(HeaderName.range, "bytes=\(range.lowerBound)-\(range.upperBound - 1)"),
            HeaderField("\(Dialect.headerPrefix)range-behavior", "standard"),
        ].filter { $0.name == HeaderName.range || Dialect.scheme == OSSDialect.scheme }
        if let tag { headers.append(HeaderField(HeaderName.ifMatch, "\"\(tag)\"")) }
        let answer = try make(
            BucketCall(
                method: "GET", key: key, headers: headers, subject: .object, answerLimit: length, detail: detail))
        do throws(StoreError) {
            try check(answer, isOf: range, tag: tag)
        } catch {
            throw error.during("GET \(name)/\(key)\(detail)")
        }
        return answer.body
    }

    /// Whether an answer has the very range, of the very object.
    private func check(_ answer: HTTPAnswer, isOf range: Range<UInt64>, tag: String?) throws(StoreError) {
        if let tag, let theirs = answer.tag, theirs != tag {
            throw StoreError(
                .preconditionFailed,
                "the object is not the one that was meant: its tag is \(printable(theirs)), not \(tag)",
                status: answer.status)
        }
        // `bytes FIRST-LAST/LENGTH` (RFC 9110, section 14.4).
        let told = answer.header(HeaderName.contentRange).flatMap(Self.range(ofHeader:))
        if let told, told.lowerBound == range.lowerBound, told.upperBound < range.upperBound {
            throw StoreError(
                .invalidRange, "the object ends at byte \(told.upperBound), before the end of the range",
                status: answer.status)
        }
        let begins = told.map { $0.lowerBound } ?? (answer.status == 206 ? nil : 0)
        guard begins == range.lowerBound, told == nil || told == range else {
            throw StoreError(
                .malformedAnswer, "the answer has another range than was asked for", status: answer.status)
        }
        guard UInt64(answer.body.count) == range.upperBound - range.lowerBound else {
            throw StoreError(
                told == nil ? .invalidRange : .connection,
                "the answer has \(answer.body.count) bytes where \(range.upperBound - range.lowerBound) were asked for",
                persistence: told == nil ? .permanent : .transient, status: answer.status)
        }
        let total = answer.header(HeaderName.contentRange)?.split(separator: "/").last.flatMap { UInt64($0) }
        if let crc64 = answer.crc64, range.lowerBound == 0, total == range.upperBound,
            CRC64.checksum(answer.body.span) != crc64
        {
            throw StoreError(
                .checksumMismatch, "the server says that the object's CRC-64 is \(crc64), and other bytes arrived",
                persistence: .transient, status: answer.status)
        }
    }

    private static func range(ofHeader text: String) -> Range<UInt64>? {
        guard text.hasPrefix("bytes ") else { return nil }
        let bounds = text.dropFirst(6).prefix { $0 != "/" }.split(separator: "-")
        guard bounds.count == 2, let first = UInt64(bounds[0]), let last = UInt64(bounds[1]), first <= last, last < .max
        else { return nil }
        return first..<(last + 1)
    }

    func delete(_ key: ObjectKey) throws(StoreError) {
        do throws(StoreError) {
            _ = try make(BucketCall(method: "DELETE", key: key, subject: .object))
        } catch {
            guard error.code == .noSuchObject else { throw error }
        }
    }

    func setAttributes(_ attributes: ObjectAttributes, of key: ObjectKey, tag: String) throws(StoreError) {
        let now = try head(key)
        guard now.tag == tag else {
            throw StoreError(
                .preconditionFailed,
                "the object is not the one that was meant: its tag is \(printable(now.tag)), not \(tag)",
                operation: "PUT \(name)/\(key)")
        }
        // OSS sets no limit to a copy within a bucket ("CopyObject", limits); S3 takes 5 GiB ("CopyObject").
        guard Dialect.scheme == OSSDialect.scheme || now.length <= Dialect.limits.greatestPartLength else {
            throw StoreError(
                .unsupported,
                "attributes can be changed of objects up to \(Dialect.limits.greatestPartLength) bytes, "
                    + "this one has \(now.length)", operation: "PUT \(name)/\(key)")
        }
        let source = PercentEncoding.encode("/\(address.bucket)/\(key)", keepingSlashes: true)
        let answer = try make(
            BucketCall(
                method: "PUT", key: key,
                headers: dialect.headers(for: attributes) + [
                    HeaderField("\(Dialect.headerPrefix)copy-source", source),
                    HeaderField("\(Dialect.headerPrefix)copy-source-if-match", "\"\(tag)\""),
                    HeaderField("\(Dialect.headerPrefix)metadata-directive", "REPLACE"),
                ], subject: .object, isSlow: true, detail: " from itself"))
        _ = try tree(answer, "CopyObject", "PUT \(key) of")
    }

    func list(prefix: String, after key: String?, count: Int) throws(StoreError) -> ObjectPage {
        guard (1...1000).contains(count) else {
            throw StoreError(.invalidRequest, "a page has 1 to 1000 objects, \(count) were asked for")
        }
        var query = [
            QueryItem("list-type", "2"), QueryItem("max-keys", String(count)), QueryItem("encoding-type", "url"),
            QueryItem("prefix", prefix),
        ]
        if let key { query.append(QueryItem("start-after", key)) }
        let answer = try make(BucketCall(method: "GET", query: query, subject: .bucket, detail: " list"))
        return try BucketListing(tree(answer, "ListBucket", "list"), plusIsSpace: Dialect.plusIsSpace).objects()
    }
}
