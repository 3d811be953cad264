import ECSWire
import ExportService
import OSSWire
import Testing

/// Keys, roles and sessions.
@Suite struct AccessTests {
    private let fixture: Fixture
    private var state: ServiceState { fixture.state }

    init() throws { fixture = try Fixture() }

    private func principal(_ account: String) -> Principal { Principal(accountID: account, accessKeyID: "LTAI") }

    @Test func aKeyIsGoodWhileItIsActive() throws {
        let account = try fixture.account()
        let key = try state.makeKey(ofAccount: account)
        let signing = try #require(try state.signingKey(key.id))
        #expect(signing.secret == key.secret)
        #expect(signing.expires == nil && signing.tokenSHA256 == nil)
        #expect(signing.principal == Principal(accountID: account, accessKeyID: key.id))
        try state.setKey(key.id, isActive: false)
        #expect(try state.signingKey(key.id) == nil)
        try state.setKey(key.id, isActive: true)
        #expect(try state.signingKey(key.id) != nil)
        try state.removeKey(key.id)
        #expect(try state.signingKey(key.id) == nil)
        #expect(code { try state.removeKey(key.id) } == .notFound)
    }

    @Test func aSecretStandsInNoDescription() throws {
        let key = try state.makeKey(ofAccount: fixture.account(), id: "LTAI5tExample", secret: "very-secret-text")
        for text in ["\(key)", String(reflecting: key), String(describing: [key])] {
            #expect(!text.contains("very-secret"))
            #expect(text.contains("LTAI5tExample"))
        }
        #expect(
            message { _ = try state.makeKey(ofAccount: key.accountID, id: "LTAI5tOther", secret: "spaced secret") }
                .contains("spaced secret") == false)
    }

    @Test(arguments: ["STS.NTabc", "a", "with space", "quote'", "nul\0nul", String(repeating: "x", count: 129)])
    func anIDThatNoKeyHasIsRefused(_ id: String) throws {
        let account = try fixture.account()
        #expect(code { _ = try state.makeKey(ofAccount: account, id: id) } == .invalid)
    }

    @Test func aNonceIsTakenOnceAKeyUntilItEnds() throws {
        let end = fixture.clock.now + 900
        #expect(try state.claimNonce("n", of: "k", expires: end))
        #expect(try !state.claimNonce("n", of: "k", expires: end))
        #expect(try state.claimNonce("n", of: "other", expires: end))
        #expect(try state.claimNonce("N", of: "k", expires: end))
        fixture.clock.advance(900)
        #expect(try !state.claimNonce("n", of: "k", expires: end + 900))
        fixture.clock.advance(1)
        #expect(try state.claimNonce("n", of: "k", expires: end + 1800))
        #expect(try state.claimNonce("'); DROP TABLE nonce; --", of: "\0", expires: .max))
    }

    @Test func whatHasEndedIsPurged() throws {
        let account = try fixture.account()
        try state.setRole("role", ofAccount: account, trustPolicy: Self.trust(account))
        let session = try state.assumeRole(
            SessionRequest(roleARN: "acs:ram::\(account):role/role", sessionName: "me", durationSeconds: 900),
            by: principal(account))
        for number in 0..<50 { _ = try state.claimNonce("\(number)", of: "k", expires: fixture.clock.now + 10) }
        #expect(try state.purge() == 0)
        fixture.clock.advance(901)
        #expect(try state.purge() == 50)
        // It is told for a day that it has ended.
        let ended = try #require(try state.signingKey(session.accessKeyID)?.expires)
        #expect(ended < fixture.clock.now)
        fixture.clock.advance(24 * 3600)
        #expect(try state.purge() == 1)
        #expect(try state.signingKey(session.accessKeyID) == nil)
    }

    private static func trust(_ account: String) -> String {
        #"{"Version":"1","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":"#
            + #"{"RAM":["acs:ram::\#(account):root"]}}]}"#
    }

    @Test func aSessionMayWhatItsRoleAndItsPolicyBothAllow() throws {
        let account = try fixture.account()
        try state.setRole("Release", ofAccount: account, trustPolicy: Self.trust(account))
        try state.setPolicy("all-of-oss", ofAccount: account, document: policy("Allow", "\"oss:*\"", "\"*\""))
        try state.attachPolicy("all-of-oss", toRole: "release", ofAccount: account)
        let issued = try state.assumeRole(
            SessionRequest(
                roleARN: "acs:ram::\(account):role/Release", sessionName: "ci@1",
                policy: policy("Allow", "\"*\"", "\"acs:oss:*:*:disks/*\"")), by: principal(account))
        #expect(issued.accessKeyID.hasPrefix("STS."))
        #expect(issued.expires == fixture.clock.now + 3600)
        #expect(issued.assumedRoleARN == "acs:ram::\(account):role/Release/ci@1")
        let key = try #require(try state.signingKey(issued.accessKeyID))
        #expect(key.secret == issued.secret && key.expires == issued.expires)
        #expect(key.tokenSHA256?.count == 64 && key.tokenSHA256 != issued.token)
        #expect(key.principal.roleName == "Release")

        let authorization = try state.authorization(of: key.principal)
        #expect(authorization.allows("oss:PutObject", on: "acs:oss:oss-cn-hangzhou:\(account):disks/a"))
        #expect(!authorization.allows("oss:PutObject", on: "acs:oss:oss-cn-hangzhou:\(account):other/a"))
        #expect(!authorization.allows("ecs:ExportImage", on: "acs:oss:oss-cn-hangzhou:\(account):disks/a"))
        // What the role loses, its sessions lose.
        try state.detachPolicy("all-of-oss", fromRole: "Release", ofAccount: account)
        let less = try state.authorization(of: key.principal)
        #expect(!less.allows("oss:PutObject", on: "acs:oss:oss-cn-hangzhou:\(account):disks/a"))
        fixture.clock.advance(3600)
        try state.attachPolicy("all-of-oss", toRole: "Release", ofAccount: account)
        let ended = try state.authorization(of: key.principal)
        #expect(!ended.allows("oss:PutObject", on: "acs:oss:oss-cn-hangzhou:\(account):disks/a"))
        // With the role go its sessions.
        try state.removeRole("Release", ofAccount: account)
        #expect(try state.signingKey(issued.accessKeyID) == nil)
    }

    @Test func anAccountsOwnKeyMayDoEverything() throws {
        let authorization = try state.authorization(of: principal(fixture.account()))
        #expect(authorization.allows("ecs:ExportImage", on: "acs:ecs:cn-hangzhou:1:image/m-1"))
    }

    @Test func onlyWhoIsTrustedAssumesARole() throws {
        let owner = try fixture.account()
        let other = try state.makeAccount(name: "other").id
        try state.setRole("ecs-only", ofAccount: owner)
        try state.setRole("open", ofAccount: owner, trustPolicy: Self.trust(other), maxSessionSeconds: 7200)
        func attempt(_ role: String, by account: String, seconds: Int = 3600) -> StateError.Code? {
            code {
                _ = try state.assumeRole(
                    SessionRequest(
                        roleARN: "acs:ram::\(owner):role/\(role)", sessionName: "me", durationSeconds: seconds),
                    by: principal(account))
            }
        }
        #expect(attempt("open", by: other) == nil)
        #expect(attempt("open", by: other, seconds: 7200) == nil)
        #expect(attempt("open", by: other, seconds: 7201) == .invalid)
        #expect(attempt("open", by: other, seconds: 899) == .invalid)
        #expect(attempt("open", by: owner) == .forbidden)
        #expect(attempt("ecs-only", by: owner) == .forbidden)
        #expect(attempt("absent", by: owner) == .notFound)
        // Another account is not told which roles there are.
        #expect(attempt("absent", by: other) == .forbidden)
    }

    @Test(
        arguments: [
            ("acs:ram::x:role/r", "me", nil, "RoleArn"), ("role/r", "me", nil, "RoleArn"),
            ("acs:ram::1234567890123456:role/", "me", nil, "RoleArn"),
            ("acs:ram::1234567890123456:role/r", "m", nil, "RoleSessionName"),
            ("acs:ram::1234567890123456:role/r", "me you", nil, "RoleSessionName"),
            ("acs:ram::1234567890123456:role/r", "me", "{}", "Policy"),
            ("acs:ram::1234567890123456:role/r", "me", String(repeating: " ", count: 2049), "Policy"),
        ] as [(String, String, String?, String)])
    func aMalformedParameterOfASessionIsNamed(_ arn: String, _ name: String, _ policy: String?, _ subject: String)
        throws
    {
        let request = SessionRequest(roleARN: arn, sessionName: name, policy: policy)
        #expect {
            try state.assumeRole(request, by: principal("1234567890123456"))
        } throws: { error in
            (error as? StateError)?.code == .invalid && (error as? StateError)?.subject == subject
        }
    }

    @Test func anExportIsAllowedByTheRoleThatTheFirstStartMakes() throws {
        let setup = try #require(try state.setUp())
        func refusal(_ bucket: String, _ role: String = SystemPolicies.exportRole) throws -> RoleRefusal? {
            try state.exportRefusal(
                role: role, account: setup.accountID, region: "cn-hangzhou", bucket: bucket, keys: ["m-1_system.qcow2"])
        }
        let bucket = try #require(setup.bucket)
        #expect(try refusal(bucket) == nil)
        #expect(try refusal(bucket, "aliyunecsimageexportdefaultrole") == nil)
        #expect(try refusal(bucket, "other") == .noSuchRole)
        try state.setPolicy(
            SystemPolicies.exportPolicy, ofAccount: setup.accountID,
            document: policy("Allow", "\"oss:*\"", "[\"acs:oss:*:*:good\",\"acs:oss:*:*:good/*\",\"acs:oss:*:*:half\"]")
        )
        #expect(try refusal("good") == nil)
        #expect(
            try refusal("half")
                == .doesNotAllow(
                    action: "oss:GetObject",
                    resource: "acs:oss:oss-cn-hangzhou:\(setup.accountID):half/m-1_system.qcow2"))
        #expect(
            try refusal("bad")
                == .doesNotAllow(
                    action: "oss:GetBucketLocation", resource: "acs:oss:oss-cn-hangzhou:\(setup.accountID):bad"))
        try state.setRole(
            SystemPolicies.exportRole, ofAccount: setup.accountID, trustPolicy: Self.trust(setup.accountID))
        #expect(try refusal("good") == .isNotTrusting)
    }

    @Test func aPolicyThatARoleHasStays() throws {
        let account = try fixture.account()
        try state.setRole("r", ofAccount: account)
        #expect(code { try state.attachPolicy("p", toRole: "r", ofAccount: account) } == .notFound)
        try state.setPolicy("p", ofAccount: account, document: policy("Allow", "\"*\"", "\"*\""))
        try state.attachPolicy("p", toRole: "r", ofAccount: account)
        try state.attachPolicy("P", toRole: "R", ofAccount: account)
        #expect(try state.roles(ofAccount: account).map(\.policyNames) == [["p"]])
        #expect(code { try state.removePolicy("p", ofAccount: account) } == .inUse)
        try state.detachPolicy("p", fromRole: "r", ofAccount: account)
        #expect(code { try state.detachPolicy("p", fromRole: "r", ofAccount: account) } == .notFound)
        try state.removePolicy("p", ofAccount: account)
        #expect(try state.policies().isEmpty)
    }
}
