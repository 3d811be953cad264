import ECSServer
import ECSWire
import Foundation
import OSSWire
import Testing

/// Whose requests reach the backend, and what all others are told.
@Suite struct AdmissionTests {
    private static let ways: [(RPCCall.SignatureVersion, String, Bool)] = [
        (.v1, "GET", false), (.v1, "POST", false), (.v1, "POST", true), (.v3, "GET", false), (.v3, "POST", false),
        (.v3, "POST", true),
    ]

    @Test(arguments: ways) func aSignedRequestIsCarriedOut(
        version: RPCCall.SignatureVersion, method: String, usesForm: Bool
    ) async throws {
        try await withGateway { own in
            for format in [AnswerFormat.xml, .json] {
                var call = own.call("ExportImage", ["ImageId": "m-1", "OSSPrefix": "a b+c", "Empty": ""])
                (call.method, call.usesForm, call.format) = (method, usesForm, format)
                let answer = try await own.send(own.signed(call, version))
                #expect(answer.status == 200, "\(answer.testDescription)")
                #expect(answer.header("Content-Type") == format.contentType)
                let id = try #require(answer.field("RequestId"))
                #expect(
                    answer.header("x-acs-request-id") == id && answer.header("Content-Length") == "\(answer.body.count)"
                )
                #expect(id.wholeMatch(of: /[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}/) != nil)
                #expect(answer.field("TaskId") == "tsk-1" && answer.field("ExportTaskId") == "tsk-1")
                let request = try #require(own.backend.requests.last)
                #expect(request.action == "ExportImage" && request.version == "2014-05-26" && request.requestID == id)
                #expect(request.principal.accountID == FakeBackend.account && request.principal.accessKeyID == "AKID")
                #expect(request.parameters["OSSPrefix"] == "a b+c" && request.parameters["Empty"] == "")
            }
        }
    }

    @Test func twoRequestsHaveTwoIDs() async throws {
        try await withGateway { own in
            let first = try await own.send(own.signed(own.call("DescribeRegions")))
            let second = try await own.send(own.signed(own.call("DescribeRegions")))
            #expect(first.field("RequestId") != second.field("RequestId"))
        }
    }

    /// - Returns: the answer, in XML.
    private func expectRefusal(
        _ own: OwnGateway, _ call: SignedCall, _ status: Int, _ code: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let before = own.backend.requests.count
        let answer = try await own.send(call)
        #expect(
            answer.status == status && answer.code == code, "\(answer.testDescription)", sourceLocation: sourceLocation)
        #expect(answer.field("RequestId") == answer.header("x-acs-request-id"), sourceLocation: sourceLocation)
        #expect(answer.field("HostId") == own.host, sourceLocation: sourceLocation)
        #expect(own.backend.requests.count == before, "it was carried out", sourceLocation: sourceLocation)
        for secret in ["top-secret", "sts-secret", "/secret/path"] {
            #expect(!answer.text.contains(secret), sourceLocation: sourceLocation)
        }
    }

    @Test func nothingUnsignedReachesTheBackend() async throws {
        try await withGateway { own in
            for method in ["GET", "POST"] {
                let bare = SignedCall(method: method, target: "/", headers: [HeaderField("Host", own.host)], body: [])
                try await expectRefusal(own, bare, 400, "MissingParameter")
                var call = bare
                call.target = "/?Action=ExportImage&Version=2014-05-26&ImageId=m-1"
                try await expectRefusal(own, call, 400, "MissingParameter")
            }
            #expect(own.backend.lookups == 0 && own.backend.expiries.isEmpty)
        }
    }

    @Test(arguments: RPCCall.SignatureVersion.allCases)
    func whoIsNotProvedIsRefused(version: RPCCall.SignatureVersion) async throws {
        try await withGateway { own in
            let call = own.call("ExportImage")
            let wrong = Credentials(accessKeyID: "AKID", accessKeySecret: "guess")
            try await expectRefusal(own, own.signed(call, version, wrong), 400, "SignatureDoesNotMatch")
            let nobody = Credentials(accessKeyID: "NOBODY", accessKeySecret: "x")
            try await expectRefusal(own, own.signed(call, version, nobody), 404, "InvalidAccessKeyId.NotFound")
            let disabled = Credentials(accessKeyID: "DISABLED", accessKeySecret: "x")
            try await expectRefusal(own, own.signed(call, version, disabled), 400, "InvalidAccessKeyId.Inactive")
            let broken = Credentials(accessKeyID: "BROKEN", accessKeySecret: "x")
            try await expectRefusal(own, own.signed(call, version, broken), 500, "InternalError")
            var tampered = own.signed(call, version)
            tampered.target += tampered.target.contains("?") ? "&ImageId=m-2" : "?ImageId=m-2"
            try await expectRefusal(own, tampered, 400, "SignatureDoesNotMatch")
            // No nonce was used up by any of them.
            #expect(own.backend.expiries.isEmpty)
        }
    }

    /// Which the vendor's older client compares with its own, to tell a wrong secret from a broken request.
    @Test func aWrongSignatureIsToldWhatWasToBeSigned() async throws {
        try await withGateway { own in
            var call = own.call("ExportImage", ["ImageId": "<m&1>"])
            call.format = .xml
            let signed = own.signed(call, .v1, Credentials(accessKeyID: "AKID", accessKeySecret: "guess"))
            let message = try #require(try await own.send(signed).field("Message"))
            let text = try #require(message.split(separator: ":").last)
            #expect(message.split(separator: ":").count == 2)
            #expect(
                text.hasPrefix(
                    "POST&%2F&AccessKeyId%3DAKID%26Action%3DExportImage%26Format%3DXML%26ImageId%3D%253Cm%25261%253E"))
        }
    }

    @Test(arguments: RPCCall.SignatureVersion.allCases)
    func clocksMayBeAQuarterOfAnHourApart(version: RPCCall.SignatureVersion) async throws {
        try await withGateway { own in
            for seconds: Int64 in [-900, 900] {
                let answer = try await own.send(own.signed(own.call("DescribeRegions"), version, later: seconds))
                #expect(answer.status == 200, "\(answer.testDescription)")
            }
            // Until then, and not a second less, the same signature would be taken again.
            #expect(own.backend.expiries.sorted() == [own.backend.now + 1, own.backend.now + 1801])
            for seconds: Int64 in [-901, 901, -86_400, 86_400 * 365] {
                let call = own.signed(own.call("DescribeRegions"), version, later: seconds)
                try await expectRefusal(own, call, 400, "InvalidTimeStamp.Expired")
            }
        }
    }

    @Test func aTimeThatIsNoneIsRefused() async throws {
        try await withGateway { own in
            var call = own.signed(own.call("DescribeRegions"))
            for place in call.headers.indices where call.headers[place].name == "x-acs-date" {
                call.headers[place].value = "Fri, 26 Oct 2023 10:22:32 GMT"
            }
            try await expectRefusal(own, call, 400, "InvalidTimeStamp.Format")
        }
    }

    @Test(arguments: RPCCall.SignatureVersion.allCases)
    func aRequestCountsOnce(version: RPCCall.SignatureVersion) async throws {
        try await withGateway { own in
            let call = own.signed(own.call("ExportImage"), version, nonce: "n-1")
            #expect(try await own.send(call).status == 200)
            try await expectRefusal(own, call, 400, "SignatureNonceUsed")
            let again = own.signed(own.call("CancelTask"), version, later: 5, nonce: "n-1")
            try await expectRefusal(own, again, 400, "SignatureNonceUsed")
            #expect(try await own.send(own.signed(own.call("ExportImage"), version, nonce: "n-2")).status == 200)
        }
    }

    /// Else whoever guesses a nonce could spoil it for its owner.
    @Test func aWrongSignatureUsesUpNoNonce() async throws {
        try await withGateway { own in
            let wrong = Credentials(accessKeyID: "AKID", accessKeySecret: "guess")
            try await expectRefusal(
                own, own.signed(own.call("ExportImage"), .v3, wrong, nonce: "n-1"), 400, "SignatureDoesNotMatch")
            #expect(try await own.send(own.signed(own.call("ExportImage"), nonce: "n-1")).status == 200)
        }
    }

    /// Of twenty copies that come at the same time, one is carried out.
    @Test func copiesAtTheSameTimeCountOnce() async throws {
        try await withGateway { own in
            let call = own.signed(own.call("ExportImage"))
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<20 { group.addTask { try await own.send(call).status } }
                return try await group.reduce(into: [Int]()) { $0.append($1) }
            }
            #expect(statuses.filter { $0 == 200 }.count == 1 && statuses.filter { $0 == 400 }.count == 19)
            #expect(own.backend.requests.count == 1)
        }
    }

    @Test(arguments: RPCCall.SignatureVersion.allCases)
    func aTemporaryKeyComesWithItsToken(version: RPCCall.SignatureVersion) async throws {
        try await withGateway { own in
            let call = own.call("DescribeRegions")
            func key(_ id: String, _ secret: String, _ token: String?) -> Credentials {
                Credentials(accessKeyID: id, accessKeySecret: secret, securityToken: token)
            }
            #expect(try await own.send(own.signed(call, version, FakeBackend.temporary)).status == 200)
            try await expectRefusal(
                own, own.signed(call, version, key("STS.1", "sts-secret", nil)), 400, "MissingSecurityToken")
            try await expectRefusal(
                own, own.signed(call, version, key("STS.1", "sts-secret", "CAIS/+tokem")), 400,
                "InvalidSecurityToken.MismatchWithAccessKey")
            try await expectRefusal(
                own, own.signed(call, version, key("AKID", "top-secret", "CAIS/+token=")), 400,
                "InvalidSecurityToken.MismatchWithAccessKey")
            try await expectRefusal(
                own, own.signed(call, version, FakeBackend.expired), 400, "InvalidSecurityToken.Expired")
            // A token alone proves nothing, nor does it tell whether it was right.
            try await expectRefusal(
                own, own.signed(call, version, key("STS.1", "guess", "CAIS/+token=")), 400, "SignatureDoesNotMatch")
            try await expectRefusal(
                own, own.signed(call, version, key("STS.1", "sts-secret", "<>")), 400, "InvalidSecurityToken.Malformed")
        }
    }

    @Test func theServicesOwnErrorsAreItsOwn() async throws {
        try await withGateway { own in
            for format in [AnswerFormat.xml, .json] {
                var call = own.call("CancelTask")
                call.format = format
                let answer = try await own.send(own.signed(call, .v1))
                #expect(answer.status == 403 && answer.code == "InvalidTaskId.IncorrectTaskStatus")
                #expect(answer.field("Message") == "The specified task status is invalid.")
                #expect(answer.field("Recommend")?.contains("InvalidTaskId.IncorrectTaskStatus") == true)
                #expect(answer.header("Content-Type") == format.contentType)
            }
            let unknown = try await own.send(own.signed(own.call("RunInstances")))
            #expect(unknown.status == 404 && unknown.code == "InvalidAction.NotFound")
            let broken = try await own.send(own.signed(own.call("DescribeImages")))
            #expect(broken.status == 500 && broken.code == "InternalError" && !broken.text.contains("/secret/path"))
        }
    }

    @Test func aKeyThatAsksTooOftenWaits() async throws {
        let clock = TestClock(1_700_000_000)
        try await withGateway({
            $0.requestsPerSecond = 2
            $0.clock = clock.now
        }) { own in
            for _ in 0..<4 { #expect(try await own.send(own.signed(own.call("DescribeRegions"))).status == 200) }
            let refused = try await own.send(own.signed(own.call("DescribeRegions")))
            #expect(refused.status == 400 && refused.code == "Throttling.User")
            #expect(refused.header("x-acs-retry-after") == "1000" && refused.header("Retry-After") == "1")
            // Others are not held up by it.
            #expect(
                try await own.send(own.signed(own.call("DescribeRegions"), .v1, FakeBackend.temporary)).status == 200)
            #expect(own.backend.requests.count == 5)
            clock.advance(1)
            for status in [200, 200, 400] {
                #expect(try await own.send(own.signed(own.call("DescribeRegions"))).status == status)
            }
            // A clock that is put back holds nobody up for longer.
            clock.advance(-60)
            #expect(try await own.send(own.signed(own.call("DescribeRegions"))).status == 400)
            clock.advance(1)
            #expect(try await own.send(own.signed(own.call("DescribeRegions"))).status == 200)
        }
    }
}
