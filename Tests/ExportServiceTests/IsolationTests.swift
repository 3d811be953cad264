import ECSWire
import Foundation
import LatheTestSupport
import OSSClient
import OSSServer
import OSSWire
import ObjectStorage
import Testing

@testable import ExportService
@testable import LatheCommands

/// One account sees and touches nothing of another's, by the API or by the endpoint of objects; and a session no more than its role
/// allows.
@Suite struct IsolationTests {
    /// What each operation says to a stranger who names what is another's.
    @Test func aStrangerIsToldThatNothingIsThere() throws {
        let harness = try ServiceHarness()
        let stranger = try harness.stranger()
        let image = try harness.addImage()
        let service = harness.service()
        try service.whileRunning {
            let done = try service.export(image, by: harness.principal)
            #expect(try service.end(of: done).status == .finished)
            let key = "\(image)_system.raw.tar.gz"
            let refusals: [(String, [String: String], String)] = [
                ("ExportImage", ["ImageId": image, "OSSBucket": "strange-exports"], "InvalidImageId.NotFound"),
                ("DescribeTaskAttribute", ["TaskId": done], "InvalidTaskId.NotFound"),
                ("CancelTask", ["TaskId": done], "InvalidTaskId.NotFound"),
                ("VerifyExportedObject", ["TaskId": done, "OSSObject": key], "InvalidTaskId.NotFound"),
                ("DescribeExportedObjects", ["TaskId": done], "InvalidTaskId.NotFound"),
                (
                    "ImportImage",
                    ["DiskDeviceMapping.1.OSSBucket": ServiceHarness.bucket, "DiskDeviceMapping.1.OSSObject": key],
                    "InvalidOSSBucket.NotFound"
                ),
            ]
            for (action, parameters, code) in refusals {
                let error = #expect(throws: APIError.self, "\(action)") {
                    try service.ask(action, parameters, by: stranger)
                }
                #expect(error?.code == code, "\(action)")
                // It is the same as for what nobody has.
                let nobodys = parameters.mapValues { ($0 == image ? "m-none" : $0 == done ? "tsk-none" : $0) }
                let other = #expect(throws: APIError.self) { try service.ask(action, nobodys, by: stranger) }
                if action != "ImportImage" { #expect(other == error, "\(action)") }
            }
            for (action, list) in [
                ("DescribeImages", "Images"), ("DescribeTasks", "TaskSet"), ("DescribeExportedObjects", "Objects"),
            ] {
                let answer = try service.ask(action, by: stranger)
                #expect(answer.number("TotalCount") == 0 && answer.items(list).isEmpty, "\(action)")
                #expect(try service.ask(action, by: harness.principal).number("TotalCount") == 1, "\(action)")
            }
            let buckets = try service.ask("DescribeBuckets", by: stranger).items("Buckets")
            #expect(buckets.map { $0.string("Name") } == ["strange-exports"])
            let own = try harness.addImage(of: stranger.accountID)
            let error = #expect(throws: APIError.self) { try service.export(own, by: stranger) }
            #expect(error?.code == "InvalidOSSBucket.NotFound")
        }
    }

    @Test func aSessionMayWhatItsRoleMay() throws {
        let harness = try ServiceHarness()
        let image = try harness.addImage([ErrorCodeTests.small])
        let other = try harness.addImage([ErrorCodeTests.small])
        try harness.state.setRole(
            "Exporter", ofAccount: harness.account.id,
            trustPolicy: """
                {"Version":"1","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",
                "Principal":{"RAM":["acs:ram::\(harness.account.id):root"]}}]}
                """)
        try harness.state.setPolicy(
            "one-image", ofAccount: harness.account.id,
            document: """
                {"Version":"1","Statement":[{"Effect":"Allow","Action":"ecs:ExportImage",
                "Resource":"acs:ecs:*:*:image/\(image)"}]}
                """)
        try harness.state.attachPolicy("one-image", toRole: "Exporter", ofAccount: harness.account.id)
        let service = harness.service()
        let answer = try service.ask(
            "AssumeRole",
            ["RoleArn": "acs:ram::\(harness.account.id):role/Exporter", "RoleSessionName": "ci-1"],
            by: harness.principal, version: "2015-04-01")
        let credentials = try #require(answer.object("Credentials"))
        let id = try #require(credentials.string("AccessKeyId"))
        let key = try #require(try service.signingKey(id))
        #expect(key.tokenSHA256 != nil && key.principal.roleName == "Exporter")
        #expect(answer.object("AssumedRoleUser")?.string("Arn")?.hasSuffix("role/Exporter/ci-1") == true)
        _ = try service.export(image, by: key.principal)
        for (action, parameters) in [
            ("ExportImage", ["ImageId": other, "OSSBucket": ServiceHarness.bucket]), ("DescribeTasks", [:]),
            ("DescribeImages", [:]), ("DescribeBuckets", [:]), ("CancelTask", ["TaskId": "tsk-1"]),
        ] {
            let error = #expect(throws: APIError.self) { try service.ask(action, parameters, by: key.principal) }
            #expect(error?.code == "Forbidden.RAM" && error?.status == 403, "\(action)")
        }
        harness.clock.advance(3601)
        let late = #expect(throws: APIError.self) { try service.export(image, by: key.principal) }
        #expect(late?.code == "Forbidden.RAM")
    }

    @Test(arguments: [
        (["RoleArn": "acs:ram::1111111111111111:role/x"], "NoPermission"), (["RoleArn": "x"], "InvalidParameter"),
        (["RoleSessionName": "x"], "InvalidParameter"), (["RoleSessionName": "-"], "MissingParameter"),
        (["ExternalId": "12"], "InvalidParameter"), (["DurationSeconds": "10"], "InvalidParameter"),
    ]) func aRoleIsNotAssumedOtherwise(parameters: [String: String], code: String) throws {
        let harness = try ServiceHarness()
        let all = [
            "RoleArn": "acs:ram::\(harness.account.id):role/\(SystemPolicies.exportRole)", "RoleSessionName": "name",
        ].merging(parameters) { $1 }
        let error = #expect(throws: APIError.self) {
            try harness.service().ask("AssumeRole", all, by: harness.principal, version: "2015-04-01")
        }
        #expect(error?.code == code)
    }

    // MARK: The endpoint of objects

    /// A client of the embedded endpoint with a key of the service.
    private func client(
        _ server: OSSServer, _ bucket: String, _ credentials: Credentials
    ) throws -> OSSBucket {
        try OSSBucket(
            bucket, OSSConfiguration(endpoint: server.endpoint, region: "cn-hangzhou", addressing: .pathStyle),
            credentials)
    }

    private func credentials(_ harness: ServiceHarness, _ principal: Principal) throws -> Credentials {
        let key = try #require(try harness.state.signingKey(principal.accessKeyID))
        return Credentials(accessKeyID: principal.accessKeyID, accessKeySecret: key.secret)
    }

    /// Runs a body on a thread of its own, with the endpoint beside it.
    private func whileServing(
        _ harness: ServiceHarness, _ body: @escaping @Sendable (OSSServer) throws -> Void
    ) async throws {
        var configuration = OSSServerConfiguration()
        configuration.access = AccountAccess(
            state: harness.state, buckets: DirectoryBuckets(store: harness.store), regionID: ServiceHarness.region)
        // The sessions of the tests are of this time.
        harness.clock.advance(UInt64(Date().timeIntervalSince1970) - harness.clock.now)
        let server = try await OSSServer.start(harness.store, configuration)
        let result: Result<Void, any Error> = await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: Result { try body(server) }) }
        }
        await server.stop(patience: 1)
        try result.get()
    }

    private static func refusal(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch let error as StoreError {
            return error.serverCode ?? error.code.rawValue
        } catch {
            return "\(error)"
        }
    }

    @Test func oneAccountTouchesNothingOfAnothers() async throws {
        let harness = try ServiceHarness()
        let stranger = try harness.stranger()
        let key = try ObjectKey("secret")
        _ = try harness.bucketOfExports.put(ObjectBody([1, 2, 3]), to: key, .init(), replacing: true)
        try await whileServing(harness) { server in
            let own = try client(server, ServiceHarness.bucket, try credentials(harness, harness.principal))
            let theirs = try client(server, ServiceHarness.bucket, try credentials(harness, stranger))
            #expect(try own.get(key, range: 0..<3, tag: nil) == [1, 2, 3])
            let upload = try own.initiate(try ObjectKey("big"), .init(), partLength: 0, replacing: true)
            let refusals: [String: String?] = [
                "get": Self.refusal { _ = try theirs.get(key, range: 0..<3, tag: nil) },
                "put": Self.refusal { _ = try theirs.put(ObjectBody([9]), to: key, .init(), replacing: true) },
                "list": Self.refusal { _ = try theirs.list(prefix: "", after: nil, count: 10) },
                "delete": Self.refusal { try theirs.delete(key) },
                "uploads": Self.refusal { _ = try theirs.uploads(prefix: "") },
                "initiate": Self.refusal { _ = try theirs.initiate(key, .init(), partLength: 0, replacing: true) },
                "part": Self.refusal { _ = try theirs.upload(ObjectBody([1]), asPart: 1, of: upload) },
                "parts": Self.refusal { _ = try theirs.parts(of: upload) },
                "abort": Self.refusal { try theirs.abort(upload) },
                "info": Self.refusal { _ = try theirs.properties() },
            ]
            for (name, code) in refusals { #expect(code == "AccessDenied", "\(name)") }
            #expect(
                Self.refusal { try theirs.createBucket() } == "bucket-exists"
                    || Self.refusal { try theirs.createBucket() } == "BucketAlreadyExists")
            #expect(try own.get(key, range: 0..<3, tag: nil) == [1, 2, 3])
            try own.abort(upload)
        }
    }

    /// A copy is signed for the bucket that it goes into; where it comes from is in a header.
    @Test func aCopyOutOfAnothersBucketIsRefused() async throws {
        let harness = try ServiceHarness()
        let stranger = try harness.stranger()
        _ = try harness.bucketOfExports.put(ObjectBody([1, 2, 3]), to: ObjectKey("secret"), .init(), replacing: true)
        try await whileServing(harness) { server in
            for source in ["/exports/secret", "exports/secret", "/exports/%73ecret"] {
                for query in [[], [QueryItem("partNumber", "1"), QueryItem("uploadId", "1")]] {
                    let answer = try request(
                        server, "PUT", "strange-exports", "copy", query: query,
                        headers: [HeaderField("x-oss-copy-source", source)], try credentials(harness, stranger))
                    #expect(answer.status == 403 && answer.body.contains("AccessDenied"), "\(source) \(query)")
                }
            }
            let list = try request(server, "GET", nil, nil, try credentials(harness, stranger))
            #expect(list.status == 200 && list.body.contains("<Name>strange-exports</Name>"))
            #expect(!list.body.contains("<Name>exports</Name>"))
            let many = try request(
                server, "POST", ServiceHarness.bucket, nil, query: [QueryItem("delete")],
                content: "<Delete><Object><Key>secret</Key></Object></Delete>", try credentials(harness, stranger))
            #expect(many.status == 403, "\(many)")
            let unknown = try request(server, "GET", "nobodys-bucket", "k", try credentials(harness, stranger))
            #expect(unknown.status == 404 && unknown.body.contains("NoSuchBucket"))
        }
        #expect(try harness.keys() == ["secret"])
        #expect(
            try harness.store.bucket(BucketName("strange-exports")).list(prefix: "", after: nil, count: 9).entries
                .isEmpty)
    }

    @Test func aBucketThatIsMadeIsItsMakers() async throws {
        let harness = try ServiceHarness()
        let stranger = try harness.stranger()
        _ = try harness.store.ensureBucket(BucketName("left-behind"))
        try await whileServing(harness) { server in
            let made = try client(server, "made-here", try credentials(harness, harness.principal))
            try made.createBucket()
            #expect(try harness.state.bucket("made-here")?.accountID == harness.account.id)
            let other = try client(server, "made-here", try credentials(harness, stranger))
            #expect(Self.refusal { _ = try other.list(prefix: "", after: nil, count: 1) } == "AccessDenied")
            // A directory that is nobody's does not become the first comer's.
            let left = try client(server, "left-behind", try credentials(harness, stranger))
            #expect(Self.refusal { try left.createBucket() } != nil)
            #expect(try harness.state.bucket("left-behind") == nil)
            let gone = try request(server, "DELETE", "made-here", nil, try credentials(harness, harness.principal))
            #expect(gone.status == 204)
            #expect(try harness.state.bucket("made-here") == nil)
        }
    }

    @Test func aSessionOfTheEndpointMayWhatItsRoleMay() async throws {
        let harness = try ServiceHarness()
        try harness.state.setRole(
            "Reader", ofAccount: harness.account.id,
            trustPolicy: """
                {"Version":"1","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",
                "Principal":{"RAM":["acs:ram::\(harness.account.id):root"]}}]}
                """)
        try harness.state.setPolicy(
            "read", ofAccount: harness.account.id,
            document: """
                {"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:GetObject",
                "Resource":"acs:oss:*:*:exports/public-*"}]}
                """)
        try harness.state.attachPolicy("read", toRole: "Reader", ofAccount: harness.account.id)
        let bucket = try harness.bucketOfExports
        for name in ["public-1", "private-1"] {
            _ = try bucket.put(ObjectBody([7]), to: ObjectKey(name), .init(), replacing: true)
        }
        try await whileServing(harness) { server in
            let session = try harness.state.assumeRole(
                SessionRequest(
                    roleARN: "acs:ram::\(harness.account.id):role/Reader", sessionName: "s1"), by: harness.principal)
            let right = Credentials(
                accessKeyID: session.accessKeyID, accessKeySecret: session.secret, securityToken: session.token)
            let reader = try client(server, ServiceHarness.bucket, right)
            #expect(try reader.get(ObjectKey("public-1"), range: 0..<1, tag: nil) == [7])
            #expect(
                Self.refusal { _ = try reader.get(ObjectKey("private-1"), range: 0..<1, tag: nil) } == "AccessDenied")
            #expect(Self.refusal { try reader.delete(ObjectKey("public-1")) } == "AccessDenied")
            #expect(Self.refusal { _ = try reader.list(prefix: "", after: nil, count: 1) } == "AccessDenied")
            for token in [nil, "wrong"] {
                let wrong = Credentials(
                    accessKeyID: session.accessKeyID, accessKeySecret: session.secret, securityToken: token)
                let thief = try client(server, ServiceHarness.bucket, wrong)
                #expect(
                    Self.refusal { _ = try thief.get(ObjectKey("public-1"), range: 0..<1, tag: nil) }
                        == "InvalidSecurityToken")
            }
            try harness.state.setKey(harness.principal.accessKeyID, isActive: false)
            let disabled = try client(
                server, ServiceHarness.bucket,
                Credentials(
                    accessKeyID: harness.principal.accessKeyID,
                    accessKeySecret: try #require(
                        try harness.state.keys().first { $0.id == harness.principal.accessKeyID }
                    )
                    .secret))
            #expect(
                Self.refusal { _ = try disabled.get(ObjectKey("public-1"), range: 0..<1, tag: nil) }
                    == "InvalidAccessKeyId")
        }
    }

    /// Who may do all else may not let everybody in.
    @Test func aListIsSetByWhoMaySetLists() async throws {
        let harness = try ServiceHarness()
        let bucket = try harness.bucketOfExports
        for name in ["old", "closed"] {
            _ = try bucket.put(ObjectBody([7]), to: ObjectKey(name), .init(), replacing: true)
        }
        try bucket.setAttributes(
            ObjectAttributes(acl: "private"), of: ObjectKey("closed"), tag: bucket.head(ObjectKey("closed")).tag)
        try await whileServing(harness) { server in
            let writer = try session(
                harness, allow: "\"oss:*\"", deny: "[\"oss:PutBucketAcl\",\"oss:PutObjectAcl\"]")
            let own = try credentials(harness, harness.principal)
            let upload = try client(server, ServiceHarness.bucket, writer).initiate(
                ObjectKey("parts"), .init(), partLength: 0, replacing: true)
            let id = QueryItem("uploadId", upload.id)
            let part = try request(
                server, "PUT", ServiceHarness.bucket, "parts", query: [QueryItem("partNumber", "1"), id], content: "x",
                writer)
            #expect(part.status == 200)
            let copy = HeaderField("x-oss-copy-source", "/exports/old")
            let itself = HeaderField("x-oss-copy-source", "/exports/closed")
            let all = HeaderField("x-oss-complete-all", "yes")
            let exports = ServiceHarness.bucket
            // The list that is there, and that which means none, take the right as well.
            let ways: [(String, String, String?, [QueryItem], [HeaderField], lists: [String])] = [
                ("PUT", exports, nil, [QueryItem("acl")], [], ["public-read", "private"]),
                ("PUT", exports, nil, [], [], ["public-read", "private"]),
                ("PUT", "made-open", nil, [], [], ["public-read-write", "private"]),
                ("PUT", exports, "old", [QueryItem("acl")], [], ["public-read", "default"]),
                ("PUT", exports, "new", [], [], ["public-read", "default"]),
                ("PUT", exports, "copy", [], [copy], ["public-read"]),
                ("PUT", exports, "closed", [], [itself], ["public-read"]),
                ("POST", exports, "parts", [QueryItem("uploads")], [], ["public-read"]),
                ("POST", exports, "parts", [id], [all], ["public-read"]),
            ]
            for (method, bucket, key, query, headers, lists) in ways {
                for list in lists {
                    let field = HeaderField(key == nil ? "x-oss-acl" : "x-oss-object-acl", list)
                    let answer = try request(
                        server, method, bucket, key, query: query, headers: headers + [field], writer)
                    #expect(
                        answer.status == 403 && answer.body.contains("AccessDenied"),
                        "\(method) \(bucket)/\(key ?? "") \(list): \(answer)")
                }
            }
            #expect(try harness.bucketOfExports.settings()["acl"] ?? "private" == "private")
            #expect(try harness.keys() == ["closed", "old"])
            #expect(try harness.bucketOfExports.head(ObjectKey("old")).attributes.acl == nil)
            #expect(try harness.bucketOfExports.head(ObjectKey("closed")).attributes.acl == "private")
            #expect(try harness.state.bucket("made-open") == nil)
            // Without a list they do all of it, and none of it says anything of lists.
            for (method, bucket, key, query, headers, _) in ways where !query.contains(QueryItem("acl")) {
                let answer = try request(server, method, bucket, key, query: query, headers: headers, writer)
                #expect(answer.status == 200, "\(method) \(bucket)/\(key ?? ""): \(answer)")
            }
            #expect(try harness.bucketOfExports.head(ObjectKey("closed")).attributes.acl == "private")
            // And the account itself may.
            for (method, bucket, key, query, headers, lists) in ways where query != [id] {
                let field = HeaderField(key == nil ? "x-oss-acl" : "x-oss-object-acl", lists[0])
                let answer = try request(server, method, bucket, key, query: query, headers: headers + [field], own)
                #expect(answer.status == 200, "\(method) \(bucket)/\(key ?? ""): \(answer)")
            }
            #expect(try harness.bucketOfExports.settings()["acl"] == "public-read")
            #expect(try harness.bucketOfExports.head(ObjectKey("new")).attributes.acl == "public-read")
        }
    }

    /// What is said of an object when its upload ends stands before what was said when it began.
    @Test func aListThatComesWithACompletionIsSet() async throws {
        let harness = try ServiceHarness()
        try await whileServing(harness) { server in
            let own = try credentials(harness, harness.principal)
            let upload = try client(server, ServiceHarness.bucket, own).initiate(
                ObjectKey("parts"), ObjectAttributes(acl: "private"), partLength: 0, replacing: true)
            let id = QueryItem("uploadId", upload.id)
            for (method, query, headers) in [
                ("PUT", [QueryItem("partNumber", "1"), id], []),
                (
                    "POST", [id],
                    [HeaderField("x-oss-complete-all", "yes"), HeaderField("x-oss-object-acl", "public-read")]
                ),
            ] {
                let answer = try request(
                    server, method, ServiceHarness.bucket, "parts", query: query, headers: headers,
                    content: method == "PUT" ? "x" : "", own)
                #expect(answer.status == 200, "\(answer)")
            }
            #expect(try harness.bucketOfExports.head(ObjectKey("parts")).attributes.acl == "public-read")
        }
    }

    /// Where everybody may write, what is written is all that they say.
    @Test func whoHasNoKeySetsNoList() async throws {
        let harness = try ServiceHarness()
        try harness.bucketOfExports.setSettings(["acl": "public-read-write"])
        try await whileServing(harness) { server in
            for (field, status) in [("x-oss-object-acl: private\r\n", "403"), ("", "200")] {
                let answer = try PlainExchange.send(
                    "PUT /exports/anybodys HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\(field)Content-Length: 1\r\n\r\nx",
                    port: server.port)
                #expect(answer.hasPrefix("HTTP/1.1 \(status)"), "\(answer)")
            }
        }
        #expect(try harness.bucketOfExports.head(ObjectKey("anybodys")).attributes.acl == nil)
    }

    /// The key of a session with a policy of this kind.
    private func session(_ harness: ServiceHarness, allow: String, deny: String) throws -> Credentials {
        let account = harness.account.id
        try harness.state.setRole(
            "Writer", ofAccount: account,
            trustPolicy: """
                {"Version":"1","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",
                "Principal":{"RAM":["acs:ram::\(account):root"]}}]}
                """)
        try harness.state.setPolicy(
            "write", ofAccount: account,
            document: """
                {"Version":"1","Statement":[{"Effect":"Allow","Action":\(allow),"Resource":"*"},
                {"Effect":"Deny","Action":\(deny),"Resource":"*"}]}
                """)
        try harness.state.attachPolicy("write", toRole: "Writer", ofAccount: account)
        let session = try harness.state.assumeRole(
            SessionRequest(roleARN: "acs:ram::\(account):role/Writer", sessionName: "s1"), by: harness.principal)
        return Credentials(
            accessKeyID: session.accessKeyID, accessKeySecret: session.secret, securityToken: session.token)
    }

    /// One signed request on a connection of its own.
    private func request(
        _ server: OSSServer, _ method: String, _ bucket: String?, _ key: String?, query: [QueryItem] = [],
        headers: [HeaderField] = [], content: String = "", _ credentials: Credentials
    ) throws -> (status: Int, body: String) {
        var wire = WireRequest(method: method, bucket: bucket, key: key, query: query, headers: headers)
        OSSSignatureV4.sign(&wire, credentials, region: "cn-hangzhou", at: UInt64(Date().timeIntervalSince1970))
        var target = "/\(bucket.map { "\($0)/" } ?? "")\(key ?? "")"
        if !query.isEmpty { target += "?\(QueryItem.render(query))" }
        var text = "\(method) \(target) HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        for header in wire.headers { text += "\(header.name): \(header.value)\r\n" }
        if ["PUT", "POST"].contains(method) { text += "Content-Length: \(content.utf8.count)\r\n" }
        let answer = try PlainExchange.send(text + "\r\n" + content, port: server.port)
        let halves = answer.split(separator: "\r\n\r\n", maxSplits: 1, omittingEmptySubsequences: false)
        let status = halves[0].split(separator: " ").dropFirst().first.flatMap { Int($0) }
        return (status ?? 0, halves.count == 2 ? String(halves[1]) : "")
    }
}
