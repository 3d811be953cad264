import ECSWire
import Foundation
import OSSWire
import Testing

/// What operations answer, and how it is written.
@Suite struct AnswerTests {
    @Test func fieldsKeepTheirOrderAndNilAddsNone() {
        var answer: AnswerObject = ["RegionId": "cn-hangzhou"]
        answer.add("PageNumber", 1)
        answer.add("TaskGroupId", nil)
        #expect(answer.fields.map(\.name) == ["RegionId", "PageNumber"])
        #expect(answer["PageNumber"] == .number(1))
    }

    private static let tasks: AnswerObject = [
        "RequestId": "C8B26B44-0189-443E-9816-D951F5960000", "PageNumber": 1, "Flag": true,
        "TaskSet": .list(item: "Task", [.object(["TaskId": "tsk-1"]), .object(["TaskId": "tsk-2", "Size": -5])]),
        "Tags": .list(item: "Tag", []), "Codes": .list(item: "Code", ["a", "b"]),
    ]

    @Test func listsAreContainersInXML() {
        let text = String(decoding: Self.tasks.rendered(as: .xml, action: "DescribeTasks"), as: UTF8.self)
        #expect(
            text == """
                <?xml version="1.0" encoding="UTF-8"?>
                <DescribeTasksResponse><RequestId>C8B26B44-0189-443E-9816-D951F5960000</RequestId><PageNumber>1</PageNumber>\
                <Flag>true</Flag><TaskSet><Task><TaskId>tsk-1</TaskId></Task><Task><TaskId>tsk-2</TaskId><Size>-5</Size></Task>\
                </TaskSet><Tags></Tags><Codes><Code>a</Code><Code>b</Code></Codes></DescribeTasksResponse>

                """)
    }

    @Test func listsAreContainersInJSON() {
        let text = String(decoding: Self.tasks.rendered(as: .json, action: "DescribeTasks"), as: UTF8.self)
        #expect(
            text == #"{"RequestId":"C8B26B44-0189-443E-9816-D951F5960000","PageNumber":1,"Flag":true,"#
                + #""TaskSet":{"Task":[{"TaskId":"tsk-1"},{"TaskId":"tsk-2","Size":-5}]},"Tags":{"Tag":[]},"#
                + #""Codes":{"Code":["a","b"]}}"#)
        #expect(AnswerObject().rendered(as: .json, action: "X") == Array("{}".utf8))
    }

    static let hostile = [
        "</Name><Admin>true</Admin>", "\",\"Admin\":true,\"x\":\"", "]]><Admin/>", "&lt;&amp;&#0;", "\\",
        "\u{0}\u{1B}[2J",
        "line\r\nX-Header: 1", "\u{FFFE}\u{FFFF}\u{2028}", "é雪\u{1F600}e\u{301}", "\t tab ", "<!--", "${x}", "\u{7F}",
    ]

    @Test(arguments: hostile) func textsComeBackAsTheyWereFromJSON(text: String) throws {
        let answer: AnswerObject = ["Name": .text(text), text: "x"]
        let bytes = answer.rendered(as: .json, action: "Test")
        let read = try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: String])
        #expect(read["Name"]?.unicodeScalars.elementsEqual(text.unicodeScalars) == true)
        #expect(read.count == 2)
        #expect(!bytes.contains { $0 < 0x20 || $0 == UInt8(ascii: "<") })
    }

    /// XML has no characters for some; they become U+FFFD.
    @Test(arguments: hostile) func textsComeBackFromXML(text: String) throws {
        let answer: AnswerObject = ["Name": .text(text), "Other": "x"]
        let tree = try XMLTree(parsing: answer.rendered(as: .xml, action: "Test"))
        #expect(tree.name == "TestResponse" && tree.children.map(\.name) == ["Name", "Other"])
        let expected = text.unicodeScalars.map { scalar -> Unicode.Scalar in
            switch scalar {
            case "\t", "\n", "\r": scalar
            case "\u{0}"..<" ", "\u{FFFE}", "\u{FFFF}": "\u{FFFD}"
            default: scalar
            }
        }
        #expect(tree["Name"]?.text.unicodeScalars.elementsEqual(expected) == true)
    }
}

@Suite struct ErrorBodyTests {
    private static let body = APIErrorBody(
        .missingParameter("RegionId"), requestID: "8906582E-6722-409A-A6C4-0E7863B733A5", hostID: "127.0.0.1:8080")

    @Test func errorsInXMLHaveWhatTheVendorsHave() {
        #expect(
            String(decoding: Self.body.rendered(as: .xml), as: UTF8.self) == """
                <?xml version="1.0" encoding="UTF-8"?>
                <Error><RequestId>8906582E-6722-409A-A6C4-0E7863B733A5</RequestId><HostId>127.0.0.1:8080</HostId>\
                <Code>MissingParameter</Code><Message>The input parameter &quot;RegionId&quot; that is mandatory for processing \
                this request is not supplied.</Message><Recommend><![CDATA[https://error-center.aliyun.com/status/search?\
                Keyword=MissingParameter&source=PopGw]]></Recommend></Error>

                """)
    }

    @Test func errorsInJSONHaveTheSame() throws {
        let read = try #require(
            try JSONSerialization.jsonObject(with: Data(Self.body.rendered(as: .json))) as? [String: String])
        #expect(
            read == [
                "RequestId": "8906582E-6722-409A-A6C4-0E7863B733A5", "HostId": "127.0.0.1:8080",
                "Code": "MissingParameter",
                "Message":
                    "The input parameter \"RegionId\" that is mandatory for processing this request is not supplied.",
                "Recommend": "https://error-center.aliyun.com/status/search?Keyword=MissingParameter&source=PopGw",
            ])
    }

    @Test(arguments: AnswerTests.hostile) func nothingBreaksOutOfAnError(text: String) throws {
        let body = APIErrorBody(APIError(400, text, text), requestID: text, hostID: text)
        let tree = try XMLTree(parsing: body.rendered(as: .xml))
        #expect(tree.children.map(\.name) == ["RequestId", "HostId", "Code", "Message", "Recommend"])
        let read = try JSONSerialization.jsonObject(with: Data(body.rendered(as: .json))) as? [String: String]
        #expect(read?.count == 5 && read?["Message"]?.unicodeScalars.elementsEqual(text.unicodeScalars) == true)
    }

    @Test(arguments: ["]]>", "]]]]>>", "a]]>b]]>", "]]", "]>", "]]\u{301}>", "]]>\u{301}"])
    func aCDATASectionKeepsItsText(text: String) throws {
        var writer = XMLWriter(root: "R")
        writer.characterDataElement("E", text)
        let tree = try XMLTree(parsing: writer.bytes)
        #expect(tree["E"]?.text.unicodeScalars.elementsEqual(text.unicodeScalars) == true)
    }

    /// What the vendor's clients look at: some of them retry by the status, some by the code.
    @Test func statusesAreThoseOfTheVendor() {
        let expected: [(APIError, Int, String)] = [
            (.accessKeyNotFound, 404, "InvalidAccessKeyId.NotFound"),
            (.accessKeyInactive, 400, "InvalidAccessKeyId.Inactive"),
            (.malformedTimestamp, 400, "InvalidTimeStamp.Format"), (.expiredTimestamp, 400, "InvalidTimeStamp.Expired"),
            (.nonceUsed, 400, "SignatureNonceUsed"),
            (.signatureDoesNotMatch(stringToSign: ""), 400, "SignatureDoesNotMatch"),
            (.throttled(retryAfterSeconds: 1), 400, "Throttling.User"), (.internalError("x"), 500, "InternalError"),
            (.unavailable("x"), 503, "ServiceUnavailable"), (.actionNotFound, 404, "InvalidAction.NotFound"),
            (.unsupportedMethod, 405, "UnsupportedHTTPMethod"), (.missingSecurityToken, 400, "MissingSecurityToken"),
            (.malformedSecurityToken, 400, "InvalidSecurityToken.Malformed"),
            (.mismatchedSecurityToken, 400, "InvalidSecurityToken.MismatchWithAccessKey"),
            (.expiredSecurityToken, 400, "InvalidSecurityToken.Expired"),
        ]
        for (error, status, code) in expected { #expect(error.status == status && error.code == code) }
        #expect(!APIError.internalError("/secret/path").message.contains("/secret/path"))
    }
}
