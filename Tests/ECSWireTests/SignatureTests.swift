import ECSWire
import LatheTestSupport
import OSSWire
import Testing

/// What is signed of requests, and what is not.
@Suite struct SignatureTests {
    static let key = Credentials(accessKeyID: "AKID", accessKeySecret: "secret")
    static let time: UInt64 = 1_700_000_000

    static func message(_ call: SignedCall) throws -> RPCMessage {
        let halves = call.target.split(separator: "?", maxSplits: 1)
        return try RPCMessage(
            method: call.method, query: halves.count == 2 ? String(halves[1]) : "", headers: call.headers,
            body: call.body)
    }

    static func call(_ parameters: [String: String] = ["ImageId": "m-1"]) -> RPCCall {
        RPCCall("ExportImage", parameters, host: "127.0.0.1:8080")
    }

    @Test(arguments: RPCCall.SignatureVersion.allCases, [("GET", false), ("POST", false), ("POST", true)])
    func whatIsSignedIsProved(version: RPCCall.SignatureVersion, way: (method: String, form: Bool)) throws {
        let seed: UInt64 = 5
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<50 {
            var call = Self.call(["Empty": "", "Space": "a b+c%d*~", "Umlaut": "é\u{1F600}", "日本": "&=;,/?"])
            call.parameters["Random"] = String(
                (0..<12).map { _ in
                    Character(Unicode.Scalar(UInt32.random(in: 0xA0..<0xD800, using: &generator)) ?? " ")
                })
            (call.method, call.usesForm) = way
            let message = try Self.message(call.signed(version, Self.key, at: Self.time, nonce: "n-1"))
            let claim = try SignatureClaim(message)
            #expect(claim.isRight(for: message, secret: "secret"), "seed \(seed)")
            #expect(!claim.isRight(for: message, secret: "Secret"))
            #expect(message.parameters["Random"] == call.parameters["Random"])
            #expect(claim.action == "ExportImage" && claim.version == "2014-05-26" && claim.accessKeyID == "AKID")
            #expect(claim.nonce == "n-1" && claim.signed == Self.time && claim.securityToken == nil)
        }
    }

    @Test(arguments: RPCCall.SignatureVersion.allCases)
    func everyChangeOfASignedRequestIsSeen(version: RPCCall.SignatureVersion) throws {
        let signed = Self.call().signed(version, Self.key, at: Self.time, nonce: "n-1")
        func isRight(_ change: (inout SignedCall) -> Void) throws -> Bool {
            var call = signed
            change(&call)
            let message = try Self.message(call)
            return try SignatureClaim(message).isRight(for: message, secret: "secret")
        }
        #expect(try isRight { _ in })
        #expect(try !isRight { $0.method = "GET" })
        #expect(try !isRight { $0.target += "&More=1" })
        #expect(try !isRight { $0.target.replace("m-1", with: "m-2") })
        #expect(try !isRight { $0.target.replace("ImageId", with: "imageId") })
        for (old, new) in [("n-1", "n-2"), ("ExportImage", "CancelTask"), ("2014-05-26", "2015-04-01")] {
            #expect(
                try !isRight { call in
                    call.target.replace(old, with: new)
                    for place in call.headers.indices { call.headers[place].value.replace(old, with: new) }
                })
        }
        guard version == .v3 else { return }
        #expect(try !isRight { $0.headers[0].value = "127.0.0.1:8081" })
    }

    /// The vendor's older client sends and signs `SignatureType=`.
    @Test func emptyParametersAreSigned() {
        let text = RPCSignatureV1.stringToSign(method: "POST", ["SignatureType": "", "A": "1", "Signature": "x"])
        #expect(text == "POST&%2F&A%3D1%26SignatureType%3D")
    }

    @Test func parametersAreInTheOrderOfTheirBytes() {
        let names = ["b", "B", "a.10", "a.1", "a", "a-", "_", "é", "\u{FF21}", "\u{1F600}"]
        let text = RPCSignatureV1.stringToSign(
            method: "GET", Dictionary(uniqueKeysWithValues: names.map { ($0, "") }))
        let order = text.dropFirst("GET&%2F&".count).split(separator: "%3D%26").map {
            PercentEncoding.decode(PercentEncoding.decode(String($0)) ?? "") ?? ""
        }
        #expect(
            order.map { $0.hasSuffix("=") ? String($0.dropLast()) : $0 } == [
                "B", "_", "a", "a-", "a.1", "a.10", "b", "é", "\u{FF21}", "\u{1F600}",
            ])
    }

    @Test func aTokenComesAlong() throws {
        let temporary = Credentials(accessKeyID: "STS.1", accessKeySecret: "s", securityToken: "CAIS/+=token")
        for version in RPCCall.SignatureVersion.allCases {
            let message = try Self.message(
                Self.call().signed(version, temporary, at: Self.time, nonce: "n"))
            let claim = try SignatureClaim(message)
            #expect(claim.securityToken == "CAIS/+=token")
            #expect(claim.isRight(for: message, secret: "s"))
        }
    }

    /// Several headers of one name, white space around values, a name in another case.
    @Test func headersAreMadeCanonical() {
        let text = RPCSignatureV3.canonicalRequest(
            method: "GET", query: [QueryItem("b", "2"), QueryItem("a")],
            headers: [HeaderField("X-Acs-B", " 2\t"), HeaderField("x-acs-b", "1"), HeaderField("Host", "h")],
            signedHeaders: ["host", "x-acs-b"], bodySHA256: "00")
        #expect(text == "GET\n/\na=&b=2\nhost:h\nx-acs-b:1,2\n\nhost;x-acs-b\n00")
    }
}

/// Claims that are not well formed, or prove less than they say.
@Suite struct SignatureClaimTests {
    private func refusal(_ version: RPCCall.SignatureVersion, _ change: (inout SignedCall) -> Void) throws -> APIError?
    {
        var call = SignatureTests.call().signed(version, SignatureTests.key, at: SignatureTests.time, nonce: "n-1")
        change(&call)
        let message = try SignatureTests.message(call)
        do throws(APIError) {
            _ = try SignatureClaim(message)
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [
        "Action", "Version", "AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SignatureNonce",
        "Timestamp",
    ])
    func version1NamesTheParameterThatIsMissing(name: String) throws {
        for replacement in ["Other", nil] {
            let error = try refusal(.v1) { call in
                var items = QueryItem.parse(String(call.target.dropFirst(2))) ?? []
                for place in items.indices where items[place].name == name {
                    items[place] = replacement.map { QueryItem($0, "1") } ?? QueryItem(name, "")
                }
                call.target = "/?\(QueryItem.render(items))"
            }
            #expect(error == .missingParameter(name))
        }
    }

    @Test(arguments: [
        "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256", "host",
    ])
    func version3NamesTheHeaderThatIsMissing(name: String) throws {
        #expect(try refusal(.v3) { $0.headers.removeAll { $0.name.lowercased() == name } } == .missingParameter(name))
    }

    /// Else whoever has seen one request could make another of it: the nonce, for one, would bind nothing.
    @Test(arguments: ["host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce"])
    func whatVersion3GoesByMustBeSigned(name: String) throws {
        let error = try refusal(.v3) { call in
            call.headers[call.headers.count - 1].value.replace("\(name);", with: "")
            call.headers[call.headers.count - 1].value.replace(";\(name),", with: ",")
        }
        #expect(error?.code == "InvalidParameter" && error?.message.contains(name) == true)
    }

    @Test func aTokenThatIsNotSignedIsRefused() throws {
        let error = try refusal(.v3) { $0.headers.append(HeaderField("x-acs-security-token", "token")) }
        #expect(error?.message.contains("x-acs-security-token is not among them") == true)
    }

    @Test func theHashOfVersion3IsThatOfTheBody() throws {
        let error = try refusal(.v3) { call in
            call.headers.append(HeaderField("Content-Type", "application/x-www-form-urlencoded"))
            call.body = Array("RegionId=x".utf8)
        }
        #expect(error?.code == "InvalidParameter" && error?.message.contains("x-acs-content-sha256") == true)
    }

    @Test func aHeaderAndAParameterMustNotDisagree() throws {
        #expect(try refusal(.v3) { $0.target += "&Action=CancelTask" }?.code == "InvalidParameter")
        #expect(try refusal(.v3) { $0.target += "&Version=2014-05-27" }?.code == "InvalidParameter")
        #expect(try refusal(.v3) { $0.target += "&Action=ExportImage" } == nil)
    }

    @Test(arguments: ["x-acs-action", "X-ACS-Date", "Authorization", "host", "x-acs-signature-nonce"])
    func aHeaderThatCountsIsThereOnce(name: String) throws {
        let error = try refusal(.v3) { call in
            let value = call.headers.first { $0.name.lowercased() == name.lowercased() }?.value ?? ""
            call.headers.append(HeaderField(name, value))
        }
        #expect(error?.message.contains("more than once") == true)
    }

    @Test(arguments: [
        "", "ACS3-HMAC-SHA256", "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host", "Basic dGVzdA==", "acs AKID:abc=",
        "ACS3-HMAC-SHA256 Credential=a,Credential=b,SignedHeaders=host,Signature=0",
        "ACS3-HMAC-SHA256 Credential=,SignedHeaders=host,Signature=0",
        "ACS3-HMAC-SM3 Credential=a,SignedHeaders=host,Signature=0",
    ])
    func anAuthorizationOfAnotherKindIsRefused(header: String) throws {
        let error = try refusal(.v3) { $0.headers[$0.headers.count - 1].value = header }
        #expect(error?.status == 400 && error?.code == "InvalidParameter")
    }

    @Test func signedHeadersAreFewAndThere() throws {
        let many = (0..<70).map { "x-\($0);" }.joined()
        let error = try refusal(.v3) { $0.headers[$0.headers.count - 1].value.replace("=host;", with: "=\(many)host;") }
        #expect(error?.message.contains("at most 64") == true)
        let absent = try refusal(.v3) { $0.headers[$0.headers.count - 1].value.replace("=host;", with: "=a;host;") }
        #expect(absent?.message.contains("has not") == true)
    }

    @Test(arguments: [
        ("Timestamp", "yesterday", "InvalidTimeStamp.Format"),
        ("Timestamp", "2023-10-26 10:22:32", "InvalidTimeStamp.Format"),
        ("Timestamp", "2023-13-26T10:22:32Z", "InvalidTimeStamp.Format"),
        ("Timestamp", "1698315752", "InvalidTimeStamp.Format"), ("SignatureMethod", "HMAC-SHA256", "InvalidParameter"),
        ("SignatureVersion", "2.0", "InvalidParameter"), ("Action", "Export Image", "InvalidParameter"),
        ("Action", "1Export", "InvalidParameter"), ("Action", "<script>", "InvalidParameter"),
        ("Action", String(repeating: "A", count: 65), "InvalidParameter"), ("Version", "../..", "InvalidParameter"),
        ("AccessKeyId", "a b", "InvalidParameter"), ("AccessKeyId", "é", "InvalidParameter"),
        ("SignatureNonce", "a b", "InvalidParameter"),
        ("SignatureNonce", String(repeating: "n", count: 129), "InvalidParameter"),
        ("SecurityToken", "a\u{E9}", "InvalidSecurityToken.Malformed"),
        ("SecurityToken", "<x>", "InvalidSecurityToken.Malformed"),
    ])
    func whatIsCommonToAllRequestsIsWellFormed(name: String, value: String, code: String) throws {
        let error = try refusal(.v1) { call in
            var items = (QueryItem.parse(String(call.target.dropFirst(2))) ?? []).filter { $0.name != name }
            items.append(QueryItem(name, value))
            call.target = "/?\(QueryItem.render(items))"
        }
        #expect(error?.code == code)
    }
}
