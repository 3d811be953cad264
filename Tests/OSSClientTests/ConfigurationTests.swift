import Foundation
import LatheTestSupport
import OSSClient
import OSSWire
import ObjectStorage
import Testing

@Suite struct ConfigurationTests {
    private func code(_ body: () throws(StoreError) -> Void) -> StoreError.Code? {
        do throws(StoreError) { try body() } catch { return error.code }
        return nil
    }

    @Test(arguments: [
        ("oss-cn-hangzhou.aliyuncs.com", "https://oss-cn-hangzhou.aliyuncs.com"),
        ("http://127.0.0.1:9000/", "http://127.0.0.1:9000"), ("HTTPS://Example.COM:443", "https://example.com"),
        ("http://h:80", "http://h"), ("http://h:443", "http://h:443"), ("https://[::1]:8080", "https://[::1]:8080"),
        ("[fe80::1]", "https://[fe80::1]"), ("localhost:1", "https://localhost:1"),
    ])
    func endpointsAreRead(text: String, expected: String) throws {
        #expect(try StoreEndpoint(text).description == expected)
    }

    @Test(arguments: [
        "", "http://", "ftp://h", "http://h/path", "http://h?q", "http://h#f", "http://user:secret@h", "h:0", "h:65536",
        "h:x", "h:", "http://[::1", "http://[1.2.3.4]", "http://[::1]x", "h\r\nX: y", "a b", "::1", "http://h:80:80",
    ])
    func whatIsNoEndpointIsAnError(text: String) {
        let error = #expect(throws: StoreError.self) { try StoreEndpoint(text) }
        #expect(error?.code == .invalidRequest && error?.description.contains("secret") == false)
    }

    @Test func theRegionIsToldByTheEndpoint() throws {
        let regions = [
            "oss-cn-hangzhou.aliyuncs.com": "cn-hangzhou", "oss-cn-hangzhou-internal.aliyuncs.com": "cn-hangzhou",
            "http://oss-ap-southeast-1.aliyuncs.com": "ap-southeast-1", "b.oss-us-west-1.aliyuncs.com": "us-west-1",
        ]
        for (endpoint, region) in regions {
            #expect(try OSSConfiguration(endpoint: endpoint).region == region, "\(endpoint)")
        }
        #expect(
            try OSSConfiguration(region: "cn-beijing").endpoint.description == "https://oss-cn-beijing.aliyuncs.com")
        #expect(try OSSConfiguration(endpoint: "oss-cn-hangzhou.aliyuncs.com", region: "x").region == "x")
        for endpoint in ["http://127.0.0.1", "oss-accelerate.aliyuncs.com", "oss-accelerate-overseas.aliyuncs.com"] {
            #expect(code { () throws(StoreError) in _ = try OSSConfiguration(endpoint: endpoint) } == .invalidRequest)
            #expect(try OSSConfiguration(endpoint: endpoint, signature: .v1).region == "")
        }
        #expect(code { () throws(StoreError) in _ = try OSSConfiguration() } == .invalidRequest)
        #expect(try S3Configuration().endpoint.description == "https://s3.us-east-1.amazonaws.com")
        #expect(try S3Configuration(endpoint: "s3.eu-west-1.amazonaws.com").region == "eu-west-1")
        #expect(try S3Configuration(endpoint: "s3.amazonaws.com").region == "us-east-1")
        #expect(try S3Configuration(endpoint: "s3.oss-cn-hangzhou.aliyuncs.com").region == "cn-hangzhou")
        #expect(try S3Configuration(endpoint: "http://127.0.0.1:9000").region == "us-east-1")
    }

    @Test(arguments: ["", "ab", "Upper", "a/b", "a b", "-ab", "a_b", "a@b", "..a", String(repeating: "a", count: 64)])
    func whatIsNoBucketIsAnError(name: String) throws {
        let configuration = try OSSConfiguration(endpoint: "h.example", region: "r")
        #expect(code { () throws(StoreError) in _ = try OSSBucket(name, configuration, nil) } == .invalidRequest)
    }

    /// Where the bucket stands is seen by the server: a name ending in `.localhost` is 127.0.0.1 to few resolvers, so the path
    /// alone is looked at here, and the host's name in what can't be resolved.
    @Test func bucketsAreAddressed() throws {
        let server = try OddServer { _, connection in connection.answer(204) }
        defer { server.end() }
        let expected: [(Addressing, String)] = [
            (.automatic, "/lathe-test/d/a%20b"), (.pathStyle, "/lathe-test/d/a%20b"), (.customDomain, "/d/a%20b"),
        ]
        for (addressing, target) in expected {
            let store = try OSSBucket(
                "lathe-test",
                OSSConfiguration(endpoint: "http://127.0.0.1:\(server.port)", region: "r", addressing: addressing), nil)
            try store.delete(ObjectKey("d/a b"))
            store.shutdown()
            #expect(server.requests.last?.target == target)
            #expect(server.requests.last?.headers["authorization"] == nil)
        }
        let options = ConnectionOptions(connectTimeout: 3)
        let virtual = try OSSBucket(
            "lathe-test", OSSConfiguration(endpoint: "http://store.invalid", region: "r", connection: options), nil)
        let error = #expect(throws: StoreError.self) { try virtual.head(ObjectKey("k")) }
        #expect(error?.code == .connection && error?.isTransient == true)
        #expect(error?.description.contains("lathe-test.store.invalid") == true, "\(String(describing: error))")
        virtual.shutdown()
        let path = try S3Bucket(
            "lathe-test", S3Configuration(endpoint: "http://store.invalid", connection: options), nil)
        let other = #expect(throws: StoreError.self) { try path.head(ObjectKey("k")) }
        #expect(other?.description.contains("lathe-test.store.invalid") == false, "\(String(describing: other))")
        path.shutdown()
    }

    @Test func aFileOfCertificatesMustHaveSome() throws {
        let directory = try TemporaryDirectory()
        try Data("nothing".utf8).write(to: URL(filePath: directory.file("empty.pem")))
        for path in [directory.file("absent.pem"), directory.file("empty.pem")] {
            let options = ConnectionOptions(caCertificatePath: path)
            let configuration = try OSSConfiguration(endpoint: "h.example", region: "r", connection: options)
            let found = code { () throws(StoreError) in _ = try OSSBucket("lathe-test", configuration, nil) }
            #expect(found == .invalidRequest)
        }
    }
}

@Suite struct CredentialSourceTests {
    private func resolve(
        _ given: StoreSettings = .init(), _ environment: [String: String] = [:], file: String? = nil
    ) throws -> (credentials: Credentials?, endpoint: String?, region: String?) {
        let directory = try TemporaryDirectory()
        if let file { try Data(file.utf8).write(to: URL(filePath: directory.file(".ossutilconfig"))) }
        return try CredentialSources.resolve(
            given: given, variables: .oss, environment: environment,
            configurationPath: CredentialSources.configurationPath(environment: ["HOME": directory.path]))
    }

    private static let version1 = """
        [Credentials]
        language=EN
        endpoint=oss-cn-hangzhou.aliyuncs.com
        accessKeyID=fileID
        accessKeySecret = "file=Secret"
        stsToken=fileToken
        [Bucket-Endpoint]
        b=elsewhere.example
        endpoint=wrong.example
        """

    private static let version2 = """
        # ossutil 2
        [default]
        access-key-id = fileID
        access-key-secret = file=Secret
        sts-token = fileToken
        region = cn-hangzhou

        [profile other]
        access-key-id = otherID
        region = cn-beijing
        """

    @Test func bothVersionsOfTheFileAreRead() throws {
        let expected = Credentials(accessKeyID: "fileID", accessKeySecret: "file=Secret", securityToken: "fileToken")
        let old = try resolve(file: Self.version1)
        #expect(old.credentials == expected && old.endpoint == "oss-cn-hangzhou.aliyuncs.com" && old.region == nil)
        let new = try resolve(file: Self.version2)
        #expect(new.credentials == expected && new.region == "cn-hangzhou" && new.endpoint == nil)
        let windows = CredentialSources.parse(Self.version2.replacingOccurrences(of: "\n", with: "\r\n"))
        #expect(windows == CredentialSources.parse(Self.version2))
        #expect(try resolve().credentials == nil)
        #expect(CredentialSources.parse("=\n[\n]\nx\nendpoint\nendpoint=\n;endpoint=x") == StoreSettings())
    }

    @Test func whatIsGivenComesBeforeTheEnvironmentAndThatBeforeTheFile() throws {
        let environment = [
            "OSS_ACCESS_KEY_ID": "envID", "OSS_ACCESS_KEY_SECRET": "envSecret", "OSS_SESSION_TOKEN": "",
            "OSS_REGION": "env-region",
        ]
        let ambient = try resolve(.init(), environment, file: Self.version1)
        // A token is not taken from another source than its key.
        #expect(ambient.credentials == Credentials(accessKeyID: "envID", accessKeySecret: "envSecret"))
        #expect(ambient.endpoint == "oss-cn-hangzhou.aliyuncs.com" && ambient.region == "env-region")
        let given = StoreSettings(accessKeyID: "ID", accessKeySecret: "Secret", securityToken: "T", region: "given")
        let all = try resolve(given, environment, file: Self.version1)
        #expect(all.credentials == Credentials(accessKeyID: "ID", accessKeySecret: "Secret", securityToken: "T"))
        #expect(all.region == "given")
    }

    @Test func halfACredentialIsAnErrorThatShowsNoSecret() throws {
        for given in [StoreSettings(accessKeyID: "ID"), StoreSettings(accessKeySecret: "GeHeIm")] {
            let error = #expect(throws: StoreError.self) { try resolve(given) }
            #expect(error?.code == .accessDenied && error?.description.contains("GeHeIm") == false)
        }
        let settings = StoreSettings(accessKeyID: "ID", accessKeySecret: "GeHeIm", securityToken: "ToKeN")
        var dumped = ""
        dump(settings, to: &dumped)
        for text in ["\(settings)", String(reflecting: settings), dumped] {
            #expect(!text.contains("GeHeIm") && !text.contains("ToKeN"))
        }
    }

    @Test func aLineEndInACredentialIsAnErrorThatShowsNoSecret() throws {
        for (id, secret, token) in [
            ("ID\r", "GeHeIm", "ToKeN"), ("ID", "GeHeIm\n", "ToKeN"), ("ID", "GeHeIm", "ToKeN\r\n"),
        ] {
            let error = #expect(throws: StoreError.self) {
                try resolve(.init(accessKeyID: id, accessKeySecret: secret, securityToken: token))
            }
            #expect(error?.code == .accessDenied && error?.message.contains("line end") == true)
            #expect(error?.description.contains("GeHeIm") == false && error?.description.contains("ToKeN") == false)
        }
    }

    @Test func aTokenThatCannotBeSentIsNotShown() throws {
        let store = try OSSBucket(
            "bucket", OSSConfiguration(endpoint: "http://127.0.0.1:9", region: "cn-hangzhou"),
            Credentials(accessKeyID: "ID", accessKeySecret: "GeHeIm", securityToken: "ToKeN\r"))
        defer { store.shutdown() }
        let error = #expect(throws: StoreError.self) { try store.head(ObjectKey("key")) }
        #expect(error?.code == .invalidRequest, "\(error?.description ?? "")")
        #expect(error?.description.contains("ToKeN") == false)
    }

    @Test func amazonsVariablesAreKnown() throws {
        let found = try CredentialSources.resolve(
            given: .init(), variables: .s3,
            environment: [
                "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t",
                "AWS_DEFAULT_REGION": "r", "AWS_ENDPOINT_URL": "e",
            ], configurationPath: nil)
        #expect(found.credentials == Credentials(accessKeyID: "a", accessKeySecret: "s", securityToken: "t"))
        #expect(found.region == "r" && found.endpoint == "e")
    }
}
