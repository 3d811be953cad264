import ECSServer
import ECSWire
import Foundation
import OSSWire
import Testing

/// What no honest client sends: it gets a clear answer or none, reaches nothing, and the server goes on.
@Suite struct HostileRequestTests {
    private func head(_ line: String, _ fields: String...) -> String {
        "\(line) HTTP/1.1\r\nHost: 127.0.0.1\r\n" + fields.map { "\($0)\r\n" }.joined() + "\r\n"
    }

    private func expectUntouched(_ own: OwnGateway, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        #expect(own.backend.requests.isEmpty && own.backend.expiries.isEmpty, sourceLocation: sourceLocation)
        let answer = try await own.send(own.signed(own.call("DescribeRegions")))
        #expect(answer.status == 200, "\(answer.testDescription)", sourceLocation: sourceLocation)
    }

    private static let form = "Content-Type: application/x-www-form-urlencoded"

    @Test func whatIsTooLongIsRefusedAndTheConnectionClosed() async throws {
        try await withGateway { own in
            let answer = try await own.exchange(head("POST /", Self.form, "Content-Length: 65537"))
            #expect(
                answer.status == 413 && answer.code == "RequestBodyTooLarge" && answer.header("Connection") == "close")
            let long = String(repeating: "x", count: 65_536)
            let query = try await own.exchange(head("GET /?A=\(long)"))
            #expect(query.status == 413 && query.code == "RequestBodyTooLarge")
            let both = try await own.exchange(
                head("POST /?A=\(long.dropLast(10))", Self.form, "Content-Length: 20"),
                body: Array("01234567890123456789".utf8))
            #expect(both.status == 413)
            let header = try await own.exchange(head("GET /", "X-Long: \(long)\(long)"))
            #expect(header.status == 400 && header.code == nil)
            let fields = (0..<200).map { "X-\($0): y" }.joined(separator: "\r\n")
            #expect(try await own.exchange(head("GET /", fields)).status == 400)
            try await expectUntouched(own)
        }
    }

    /// A gigabyte is announced and a part of it sent: the refusal arrives, and the connection ends.
    @Test(arguments: ["Content-Length: 1000000000", "Transfer-Encoding: chunked"])
    func aBodyThatIsTooLongIsNotReadToItsEnd(framing: String) async throws {
        try await withGateway { own in
            let port = own.server.port
            let head = head("POST /", Self.form, framing)
            let chunk = framing.hasPrefix("T") ? "100000\r\n" : ""
            let answer = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(head + chunk)
                let piece = [UInt8](repeating: UInt8(ascii: "x"), count: 65_536)
                for _ in 0..<4 { try connection.send(piece) }
                let answer = try connection.answer()
                connection.endSending()
                #expect(connection.waitForEnd())
                return answer
            }
            #expect(answer.status == 413 && answer.header("Connection") == "close")
            try await expectUntouched(own)
        }
    }

    @Test func aBodyInChunksIsRead() async throws {
        try await withGateway { own in
            var call = own.call("ExportImage", ["ImageId": "m-1", "OSSBucket": "bkt"])
            call.usesForm = true
            for version in RPCCall.SignatureVersion.allCases {
                let signed = own.signed(call, version)
                let headers = signed.headers.map { "\($0.name): \($0.value)\r\n" }.joined()
                let chunks = stride(from: 0, to: signed.body.count, by: 7).map { start in
                    let piece = signed.body[start..<min(start + 7, signed.body.count)]
                    return "\(String(piece.count, radix: 16))\r\n\(String(decoding: piece, as: UTF8.self))\r\n"
                }
                let answer = try await own.exchange(
                    "POST / HTTP/1.1\r\n\(headers)Transfer-Encoding: chunked\r\n\r\n\(chunks.joined())0\r\nX-Trailer: y\r\n\r\n"
                )
                #expect(answer.status == 200, "\(answer.testDescription)")
                #expect(own.backend.requests.last?.parameters["OSSBucket"] == "bkt")
            }
        }
    }

    @Test func aClientThatAsksFirstIsToldToGoOn() async throws {
        try await withGateway { own in
            var call = own.call("ExportImage", ["ImageId": "m-1"])
            call.usesForm = true
            let signed = own.signed(call)
            let port = own.server.port
            try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(signed.text(["Expect: 100-continue"]))
                #expect(try connection.answer().status == 100)
                try connection.send(signed.body)
                #expect(try connection.answer().status == 200)
                // What would be refused is not asked for.
                let other = try RawConnection(port: port)
                try other.send(
                    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\nExpect: 100-continue\r\n\r\n")
                #expect(try other.answer().status == 413)
                let odd = try RawConnection(port: port)
                try odd.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: tea\r\n\r\n")
                #expect(try odd.answer().status == 417)
            }
        }
    }

    @Test func requestsOnOneConnectionAreAnsweredInOrder() async throws {
        try await withGateway { own in
            let port = own.server.port
            let calls = (0..<50).map { number in
                own.signed(
                    own.call(number % 3 == 0 ? "Unknown" : "ExportImage", ["Number": "\(number)"]),
                    number % 2 == 0 ? .v1 : .v3)
            }
            let statuses = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(calls.map { $0.text() }.joined())
                return try calls.map { _ in try connection.answer().status }
            }
            #expect(statuses == (0..<50).map { $0 % 3 == 0 ? 404 : 200 })
            #expect(own.backend.requests.map { $0.parameters["Number"] } == (0..<50).map { "\($0)" })
            #expect(own.backend.mostAtOnce == 1)
        }
    }

    @Test func whatFollowsAShorterBodyIsNoPartOfIt() async throws {
        try await withGateway { own in
            let port = own.server.port
            var call = own.call("ExportImage", ["ImageId": "m-1"])
            call.usesForm = true
            let signed = own.signed(call)
            let ended = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(Array(signed.text().utf8) + signed.body + Array("&ImageId=m-2\r\n\r\n".utf8))
                #expect(try connection.answer().status == 200)
                return connection.waitForEnd()
            }
            #expect(ended && own.backend.requests.count == 1)
        }
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n123",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n123",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n123",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n123",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n123",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n123",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0 not a request\r\n\r\n", "GET  /\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n", "GET /\0y HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", "GET /?A=é HTTP/1.1\r\nHost: h\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]) func whatIsNoHTTPEndsTheConnection(text: String) async throws {
        try await withGateway { own in
            let port = own.server.port
            let ended = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(text)
                connection.endSending()
                return connection.waitForEnd()
            }
            #expect(ended)
            try await expectUntouched(own)
        }
    }

    @Test(arguments: [
        "GET /?Action=%FF", "GET /?A=1&A=2", "GET /?%", "GET /?A=%0D%0AX-Injected:%201%00", "GET /?=1",
        "GET /?Format=YAML&Action=A", "GET /?Action=A%0D%0AX-Injected:1&Version=1&AccessKeyId=A",
    ]) func whatIsNoRequestIsToldSo(line: String) async throws {
        try await withGateway { own in
            let answer = try await own.exchange(head(line))
            #expect(answer.status == 400 && answer.code?.isEmpty == false, "\(answer.testDescription)")
            #expect(answer.header("X-Injected") == nil && answer.header("Content-Type") == "text/xml;charset=utf-8")
            try await expectUntouched(own)
        }
    }

    @Test(arguments: [("HEAD", 405), ("PUT", 405), ("DELETE", 405), ("OPTIONS", 405), ("PATCH", 405), ("PURGE", 405)])
    func otherMethodsAreRefused(method: String, status: Int) async throws {
        try await withGateway { own in
            let answer = try await own.exchange(head("\(method) /?Action=ExportImage", "Content-Length: 0"))
            #expect(answer.status == status && answer.header("Allow") == "GET, POST")
            try await expectUntouched(own)
        }
    }

    @Test func aBodyThatIsNoFormIsRefused() async throws {
        try await withGateway { own in
            for type in ["application/json", "text/xml", "multipart/form-data; boundary=x"] {
                let answer = try await own.exchange(
                    head("POST /?Format=JSON", "Content-Type: \(type)", "Content-Length: 2"), body: Array("{}".utf8))
                #expect(answer.status == 415 && answer.header("Content-Type") == "application/json;charset=utf-8")
            }
            try await expectUntouched(own)
        }
    }

    @Test(arguments: ["", "Host: a\r\nHost: b\r\n", "Host: a\r\nHost: a\r\n", "Host: \r\n"])
    func theHostIsThereOnce(fields: String) async throws {
        try await withGateway { own in
            let answer = try await own.exchange("GET /?Action=A HTTP/1.1\r\n\(fields)\r\n")
            #expect(answer.status == 400, "\(answer.testDescription)")
            try await expectUntouched(own)
        }
    }

    @Test func aHostThatIsNoneIsNotRepeated() async throws {
        try await withGateway { own in
            let answer = try await own.exchange("GET / HTTP/1.1\r\nHost: <script>alert(1)</script>\r\n\r\n")
            #expect(answer.status == 400 && answer.field("HostId") == "" && !answer.text.contains("script"))
        }
    }

    /// Every value that an answer or a log may show comes back as text, or not at all.
    @Test(arguments: ["ImageId", "RegionId", "OSSBucket", "OSSPrefix", "RoleName", "ImageFormat", "Anything"])
    func parametersCantBreakOutOfAnswers(name: String) async throws {
        try await withGateway { own in
            let value = "</Code>\r\nX-Injected: 1\r\n\r\n]]>\"}"
            for format in [AnswerFormat.xml, .json] {
                var call = own.call("ExportImage", [name: value])
                call.format = format
                let wrong = Credentials(accessKeyID: "AKID", accessKeySecret: "guess")
                let answer = try await own.send(own.signed(call, .v1, wrong))
                #expect(answer.code == "SignatureDoesNotMatch" && answer.header("X-Injected") == nil)
                let right = try await own.send(own.signed(call, .v1))
                #expect(right.status == 200 && own.backend.requests.last?.parameters[name] == value)
            }
        }
    }

    @Test func aClientThatGoesAwayIsForgotten() async throws {
        try await withGateway { own in
            let port = own.server.port
            try await onThread {
                for _ in 0..<50 {
                    let connection = try RawConnection(port: port)
                    try connection.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nsome")
                }
            }
            try await expectUntouched(own)
            for _ in 0..<3000 {
                if try await own.get("/metrics").text.contains("lathe_api_requests_abandoned_total 50\n") { break }
                try await Task.sleep(for: .milliseconds(10))
            }
            let text = try await own.get("/metrics").text
            #expect(text.contains("lathe_api_requests_in_flight 0\n"))
            #expect(text.contains("lathe_api_requests_abandoned_total 50\n"))
        }
    }
}
