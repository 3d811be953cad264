import Foundation
import LatheTestSupport
import OSSWire
import Testing

@Suite struct PercentEncodingTests {
    @Test func allButUnreservedCharactersIsEscaped() {
        #expect(PercentEncoding.encode("aZ09-._~ /+%é") == "aZ09-._~%20%2F%2B%25%C3%A9")
        #expect(PercentEncoding.encode("a/b c", keepingSlashes: true) == "a/b%20c")
    }

    @Test func whatIsEscapedIsDecoded() {
        let seed: UInt64 = 7
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            let text = String(
                (0..<20).map { _ in
                    Character(Unicode.Scalar(UInt32.random(in: 1..<0xD800, using: &generator)) ?? "x")
                })
            #expect(PercentEncoding.decode(PercentEncoding.encode(text)) == text, "seed \(seed)")
        }
        #expect(PercentEncoding.decode("a+b%2b") == "a+b+")
        #expect(PercentEncoding.decode("a+b%2B", plusIsSpace: true) == "a b+")
    }

    @Test(arguments: ["%", "%4", "%4g", "%%", "%FF", "%C3", "a%"])
    func malformedEscapesAreNil(text: String) { #expect(PercentEncoding.decode(text) == nil) }

    @Test func queriesAreParsed() {
        let items = [
            QueryItem("uploads"), QueryItem("a b", "c=d"), QueryItem("e", ""), QueryItem("", "x"),
            QueryItem("prefix", "a+b"),
        ]
        #expect(QueryItem.parse("uploads&a%20b=c=d&e=&&=x&prefix=a+b") == items)
        #expect(QueryItem.parse(QueryItem.render(items)) == items)
        #expect(QueryItem.parse("") == [] && QueryItem.parse("a=%") == nil)
    }

    @Test func headersAreFoundInAnyCase() {
        var request = WireRequest(method: "GET", headers: [HeaderField("ETag", "1"), HeaderField("etag", "2")])
        #expect(request.header("ETAG") == "1" && request.header("x") == nil)
        request.setHeader("eTag", "3")
        #expect(request.headers == [HeaderField("eTag", "3")])
    }
}

@Suite struct WireDateTests {
    @Test func datesAreWrittenInEveryForm() {
        #expect(HTTPDate.format(1_672_223_261) == "Wed, 28 Dec 2022 10:27:41 GMT")
        #expect(ISO8601.formatBasic(1_672_223_261) == "20221228T102741Z")
        #expect(ISO8601.format(1_330_072_952) == "2012-02-24T08:42:32.000Z")
        #expect(HTTPDate.format(0) == "Thu, 01 Jan 1970 00:00:00 GMT")
    }

    /// Foundation's calendar is the second opinion, over all years that have four digits.
    @Test func datesAgreeWithFoundation() throws {
        let seed: UInt64 = 99
        var generator = SeededGenerator(seed: seed)
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(identifier: "GMT")
        formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        let leapDays: [UInt64] = [951_782_400, 951_868_799, 951_868_800, 4_107_542_399, 4_107_542_400]
        let times = leapDays + (0..<500).map { _ in UInt64.random(in: 0...253_402_300_799, using: &generator) }
        for time in times {
            let text = HTTPDate.format(time)
            #expect(text == formatter.string(from: Date(timeIntervalSince1970: Double(time))), "seed \(seed)")
            #expect(HTTPDate.parse(text) == time)
            #expect(ISO8601.parseBasic(ISO8601.formatBasic(time)) == time)
            #expect(ISO8601.parse(ISO8601.format(time)) == time)
        }
    }

    @Test func aFractionIsDroppedAndMayBeAbsent() {
        #expect(ISO8601.parse("2012-02-24T08:42:32Z") == 1_330_072_952)
        #expect(ISO8601.parse("2012-02-24T08:42:32.123456789Z") == 1_330_072_952)
        #expect(ISO8601.parse("2016-12-31T23:59:60Z") == 1_483_228_799)
    }

    @Test(arguments: [
        "", "Z", "20221228T102741", "20221328T102741Z", "20221228 102741Z", "2022é228T10274Z", "2012-02-30T00:00:00Z",
        "2012-02-24T24:00:00Z", "2012-02-24T08:42Z", "2012-02-24T08:42:32.Z", "2012-02-24T08:42:32.1.2Z",
        "Wed, 28 Foo 2022 10:27:41 GMT", "Wed, 29 Feb 2022 10:27:41 GMT", "Wed, 28 Dec 2022 10:27:41 CET",
        "Wed 28 Dec 2022 10:27:41 GMT", "Wed, 28 Dec 99999 10:27:41 GMT", "Wed, 28 Dec 2022 10:27 GMT",
        "Wed, -1 Dec 2022 10:27:41 GMT", "+012-02-24T08:42:32Z",
    ])
    func whatIsNoDateIsNil(text: String) {
        #expect(HTTPDate.parse(text) == nil && ISO8601.parse(text) == nil && ISO8601.parseBasic(text) == nil)
    }
}

@Suite struct CredentialsTests {
    @Test func descriptionsShowNoSecret() {
        let credentials = Credentials(accessKeyID: "AKID", accessKeySecret: "GeHeIm", securityToken: "ToKeN")
        var dumped = ""
        dump(["x": credentials], to: &dumped)
        for text in ["\(credentials)", String(reflecting: credentials), "\(Optional(credentials) as Any)", dumped] {
            #expect(text.contains("AKID") && !text.contains("GeHeIm") && !text.contains("ToKeN"), "\(text)")
        }
    }

    @Test func signaturesAreComparedWhole() {
        #expect(ConstantTime.equal("abc", "abc") && ConstantTime.equal("", ""))
        #expect(!ConstantTime.equal("abc", "abd") && !ConstantTime.equal("abc", "ab") && !ConstantTime.equal("", "a"))
    }

    @Test func bytesComeBackFromTheirTexts() {
        #expect(Hexadecimal.encode([0, 0xAB, 0xFF]) == "00abff")
        #expect(Hexadecimal.decode("00abFF") == [0, 0xAB, 0xFF])
        #expect(Hexadecimal.decode("0") == nil && Hexadecimal.decode("0g") == nil)
        #expect(Base64.decode(Base64.encode([1, 2, 3])) == [1, 2, 3] && Base64.decode("*") == nil)
    }
}
