import ECSWire
import OSSWire
import Testing

/// Requests that are taken apart, and those that are not taken.
@Suite struct MessageTests {
    private static let form = [HeaderField("Content-Type", "application/x-www-form-urlencoded")]

    private func refusal(
        method: String = "POST", query: String = "", headers: [HeaderField] = form, body: String = ""
    ) -> APIError? {
        do throws(APIError) {
            _ = try RPCMessage(method: method, query: query, headers: headers, body: Array(body.utf8))
            return nil
        } catch {
            return error
        }
    }

    @Test func queryAndFormAreReadAlike() throws {
        let text = "A=a+b&B=a%20b&C=a%2Bb&D&E=&F=%e9%9b%aa&G=a=b&&H=%0A%09"
        let expected = [
            "A": "a b", "B": "a b", "C": "a+b", "D": "", "E": "", "F": "雪", "G": "a=b", "H": "\n\t",
        ]
        #expect(try RPCMessage(method: "GET", query: text, headers: [], body: []).parameters == expected)
        let message = try RPCMessage(method: "POST", query: "X=1", headers: Self.form, body: Array(text.utf8))
        #expect(message.parameters == expected.merging(["X": "1"]) { $1 })
        #expect(message.query == [QueryItem("X", "1")])
    }

    @Test(arguments: [
        ("A=1&A=2", ""), ("A=1", "A=1"), ("", "A&A"), ("%41=1&A=2", ""), ("%C3%A9=1&e%CC%81=2", ""),
    ])
    func aNameIsThereOnce(query: String, body: String) {
        let error = refusal(query: query, body: body)
        #expect(error?.code == "InvalidParameter" && error?.message.contains("more than once") == true)
    }

    @Test(arguments: [
        "A=%", "A=%4", "A=%zz", "%FF=1", "A=%C3", "A=%ED%A0%80", "A=%C0%AF", "A=%00", "A=%1B[31m", "A=%7F", "A=%C2%9B",
        "%0A=1", "A%0D%0AX=1", "=1",
    ])
    func whatIsNoTextIsRefused(text: String) {
        for error in [refusal(query: text), refusal(body: text)] {
            #expect(error?.status == 400 && error?.code == "InvalidParameter", "\(text)")
        }
    }

    @Test func limitsAreForQueryAndFormTogether() {
        let half = String(repeating: "x", count: 32 << 10)
        #expect(refusal(query: "A=" + half.dropLast(2), body: "B=" + half.dropLast(2)) == nil)
        #expect(refusal(query: "A=" + half.dropLast(2), body: "B=" + half.dropLast(1))?.status == 413)
        let names = (0..<400).map { "P\($0)=" }
        #expect(refusal(query: names[..<200].joined(separator: "&"), body: names[200...].joined(separator: "&")) == nil)
        #expect(refusal(query: "Q=&" + names.joined(separator: "&"))?.status == 400)
        #expect(refusal(query: names.joined(separator: "&"), body: "Q=")?.status == 400)
        #expect(refusal(query: String(repeating: "n", count: 128)) == nil)
        #expect(refusal(query: String(repeating: "n", count: 129))?.status == 400)
    }

    @Test(arguments: [
        [], [HeaderField("content-type", "application/json")],
        [HeaderField("content-type", "multipart/form-data; boundary=x")],
        [HeaderField("content-type", "application/x-www-form-urlencoded; charset=gbk")], form + form,
    ])
    func aBodyThatIsNoFormIsRefused(headers: [HeaderField]) {
        #expect(refusal(headers: headers, body: "A=1") == .unsupportedMediaType)
        #expect(refusal(headers: headers) == nil)
    }

    @Test func aFormMaySayItsCharacterSet() {
        for type in [
            "application/x-www-form-urlencoded; charset=UTF-8", "Application/X-WWW-Form-Urlencoded;charset=utf-8",
        ] {
            #expect(refusal(headers: [HeaderField("content-type", type)], body: "A=1") == nil)
        }
        #expect(throws: APIError.self) {
            try RPCMessage(method: "POST", query: "", headers: Self.form, body: [0x41, 0x3D, 0xFF])
        }
    }

    @Test(arguments: ["HEAD", "PUT", "DELETE", "get", "OPTIONS"]) func otherMethodsAreRefused(method: String) {
        #expect(refusal(method: method) == .unsupportedMethod)
    }
}

@Suite struct AnswerFormatTests {
    private func format(_ query: String, _ headers: [HeaderField] = []) throws -> AnswerFormat {
        let message = try RPCMessage(method: "GET", query: query, headers: headers, body: [])
        let format = try AnswerFormat(message)
        #expect(AnswerFormat(guessing: query, headers) == format)
        return format
    }

    @Test func theParameterDecidesWhateverItsCase() throws {
        for text in ["Format=JSON", "A=1&Format=json", "Format=Json"] { #expect(try format(text) == .json) }
        for text in ["Format=XML", "Format=xml", "", "Format="] { #expect(try format(text) == .xml) }
        let message = try RPCMessage(method: "GET", query: "Format=YAML", headers: [], body: [])
        #expect(throws: APIError.invalidParameter("Format", "it is XML or JSON")) { try AnswerFormat(message) }
        #expect(AnswerFormat(guessing: "Format=YAML", []) == .xml)
    }

    @Test func version3IsAnsweredInJSONUnlessItAcceptsXMLAlone() throws {
        let signed = HeaderField("Authorization", "ACS3-HMAC-SHA256 Credential=…")
        #expect(try format("", [signed]) == .json)
        #expect(try format("", [signed, HeaderField("accept", "application/json")]) == .json)
        #expect(try format("", [signed, HeaderField("accept", "*/*")]) == .json)
        #expect(try format("", [signed, HeaderField("accept", "text/xml")]) == .xml)
        #expect(try format("Format=XML", [signed]) == .xml)
        #expect(try format("", [HeaderField("accept", "application/json")]) == .xml)
    }

    @Test func typesAreToTheLetter() {
        #expect(AnswerFormat.xml.contentType == "text/xml;charset=utf-8")
        #expect(AnswerFormat.json.contentType == "application/json;charset=utf-8")
    }
}

@Suite struct APITimeTests {
    @Test func timesHaveNoFraction() {
        #expect(APITime.format(1_698_315_752) == "2023-10-26T10:22:32Z")
        #expect(APITime.parse("2023-10-26T10:22:32Z") == 1_698_315_752)
        for text in ["2023-10-26T10:22:32.000Z", "2023-10-26T10:22Z", "", "2023-10-26T10:22:32+", "20231026T102232Z"] {
            #expect(APITime.parse(text) == nil)
        }
    }
}
