import ECSWire
import OSSWire
import Testing

/// Signatures that the vendor has published.
@Suite struct SignatureVectorTests {
    /// The example of "Signature method" for version 1.0.
    private static let version1: [String: String] = [
        "Timestamp": "2016-02-23T12:46:24Z", "Format": "XML", "AccessKeyId": "testid", "Action": "DescribeRegions",
        "SignatureMethod": "HMAC-SHA1", "SignatureNonce": "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
        "Version": "2014-05-26", "SignatureVersion": "1.0",
    ]

    @Test func version1SignsAsTheVendorDoes() {
        #expect(
            RPCSignatureV1.stringToSign(method: "GET", Self.version1)
                == "GET&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeRegions%26Format%3DXML%26SignatureMethod%3DHMAC-SHA1"
                + "%26SignatureNonce%3D3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf%26SignatureVersion%3D1.0"
                + "%26Timestamp%3D2016-02-23T12%253A46%253A24Z%26Version%3D2014-05-26")
        #expect(
            RPCSignatureV1.signature(method: "GET", Self.version1, secret: "testsecret")
                == "OLeaidS1JvxuMvnyHOwuJ+uX5qY=")
    }

    @Test func theVendorsRequestOfVersion1IsProved() throws {
        let query = QueryItem.render(Self.version1.map { QueryItem($0.key, $0.value) })
        let message = try RPCMessage(
            method: "GET", query: "\(query)&Signature=OLeaidS1JvxuMvnyHOwuJ%2BuX5qY%3D", headers: [], body: [])
        let claim = try SignatureClaim(message)
        #expect(claim.isRight(for: message, secret: "testsecret"))
        #expect(!claim.isRight(for: message, secret: "testsecre"))
        #expect(claim.action == "DescribeRegions" && claim.version == "2014-05-26" && claim.accessKeyID == "testid")
        #expect(claim.nonce == "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf" && claim.signed == 1_456_231_584)
        #expect(claim.securityToken == nil)
    }

    /// The example of "V3 request body & signature".
    private static let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    private static let version3 = [
        HeaderField("host", "ecs.cn-shanghai.aliyuncs.com"), HeaderField("x-acs-action", "RunInstances"),
        HeaderField("x-acs-content-sha256", hash), HeaderField("x-acs-date", "2023-10-26T10:22:32Z"),
        HeaderField("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
        HeaderField("x-acs-version", "2014-05-26"),
    ]
    private static let query = "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai"
    private static let signature = "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"

    @Test func version3SignsAsTheVendorDoes() throws {
        let request = RPCSignatureV3.canonicalRequest(
            method: "POST", query: try #require(QueryItem.parse(Self.query)), headers: Self.version3,
            signedHeaders: Self.version3.map(\.name), bodySHA256: Self.hash)
        let text = RPCSignatureV3.stringToSign(request)
        #expect(text == "ACS3-HMAC-SHA256\n7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259")
        #expect(RPCSignatureV3.signature(request, secret: "YourAccessKeySecret") == Self.signature)
    }

    @Test func theVendorsRequestOfVersion3IsProved() throws {
        let authorization =
            "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;"
            + "x-acs-signature-nonce;x-acs-version,Signature=\(Self.signature)"
        let message = try RPCMessage(
            method: "POST", query: Self.query,
            headers: Self.version3 + [HeaderField("Authorization", authorization)], body: [])
        let claim = try SignatureClaim(message)
        #expect(claim.isRight(for: message, secret: "YourAccessKeySecret"))
        #expect(!claim.isRight(for: message, secret: "YourAccessKeySecre"))
        #expect(claim.action == "RunInstances" && claim.accessKeyID == "YourAccessKeyId")
        #expect(claim.nonce == "3156853299f313e23d1673dc12e1703d" && claim.signed == 1_698_315_752)
    }
}
