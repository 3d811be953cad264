import ExportService
import Testing

/// What RAM policies allow.
@Suite struct PolicyTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var policies: [String]
        var action: String
        var decision: PolicyDocument.Decision

        init(_ policies: [String], _ action: String, _ decision: PolicyDocument.Decision) {
            (self.policies, self.action, self.decision) = (policies, action, decision)
        }

        var testDescription: String { "\(action) is \(decision) by \(policies)" }
    }

    @Test(arguments: [
        Case([], "oss:PutObject", .unmentioned),
        Case([policy("Allow", "\"*\"", "\"*\"")], "oss:PutObject", .allowed),
        Case([policy("Allow", "\"oss:*\"", "\"*\"")], "oss:PutObject", .allowed),
        Case([policy("Allow", "\"oss:*\"", "\"*\"")], "ecs:ExportImage", .unmentioned),
        // The case of actions does not matter, that of resources does.
        Case([policy("Allow", "\"OSS:putobject\"", "\"*\"")], "oss:PutObject", .allowed),
        Case([policy("Allow", "\"oss:*\"", "\"acs:oss:*:*:DISKS/*\"")], "oss:PutObject", .unmentioned),
        Case([policy("Allow", "[\"oss:Get*\",\"oss:Put*\"]", "\"*\"")], "oss:PutObject", .allowed),
        Case([policy("Allow", "\"oss:Get?bject\"", "\"*\"")], "oss:GetObject", .allowed),
        Case([policy("Allow", "\"oss:GetObject?\"", "\"*\"")], "oss:GetObject", .unmentioned),
        // A pattern is of the whole name.
        Case([policy("Allow", "\"oss:Get\"", "\"*\"")], "oss:GetObject", .unmentioned),
        Case([policy("Allow", "\"oss:*\"", "\"acs:oss:*:*:disks\"")], "oss:PutObject", .unmentioned),
        Case([policy("Allow", "\"oss:*\"", "\"acs:oss:*:*:disks/*\"")], "oss:PutObject", .allowed),
        Case([policy("Allow", "\"oss:*\"", "\"acs:oss:*:2:disks/*\"")], "oss:PutObject", .unmentioned),
        Case(
            [policy("Allow", "\"oss:*\"", "[\"acs:oss:*:*:other/*\",\"acs:oss:*:1:disks/a*\"]")], "oss:PutObject",
            .allowed),
        // A denial stands, wherever it stands.
        Case(
            [policy("Deny", "\"oss:PutObject\"", "\"*\""), policy("Allow", "\"*\"", "\"*\"")], "oss:PutObject", .denied),
        Case(
            [policy("Allow", "\"*\"", "\"*\""), policy("Deny", "\"oss:PutObject\"", "\"*\"")], "oss:PutObject", .denied),
        Case(
            [policy("Allow", "\"*\"", "\"*\""), policy("Deny", "\"oss:*\"", "\"acs:oss:*:*:secret/*\"")],
            "oss:PutObject",
            .allowed),
        Case([policy("Deny", "\"oss:PutObject\"", "\"*\"")], "oss:GetObject", .unmentioned),
        // One statement that is no list.
        Case(
            [#"{"Version":"1","Statement":{"Effect":"Allow","Action":"oss:*","Resource":"*"}}"#], "oss:PutObject",
            .allowed),
    ]) func aPolicyDecides(_ example: Case) throws {
        let policies = try example.policies.map { try PolicyDocument(json: $0) }
        #expect(
            PolicyDocument.decision(policies, example.action, on: "acs:oss:oss-cn-hangzhou:1:disks/a.raw")
                == example.decision)
    }

    @Test(arguments: [
        (#"{"Version":"1","Statement":[{"Effect":"Allow","NotAction":"oss:*","Resource":"*"}]}"#, "NotAction"),
        (#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","NotResource":"*"}]}"#, "NotResource"),
        (
            #"{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{}}]}"#, "Condition"
        ),
        (#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Principal":{}}]}"#, "Principal"),
        (#"{"Version":"2","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#, "Version"),
        (#"{"Version":1,"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#, "Version"),
        (#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#, "Version"),
        (#"{"Version":"1"}"#, "no Statement"), (#"{"Version":"1","Statement":[]}"#, "no Statement"),
        (#"{"Version":"1","Statement":["Allow"]}"#, "statement is an object"),
        (#"{"Version":"1","Statement":[{"Action":"*","Resource":"*"}]}"#, "no Effect"),
        (#"{"Version":"1","Statement":[{"Effect":"allow","Action":"*","Resource":"*"}]}"#, "Effect"),
        (#"{"Version":"1","Statement":[{"Effect":"Allow","Action":[],"Resource":"*"}]}"#, "Action is empty"),
        (#"{"Version":"1","Statement":[{"Effect":"Allow","Action":[1],"Resource":"*"}]}"#, "a number"),
        (#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"PutObject","Resource":"*"}]}"#, "PutObject"),
        (#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"bucket"}]}"#, "bucket"),
        (#"{"Version":"1","Statement":[{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}]}"#, "twice"),
        (#"{"Version":"1","Id":"x","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#, "'Id'"),
        ("", "too early"), ("[]", "object"), ("{\"Version\":\"1\",", "missing"), ("null", "object"),
        (String(repeating: "[", count: 3000), "stand in each other"),
        (policy("Allow", "\"*\"", "\"acs:\(String(repeating: "x", count: 7000))\""), "bytes"),
    ]) func whatWouldNotBeEvaluatedIsRefused(_ json: String, _ word: String) throws {
        let failure = message { _ = try PolicyDocument(json: json) }
        #expect(failure.contains(word), "\(failure)")
    }

    /// Against this text, a matcher that tries all ways takes longer than the universe is old.
    @Test(.timeLimit(.minutes(1))) func manyWildcardsAreMatchedInTime() throws {
        let pattern = "acs:" + String(repeating: "*a", count: 1000) + "b"
        let document = try PolicyDocument(json: policy("Allow", "\"*\"", "\"\(pattern)\""))
        let resource = "acs:" + String(repeating: "a", count: 4000)
        #expect(PolicyDocument.decision([document], "oss:PutObject", on: resource) == .unmentioned)
        #expect(PolicyDocument.decision([document], "oss:PutObject", on: resource + "b") == .allowed)
    }

    private static let trust =
        #"{"Version":"1","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":"#

    @Test func aTrustPolicyNamesServicesAccountsAndRoles() throws {
        let services = try TrustPolicy(json: Self.trust + #"{"Service":["ecs.aliyuncs.com","x.aliyuncs.com"]}}]}"#)
        #expect(services.allows(.service("ecs.aliyuncs.com")))
        #expect(!services.allows(.service("fc.aliyuncs.com")))
        #expect(!services.allows(.account("1234567890123456")))

        let root = try TrustPolicy(json: Self.trust + #"{"RAM":"acs:ram::1234567890123456:root"}}]}"#)
        #expect(root.allows(.account("1234567890123456")))
        #expect(root.allows(.role(accountID: "1234567890123456", name: "any")))
        #expect(!root.allows(.account("1234567890123457")))
        #expect(!root.allows(.service("ecs.aliyuncs.com")))

        let role = try TrustPolicy(json: Self.trust + #"{"RAM":["acs:ram::1234567890123456:role/Build"]}}]}"#)
        #expect(role.allows(.role(accountID: "1234567890123456", name: "build")))
        #expect(!role.allows(.role(accountID: "1234567890123456", name: "other")))
        #expect(!role.allows(.account("1234567890123456")))
    }

    @Test func aDenialOfTrustStands() throws {
        let policy = try TrustPolicy(
            json: #"""
                {"Version":"1","Statement":[
                {"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"RAM":"acs:ram::1234567890123456:root"}},
                {"Effect":"Deny","Action":"sts:AssumeRole","Principal":{"RAM":"acs:ram::1234567890123456:role/bad"}}]}
                """#)
        #expect(policy.allows(.role(accountID: "1234567890123456", name: "good")))
        #expect(!policy.allows(.role(accountID: "1234567890123456", name: "bad")))
    }

    @Test(arguments: [
        #"{"RAM":"*"}}]}"#, #"{"RAM":"acs:ram::*:root"}}]}"#, #"{"RAM":"acs:ram::12:root"}}]}"#,
        #"{"RAM":"acs:ram::1234567890123456:user/me"}}]}"#, #"{"Federated":["x"]}}]}"#, #""*"}]}"#, #"{}}]}"#,
    ]) func aPrincipalThatNobodyKnowsIsRefused(_ end: String) {
        #expect(code { _ = try TrustPolicy(json: Self.trust + end) } == .invalid)
    }

    @Test func whatTheVendorGivesIsUnderstood() throws {
        #expect(try TrustPolicy(json: SystemPolicies.trustOfECS).allows(.service("ecs.aliyuncs.com")))
    }
}
