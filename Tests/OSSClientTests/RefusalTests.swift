import Foundation
import LatheTestSupport
import OSSClient
import OSSWire
import ObjectStorage
import Synchronization
import Testing

/// What the client makes of answers that say no, and of checksums.
@Suite struct RefusalTests {
    private let key: ObjectKey
    private let upload: MultipartUpload

    init() throws {
        key = try ObjectKey("k")
        upload = MultipartUpload(key: key, id: "U1")
    }

    private func failure(
        sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws(StoreError) -> Void
    ) -> StoreError {
        do throws(StoreError) { try body() } catch { return error }
        Issue.record("no error", sourceLocation: sourceLocation)
        return StoreError(.cancelled, "no error")
    }

    /// The error of a list that the server answers so.
    private func failure(_ react: @escaping @Sendable (OddConnection) -> Void) throws -> StoreError {
        let server = try OddServer { _, connection in react(connection) }
        defer { server.end() }
        let store = try server.oss()
        defer { store.shutdown() }
        return failure { () throws(StoreError) in _ = try store.list(prefix: "", after: nil, count: 1) }
    }

    @Test(arguments: [
        (403, "AccessDenied", StoreError.Code.accessDenied, false),
        (403, "SignatureDoesNotMatch", .accessDenied, false),
        (403, "SecurityTokenExpired", .accessDenied, false), (400, "ExpiredToken", .accessDenied, false),
        (401, "", .accessDenied, false), (404, "NoSuchBucket", .noSuchBucket, false), (404, "", .noSuchBucket, false),
        (404, "NoSuchKey", .noSuchObject, false), (409, "FileAlreadyExists", .objectExists, false),
        (400, "InvalidPart", .invalidPart, false), (400, "EntityTooSmall", .invalidPart, false),
        (400, "BadDigest", .checksumMismatch, true), (400, "InvalidArgument", .invalidRequest, false),
        (408, "", .connection, true), (400, "RequestTimeout", .connection, true), (429, "", .throttled, true),
        (503, "SlowDown", .throttled, true), (500, "InternalError", .server, true), (502, "", .server, true),
        (507, "", .noSpace, false), (501, "NotImplemented", .unsupported, false), (416, "", .invalidRange, false),
        (304, "", .invalidRequest, false),
    ])
    func everyRefusalHasItsClass(status: Int, code: String, expected: StoreError.Code, isTransient: Bool) throws {
        let error = try failure { connection in
            if code.isEmpty { connection.answer(status) } else { connection.refuse(status, code) }
        }
        #expect(error.code == expected && error.isTransient == isTransient, "\(error)")
        #expect(error.status == status && error.serverCode == (code.isEmpty ? nil : code), "\(error)")
        #expect(code.isEmpty || error.requestID == "R1")
        #expect(!error.description.contains("sk"), "no secret: \(error)")
    }

    @Test func aDelayIsTakenFromTheAnswer() throws {
        let answers: [([String: String], Double?)] = [
            ([:], nil), (["Retry-After": "7"], 7), (["Retry-After": "soon"], nil), (["Retry-After": "-3"], nil),
            (["Retry-After": "Wed, 28 Dec 2022 10:28:41 GMT", "Date": "Wed, 28 Dec 2022 10:27:41 GMT"], 60),
            (["Retry-After": "Wed, 28 Dec 2022 10:26:41 GMT", "Date": "Wed, 28 Dec 2022 10:27:41 GMT"], 0),
        ]
        for (headers, expected) in answers {
            for status in [429, 503] {
                let error = try failure { $0.answer(status, headers) }
                #expect(error.persistence == .transient(afterSeconds: expected), "\(headers): \(error)")
            }
        }
    }

    /// HEAD has no body: OSS puts the error into a header.
    @Test func theErrorOfAHeadIsInAHeader() throws {
        let body = OSSErrorBody(code: "NoSuchBucket", message: "none", requestID: "R2")
        let server = try OddServer { request, connection in
            connection.answer(404, request.target.contains("plain") ? [:] : ["x-oss-err": body.headerValue])
        }
        defer { server.end() }
        let store = try server.oss()
        defer { store.shutdown() }
        let bucket = failure { () throws(StoreError) in _ = try store.head(key) }
        #expect(bucket.code == .noSuchBucket && bucket.requestID == "R2", "\(bucket)")
        let plain = try ObjectKey("plain")
        #expect(failure { () throws(StoreError) in _ = try store.head(plain) }.code == .noSuchObject)
    }

    /// Whoever follows a redirect gives what it has signed to somebody else.
    @Test(arguments: [301, 302, 307, 308]) func redirectsAreNotFollowed(status: Int) throws {
        let error = try failure { connection in
            connection.refuse(status, "TemporaryRedirect", [.init("Endpoint", "oss-cn-beijing.aliyuncs.com")])
        }
        #expect(error.code == .invalidRequest && !error.isTransient, "\(error)")
        #expect(error.message.contains("'oss-cn-beijing.aliyuncs.com'"), "\(error)")
        let header = try failure { $0.answer(status, ["Location": "http://127.0.0.1:1/x"]) }
        #expect(header.message.contains("'http://127.0.0.1:1/x'"), "\(header)")
    }

    @Test func whatAServerSaysCannotReachATerminal() throws {
        let error = try failure { connection in
            let text =
                "<Error><Code>X&#27;[2J</Code><Message>&#x1b;]0;x\u{7}\n\(String(repeating: "y", count: 9000))</Message></Error>"
            connection.answer(400, [:], text)
        }
        #expect(error.description.utf8.count < 1500)
        #expect(!error.description.unicodeScalars.contains { $0.value < 0x20 }, "\(error)")
    }

    @Test(arguments: [
        "", "<html><body>Welcome</body></html>", "<ListBucketResult>", "{}",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><Contents><Key>k</Key></Contents></ListBucketResult>",
        """
        <ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%zz</Key><Size>1</Size><ETag>x</ETag>\
        <LastModified>2012-02-24T08:42:32.000Z</LastModified></Contents></ListBucketResult>
        """,
        """
        <ListBucketResult><Contents><Key>k</Key><Size>-1</Size><ETag>x</ETag>\
        <LastModified>2012-02-24T08:42:32.000Z</LastModified></Contents></ListBucketResult>
        """,
    ])
    func badXMLIsAnError(text: String) throws {
        let error = try failure { $0.answer(200, [:], text) }
        #expect(error.code == .malformedAnswer && !error.isTransient, "\(error)")
    }

    /// A list that goes on for ever, or in circles, comes to an end.
    @Test func listsThatNeverEndAreErrors() throws {
        let server = try OddServer { request, connection in
            let part = "<Part><PartNumber>1</PartNumber><ETag>x</ETag><Size>1</Size></Part>"
            connection.answer(
                200, [:],
                request.target.contains("uploads")
                    ? "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>"
                        + "<NextUploadIdMarker>1</NextUploadIdMarker></ListMultipartUploadsResult>"
                    : "<ListPartsResult><IsTruncated>true</IsTruncated>\(part)</ListPartsResult>")
        }
        defer { server.end() }
        let store = try server.oss()
        defer { store.shutdown() }
        #expect(failure { () throws(StoreError) in _ = try store.parts(of: upload) }.code == .malformedAnswer)
        #expect(failure { () throws(StoreError) in _ = try store.uploads(prefix: "") }.code == .malformedAnswer)
        #expect(server.requests.count <= 4)
    }

    /// Lists come in pages, whose markers are escaped as the keys are.
    @Test func pagesAreJoined() throws {
        let server = try OddServer { request, connection in
            let query = QueryItem.parse(String(request.target.split(separator: "?").last ?? "")) ?? []
            func value(_ name: String) -> String { query.first { $0.name == name }?.value ?? "" }
            if query.contains(where: { $0.name == "uploads" }) {
                let isFirst = value("key-marker").isEmpty
                let isRight = isFirst || (value("key-marker") == "a +b" && value("upload-id-marker") == "1")
                let upload = { (key: String, id: Int) in
                    "<Upload><Key>\(key)</Key><UploadId>\(id)</UploadId><Initiated>2012-02-24T08:42:32.000Z</Initiated></Upload>"
                }
                let markers = "<NextKeyMarker>a%20%2Bb</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker>"
                let root = "ListMultipartUploadsResult"
                connection.answer(
                    isRight ? 200 : 400, [:],
                    "<\(root)><EncodingType>url</EncodingType><IsTruncated>\(isFirst)</IsTruncated>"
                        + (isFirst
                            ? upload("%2Fnot-ours", 0) + upload("a%20%2Bb", 1) + markers
                            : upload("c", 3) + upload("c", 2)) + "</\(root)>")
            } else {
                let first = (Int(value("part-number-marker")) ?? 0) + 1
                let parts = (first..<first + 1000).filter { $0 <= 2500 }.map {
                    "<Part><PartNumber>\($0)</PartNumber><ETag>&quot;t\($0)&quot;</ETag><Size>5</Size>"
                        + "<HashCrc64ecma>\($0)</HashCrc64ecma></Part>"
                }
                let isTruncated = first + 1000 <= 2500
                connection.answer(
                    200, [:],
                    "<ListPartsResult><IsTruncated>\(isTruncated)</IsTruncated>\(parts.joined())</ListPartsResult>")
            }
        }
        defer { server.end() }
        let store = try server.oss()
        defer { store.shutdown() }
        let parts = try store.parts(of: upload)
        let isWhole = parts.map(\.number) == Array(1...2500) && parts.allSatisfy { $0.crc64 == UInt64($0.number) }
        #expect(isWhole && parts[7].tag == "t8")
        let uploads = try store.uploads(prefix: "")
        #expect(uploads.map(\.key.description) == ["a +b", "c", "c"] && uploads.map(\.id) == ["1", "2", "3"])
        #expect(uploads.allSatisfy { $0.initiated == 1_330_072_952 })
    }

    // MARK: Checksums

    @Test func aWrongCRC64IsAnError() throws {
        let server = try OddServer { request, connection in
            connection.body(request.length)
            connection.answer(200, ["ETag": "\"x\"", "x-oss-hash-crc64ecma": "12345"])
        }
        defer { server.end() }
        let store = try server.oss()
        defer { store.shutdown() }
        let part = failure { () throws(StoreError) in _ = try store.upload(ObjectBody([1, 2]), asPart: 1, of: upload) }
        #expect(part.code == .checksumMismatch && part.isTransient && part.message.contains("12345"), "\(part)")
        #expect(part.operation == "PUT oss://lathe-test/k part 1", "\(part)")
        let put = failure { () throws(StoreError) in
            _ = try store.put(ObjectBody([1, 2]), to: key, .init(), replacing: true)
        }
        #expect(put.code == .checksumMismatch && put.isTransient, "\(put)")
    }

    @Test func theWholeIsComparedWithItsParts() throws {
        let whole = ObjectBody([1, 2, 3, 4, 5])
        let parts = [
            StoredPart(number: 1, length: 2, tag: "a", crc64: ObjectBody([1, 2]).crc64),
            StoredPart(number: 3, length: 3, tag: "b", crc64: ObjectBody([3, 4, 5]).crc64),
        ]
        let answered = Mutex(whole.crc64)
        let bodies = Mutex<[String]>([])
        let server = try OddServer { request, connection in
            let body = String(decoding: connection.body(request.length), as: UTF8.self)
            bodies.withLock { $0.append(body) }
            connection.answer(
                200, ["x-oss-hash-crc64ecma": "\(answered.withLock { $0 })"],
                "<CompleteMultipartUploadResult><ETag>\"T-2\"</ETag></CompleteMultipartUploadResult>")
        }
        defer { server.end() }
        let store = try server.oss()
        defer { store.shutdown() }
        let summary = try store.complete(upload, parts: parts, replacing: false)
        #expect(summary.length == 5 && summary.tag == "T-2" && summary.crc64 == whole.crc64)
        let expected =
            "<Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag></Part><Part><PartNumber>3</PartNumber>"
        #expect(bodies.withLock { $0[0] }.contains(expected))
        #expect(server.requests[0].headers["x-oss-forbid-overwrite"] == "true")
        answered.withLock { $0 ^= 1 }
        let error = failure { () throws(StoreError) in _ = try store.complete(upload, parts: parts, replacing: true) }
        #expect(error.code == .checksumMismatch && !error.isTransient, "\(error)")
        // Nothing can be said where a part's is not known.
        var unknown = parts
        unknown[0].crc64 = nil
        _ = try store.complete(upload, parts: unknown, replacing: true)
    }

    @Test func aWrongMD5IsAnErrorAtS3() throws {
        let tag = Mutex("0123456789abcdef0123456789abcdef")
        let kms = Mutex(false)
        let server = try OddServer { request, connection in
            connection.body(request.length)
            var headers = ["ETag": "\"\(tag.withLock { $0 })\""]
            if kms.withLock({ $0 }) { headers["x-amz-server-side-encryption"] = "aws:kms" }
            connection.answer(200, headers)
        }
        defer { server.end() }
        let store = try server.s3()
        defer { store.shutdown() }
        let error = failure { () throws(StoreError) in _ = try store.upload(ObjectBody([1]), asPart: 1, of: upload) }
        #expect(error.code == .checksumMismatch && error.isTransient, "\(error)")
        kms.withLock { $0 = true }
        _ = try store.upload(ObjectBody([1]), asPart: 1, of: upload)
        kms.withLock { $0 = false }
        tag.withLock { $0 = "55a54008ad1ba589aa210d2629c1df41" }
        _ = try store.upload(ObjectBody([1]), asPart: 1, of: upload)
        let request = try #require(server.requests.last)
        #expect(request.headers["content-md5"] == "VaVACK0bpYmqIQ0mKcHfQQ==")
        // SHA-256 of the byte 1: without TLS the body is signed.
        let hash = "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a"
        #expect(request.headers["x-amz-content-sha256"] == hash)
    }

    /// What takes long is answered with 200 before it is done.
    @Test(arguments: ["InternalError", "InvalidPart"]) func anErrorBehindA200IsAnError(code: String) throws {
        let server = try OddServer { request, connection in
            connection.body(request.length)
            if request.method == "HEAD" {
                connection.answer(200, ["ETag": "\"t\""])
            } else {
                connection.refuse(200, code)
            }
        }
        defer { server.end() }
        let store = try server.s3()
        defer { store.shutdown() }
        let expected: StoreError.Code = code == "InvalidPart" ? .invalidPart : .server
        let complete = failure { () throws(StoreError) in
            _ = try store.complete(upload, parts: [StoredPart(number: 1, length: 1, tag: "x")], replacing: true)
        }
        #expect(complete.code == expected && complete.isTransient == (expected == .server), "\(complete)")
        let copy = failure { () throws(StoreError) in try store.setAttributes(.init(), of: key, tag: "t") }
        #expect(copy.code == expected, "\(copy)")
    }

    // MARK: Time and tokens

    @Test(arguments: [OSSConfiguration.SignatureVersion.v1, .v4])
    func aClockThatIsWrongIsPutRight(version: OSSConfiguration.SignatureVersion) throws {
        // 2022-12-28T10:27:41Z, which is long ago.
        let server = try OddServer { request, connection in
            let date = request.headers["x-oss-date"] ?? request.headers["date"] ?? ""
            if date.hasPrefix("20221228T") || date.hasPrefix("Wed, 28 Dec 2022 10:") {
                connection.answer(204)
            } else {
                connection.refuse(
                    403, "RequestTimeTooSkewed", [.init("ServerTime", "2022-12-28T10:27:41.000Z")])
            }
        }
        defer { server.end() }
        let store = try server.oss(version)
        defer { store.shutdown() }
        let error = failure { () throws(StoreError) in try store.delete(key) }
        #expect(error.isTransient && error.message.contains("clock"), "\(error)")
        try store.delete(key)
    }

    @Test func tokensAndAttributesAreSentAsEachKindHasThem() throws {
        let server = try OddServer { request, connection in
            connection.body(request.length)
            connection.answer(200, ["ETag": "\"c4ca4238a0b923820dcc509a6f75849b\""])
        }
        defer { server.end() }
        let attributes = ObjectAttributes(
            contentType: "a/b", userMetadata: ["x-y": "z"], storageClass: "IA", acl: "private",
            encryption: ServerSideEncryption(algorithm: "KMS", keyID: "key-1"))
        let oss = try server.oss(token: "ToKeN")
        defer { oss.shutdown() }
        _ = try oss.put(ObjectBody([49]), to: key, attributes, replacing: false)
        let sent = try #require(server.requests.last?.headers)
        #expect(sent["x-oss-security-token"] == "ToKeN" && sent["x-oss-forbid-overwrite"] == "true")
        #expect(sent["x-oss-meta-x-y"] == "z" && sent["x-oss-storage-class"] == "IA")
        #expect(sent["x-oss-object-acl"] == "private" && sent["x-oss-server-side-encryption"] == "KMS")
        #expect(sent["x-oss-server-side-encryption-key-id"] == "key-1" && sent["content-type"] == "a/b")
        #expect(sent["content-md5"] == "xMpCOKC5I4INzFCab3WEmw==")
        #expect(sent["authorization"]?.hasPrefix("OSS4-HMAC-SHA256 Credential=ak/") == true)
        let s3 = try server.s3()
        defer { s3.shutdown() }
        _ = try s3.put(ObjectBody([49]), to: key, attributes, replacing: true)
        let other = try #require(server.requests.last?.headers)
        #expect(
            other["x-amz-meta-x-y"] == "z" && other["x-amz-storage-class"] == "IA" && other["x-amz-acl"] == "private")
        #expect(other["x-amz-server-side-encryption"] == "aws:kms" && other["if-none-match"] == nil)
        #expect(other["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1")
    }

    /// 5 GiB is all that S3 copies at once; no byte is sent to find it out.
    @Test func attributesOfALargeObjectCannotBeChangedAtS3() throws {
        let server = try OddServer { _, connection in
            connection.answer(200, ["ETag": "\"t\""], length: (5 << 30) + 1)
        }
        defer { server.end() }
        let store = try server.s3()
        defer { store.shutdown() }
        let error = failure { () throws(StoreError) in try store.setAttributes(.init(), of: key, tag: "t") }
        #expect(error.code == .unsupported && server.requests.map(\.method) == ["HEAD"], "\(error)")
        let other = failure { () throws(StoreError) in try store.setAttributes(.init(), of: key, tag: "u") }
        #expect(other.code == .preconditionFailed, "\(other)")
    }
}
