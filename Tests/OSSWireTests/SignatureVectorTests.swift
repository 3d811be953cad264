import OSSWire
import Testing

/// Signatures that others have published.
@Suite struct SignatureVectorTests {
    private let someone = Credentials(accessKeyID: "ak", accessKeySecret: "sk")

    /// alibabacloud-oss-v2 1.4.1, `tests/unit/signer/test_v1.py`.
    @Test func version1SignsAPutAsTheVendorDoes() {
        let request = WireRequest(
            method: "PUT", bucket: "examplebucket", key: "nelson",
            headers: [
                HeaderField("Content-MD5", "eB5eJF1ptWaXm4bijSPyxw=="), HeaderField("Content-Type", "text/html"),
                HeaderField("x-oss-meta-author", "alice"), HeaderField("X-OSS-Meta-Magic", "abracadabra"),
                HeaderField("x-oss-date", "Wed, 28 Dec 2022 10:27:41 GMT"),
            ])
        #expect(OSSSignature.authorizationV1(request, someone) == "OSS ak:kSHKmLxlyEAKtZPkJhG9bZb5k7M=")
    }

    /// The same tests: sub-resources with and without a value, and one that is not signed.
    @Test func version1SignsSubresourcesInOrder() {
        let request = WireRequest(
            method: "PUT", bucket: "examplebucket", key: "dir/ü +",
            query: [
                QueryItem("uploadId", "1/2"), QueryItem("max-keys", "5"), QueryItem("acl"),
                QueryItem("partNumber", "3"),
            ], headers: [HeaderField("Date", "d")])
        let text = OSSSignature.v1StringToSign(request, date: "d")
        #expect(text == "PUT\n\n\nd\n/examplebucket/dir/ü +?acl&partNumber=3&uploadId=1/2")
        #expect(OSSSignature.v1StringToSign(WireRequest(method: "GET", bucket: "b"), date: "") == "GET\n\n\n\n/b/")
        #expect(OSSSignature.v1StringToSign(WireRequest(method: "GET"), date: "") == "GET\n\n\n\n/")
    }

    /// alibabacloud-oss-v2 1.4.1, `tests/unit/signer/test_v4.py`.
    @Test(
        arguments: [
            (UInt64(1_702_743_657), nil, [], "e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe"),
            (1_702_784_856, "token", [], "b94a3f999cf85bcdc00d332fbd3734ba03e48382c36fa4d5af5df817395bd9ea"),
            (
                1_702_747_512, nil, ["ZAbc", "abc"], "4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f"
            ),
        ] as [(UInt64, String?, [String], String)])
    func version4SignsAsTheVendorDoes(time: UInt64, token: String?, additional: [String], signature: String) throws {
        var request = WireRequest(
            method: "PUT", bucket: "bucket", key: "1234+-/123/1.txt",
            query: [
                QueryItem("param1", "value1"), QueryItem("+param1", "value3"), QueryItem("|param1", "value4"),
                QueryItem("+param2", ""), QueryItem("|param2", ""), QueryItem("param2", ""),
            ],
            headers: [
                HeaderField("x-oss-head1", "value"), HeaderField("abc", "value"), HeaderField("ZAbc", "value"),
                HeaderField("XYZ", "value"), HeaderField("content-type", "text/plain"),
            ])
        let credentials = Credentials(accessKeyID: "ak", accessKeySecret: "sk", securityToken: token)
        OSSSignatureV4.sign(&request, credentials, region: "cn-hangzhou", at: time, additionalHeaders: additional)
        let header = try #require(request.header("authorization"))
        let authorization = try #require(OSSSignatureV4.Authorization(parsing: header))
        #expect(authorization.signature == signature)
        #expect(authorization.additionalHeaders == additional.map { $0.lowercased() }.sorted())
        let date = try #require(request.header("x-oss-date"))
        #expect(authorization.isRight(for: request, date: date, secret: "sk"))
        #expect(!authorization.isRight(for: request, date: date, secret: "another"))
        request.setHeader("x-oss-head1", "other")
        #expect(!authorization.isRight(for: request, date: date, secret: "sk"))
    }

    /// Amazon S3, "Signature Calculations for the Authorization Header", examples.
    private static let amazon = Credentials(
        accessKeyID: "AKIAIOSFODNN7EXAMPLE", accessKeySecret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    private static let emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    private static let friday: UInt64 = 1_369_353_600

    private func amazonSignature(
        _ method: String, key: String? = nil, query: [QueryItem] = [], headers: [HeaderField] = [],
        payloadHash: String = emptyHash
    ) -> String? {
        var request = WireRequest(
            method: method, key: key, query: query,
            headers: [HeaderField("Host", "examplebucket.s3.amazonaws.com")] + headers)
        S3Signature.sign(
            &request, path: "/\(key ?? "")", Self.amazon, region: "us-east-1", payloadHash: payloadHash,
            at: Self.friday)
        return request.header("Authorization")?.split(separator: "=").last.map(String.init)
    }

    @Test func amazonsExamplesAreSignedAsAmazonDoes() {
        #expect(
            amazonSignature("GET", key: "test.txt", headers: [HeaderField("Range", "bytes=0-9")])
                == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
        #expect(
            amazonSignature(
                "PUT", key: "test$file.text",
                headers: [
                    HeaderField("Date", "Fri, 24 May 2013 00:00:00 GMT"),
                    HeaderField("x-amz-storage-class", "REDUCED_REDUNDANCY"),
                ], payloadHash: "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072")
                == "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")
        #expect(
            amazonSignature("GET", query: [QueryItem("lifecycle")])
                == "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")
        #expect(
            amazonSignature("GET", query: [QueryItem("prefix", "J"), QueryItem("max-keys", "2")])
                == "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")
    }
}

/// What is made is parsed again, however others write it.
@Suite struct AuthorizationParsingTests {
    private static let scope = "20231216/cn-hangzhou/oss/aliyun_v4_request"

    @Test(arguments: [
        "OSS4-HMAC-SHA256 Credential=ak/\(scope), Signature=0a, AdditionalHeaders=abc;zabc",
        "OSS4-HMAC-SHA256 Credential=ak/\(scope),AdditionalHeaders=abc;zabc,Signature=0a",
        "OSS4-HMAC-SHA256 Signature=0a,Credential=ak/\(scope), AdditionalHeaders=ABC;zabc",
    ])
    func everyOrderOfFieldsIsTaken(header: String) throws {
        let parsed = try #require(OSSSignatureV4.Authorization(parsing: header))
        let expected = OSSSignatureV4.Authorization(
            accessKeyID: "ak", scope: .init(day: "20231216", region: "cn-hangzhou"),
            additionalHeaders: ["abc", "zabc"], signature: "0a")
        #expect(parsed == expected)
        #expect(OSSSignatureV4.Authorization(parsing: parsed.headerValue) == parsed)
    }

    @Test(arguments: [
        "", "OSS4-HMAC-SHA256", "OSS4-HMAC-SHA256 Credential=ak/\(scope)", "OSS4-HMAC-SHA256 Signature=0a",
        "OSS4-HMAC-SHA256 Credential=ak/\(scope),Signature=0a,Signature=0b",
        "OSS4-HMAC-SHA256 Credential=ak/\(scope),Signature=0a,More=1",
        "OSS4-HMAC-SHA256 Credential=ak/20231216/cn-hangzhou/oss/aws4_request,Signature=0a",
        "OSS4-HMAC-SHA256 Credential=/\(scope),Signature=0a", "OSS4-HMAC-SHA256 Credential=ak,Signature=0a",
        "AWS4-HMAC-SHA256 Credential=ak/\(scope),Signature=0a", "OSS4-HMAC-SHA256 Credential,Signature",
        "OSS4-HMAC-SHA256 Credential=ak/2023121é/r/oss/aliyun_v4_request,Signature=0a",
    ])
    func whatIsNotVersion4IsNil(header: String) {
        #expect(OSSSignatureV4.Authorization(parsing: header) == nil)
    }

    @Test func version1IsParsed() throws {
        let parsed = try #require(OSSSignature.AuthorizationV1(parsing: "OSS ak:kSHKmLxlyEAKtZPkJhG9bZb5k7M="))
        #expect(parsed.accessKeyID == "ak" && parsed.signature == "kSHKmLxlyEAKtZPkJhG9bZb5k7M=")
        for header in ["", "OSS", "OSS ak", "OSS ak:", "OSS :x", "OSS2 ak:x", "AWS ak:x"] {
            #expect(OSSSignature.AuthorizationV1(parsing: header) == nil, "\(header)")
        }
    }

    @Test func aPresignedQueryHoldsForItsRequestOnly() throws {
        let credentials = Credentials(accessKeyID: "ak", accessKeySecret: "sk", securityToken: "to/ken")
        var request = WireRequest(
            method: "GET", bucket: "b", key: "k ü",
            query: [QueryItem("response-content-type", "a/b"), QueryItem("acl")],
            headers: [HeaderField("Host", "h"), HeaderField("Range", "bytes=0-1")])
        let query4 = OSSSignatureV4.presignedQuery(
            request, credentials, region: "r", at: 1_702_743_657, validity: 60, additionalHeaders: ["HOST", "absent"])
        let query1 = OSSSignature.presignedQueryV1(request, credentials, expires: 1_702_743_657)

        let sent4 = try #require(QueryItem.parse(QueryItem.render(query4)))
        request.query = sent4
        let presigned4 = try #require(OSSSignatureV4.Presigned(parsing: sent4))
        #expect(presigned4.signed == 1_702_743_657 && presigned4.validity == 60)
        #expect(presigned4.securityToken == "to/ken" && presigned4.authorization.additionalHeaders == ["host"])
        #expect(presigned4.isRight(for: request, secret: "sk"))
        #expect(!presigned4.isRight(for: request, secret: "sl"))
        request.key = "k"
        #expect(!presigned4.isRight(for: request, secret: "sk"))

        request.key = "k ü"
        request.query = try #require(QueryItem.parse(QueryItem.render(query1)))
        let presigned1 = try #require(OSSSignature.PresignedV1(parsing: request.query))
        #expect(presigned1.expires == 1_702_743_657 && presigned1.securityToken == "to/ken")
        #expect(presigned1.isRight(for: request, secret: "sk"))
        request.query.removeAll { $0.name == "acl" }
        #expect(!presigned1.isRight(for: request, secret: "sk"))
        #expect(OSSSignature.PresignedV1(parsing: sent4) == nil)
        #expect(OSSSignatureV4.Presigned(parsing: query1) == nil)
    }
}
