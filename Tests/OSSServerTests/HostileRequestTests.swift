import Foundation
import Glibc
import LatheTestSupport
import OSSServer
import OSSWire
import ObjectStorage
import Testing

/// What no honest client sends: it gets a clear answer or none, and the server goes on.
@Suite struct HostileRequestTests {
    private func head(_ line: String, _ fields: String...) -> String {
        "\(line) HTTP/1.1\r\nHost: 127.0.0.1\r\n" + fields.map { "\($0)\r\n" }.joined() + "\r\n"
    }

    private func expectAlive(_ own: OwnServer, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let answer = try await own.exchange(head("GET /disks/?bucketInfo"))
        #expect(answer.status == 200, "\(answer.testDescription)", sourceLocation: sourceLocation)
    }

    /// Sends it, ends the connection, and waits for the server to see that.
    private func sendAndGo(_ own: OwnServer, _ text: String) async throws {
        let port = own.server.port
        _ = try await onThread {
            let connection = try RawConnection(port: port)
            try connection.send(text)
            connection.endSending()
            return connection.waitForEnd()
        }
    }

    @Test(arguments: [
        "Content-Length: 100000\r\n\r\nonly this",
        "Transfer-Encoding: chunked\r\n\r\n10000\r\nonly this",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nonly\r\n",
        "Content-Length: 5000000\r\n\r\n" + String(repeating: "x", count: 2_000_000),
    ]) func aBodyThatIsCutOffLeavesNothing(rest: String) async throws {
        try await withServer(anonymous: true) { own in
            try await sendAndGo(own, "PUT /disks/cut HTTP/1.1\r\nHost: 127.0.0.1\r\n\(rest)")
            #expect(try await own.exchange(head("HEAD /disks/cut")).status == 404)
            #expect(try own.leftovers().isEmpty)
            let upload = try own.bucket.initiate(ObjectKey("cut"), .init(), partLength: 0, replacing: true)
            try await sendAndGo(
                own, "PUT /disks/cut?partNumber=1&uploadId=\(upload.id) HTTP/1.1\r\nHost: 127.0.0.1\r\n\(rest)")
            #expect(try own.bucket.parts(of: upload).isEmpty)
            try await expectAlive(own)
        }
    }

    @Test func aBodyWithoutALengthIsRefused() async throws {
        try await withServer(anonymous: true) { own in
            let answer = try await own.exchange(head("PUT /disks/x"))
            #expect(answer.status == 411 && answer.code == "MissingContentLength")
        }
    }

    @Test func whatFollowsAShorterBodyIsNoPartOfIt() async throws {
        try await withServer(anonymous: true) { own in
            let port = own.server.port
            let request = head("PUT /disks/x", "Content-Length: 3") + "123456\r\n\r\n"
            let ended = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(request)
                #expect(try connection.answer().status == 200)
                return connection.waitForEnd()
            }
            #expect(ended)
            #expect(try own.bucket.get(ObjectKey("x"), range: 0..<3, tag: nil) == Array("123".utf8))
            #expect(try own.bucket.head(ObjectKey("x")).length == 3)
            try await expectAlive(own)
        }
    }

    @Test(arguments: [
        "GET /disks/x HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n123",
        "PUT /disks/x HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n123",
        "PUT /disks/x HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n123",
        "PUT /disks/x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n123",
        "PUT /disks/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n123",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0 not a request\r\n\r\n",
        "GET  /disks/x\r\n\r\n",
        "GET /disks/x HTTP/9.9\r\n\r\n",
        "GET /disks/x HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /disks/x\0y HTTP/1.1\r\nHost: h\r\n\r\n",
    ]) func whatIsNoHTTPEndsTheConnection(text: String) async throws {
        try await withServer(anonymous: true) { own in
            let port = own.server.port
            let ended = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(text)
                connection.endSending()
                return connection.waitForEnd()
            }
            #expect(ended)
            #expect(try own.leftovers().isEmpty)
            #expect(try await own.exchange(head("HEAD /disks/x")).status == 404)
            try await expectAlive(own)
        }
    }

    @Test func headersHaveBounds() async throws {
        try await withServer(anonymous: true) { own in
            let long = String(repeating: "a", count: 1 << 20)
            let many = (0..<5000).map { "x-\($0): 1\r\n" }.joined()
            for text in [
                "GET /disks/\(long) HTTP/1.1\r\nHost: h\r\n\r\n", "GET /disks/x HTTP/1.1\r\nx: \(long)\r\n\r\n",
                "GET /disks/x HTTP/1.1\r\n\(long): 1\r\n\r\n", "GET /disks/x HTTP/1.1\r\n\(many)\r\n",
                "\(long)", "GET /disks/x HTTP/1.1\r\nHost: \(long)",
            ] {
                let port = own.server.port
                let ended = try await onThread {
                    let connection = try RawConnection(port: port)
                    try connection.send(text)
                    return connection.waitForEnd()
                }
                #expect(ended, "\(text.prefix(40))")
            }
            try await expectAlive(own)
        }
    }

    @Test(arguments: [
        ("GET", "/disks/%zz", "InvalidURI"), ("GET", "/disks/%f", "InvalidURI"), ("GET", "/disks/%ff%fe", "InvalidURI"),
        ("GET", "/disks/?prefix=%", "InvalidURI"), ("GET", "*", "InvalidURI"),
        ("GET", "/disks/a%00b", "InvalidObjectName"), ("GET", "/disks//", "InvalidObjectName"),
        ("GET", "/di%2Fsks/x", "InvalidBucketName"), ("GET", "/../etc/passwd", "InvalidBucketName"),
        ("GET", "/.lathe/x", "InvalidBucketName"), ("GET", "/disks?max-keys=99999999999999999999", "InvalidArgument"),
        ("GET", "/disks?max-keys=-1", "InvalidArgument"), ("GET", "/disks?max-keys=%2B5", "InvalidArgument"),
        ("GET", "/disks?max-keys=0", "InvalidArgument"), ("GET", "/disks?list-type=3", "InvalidArgument"),
        ("GET", "/disks?encoding-type=rot13", "InvalidArgument"),
        ("GET", "/disks/x?uploadId=1&part-number-marker=99999999999", "InvalidArgument"),
        ("GET", "/disks/x?uploadId=../../x", "NoSuchUpload"), ("GET", "/disks/x?uploadId=%00", "NoSuchUpload"),
        ("GET", "/disks/x?uploadId=", "NoSuchUpload"), ("DELETE", "/disks/x?uploadId=..", "NoSuchUpload"),
        ("DELETE", "/disks?lifecycle", "NotImplemented"), ("DELETE", "/disks/x?tagging", "NotImplemented"),
        ("PATCH", "/disks/x", "MethodNotAllowed"), ("POST", "/disks/x", "MethodNotAllowed"),
        ("POST", "/", "MethodNotAllowed"), ("GET", "/disks/x?objectMeta", "MethodNotAllowed"),
        ("DELETE", "/disks?acl", "MethodNotAllowed"),
        ("GET", "/disks/x?response-content-type=a%0d%0aSet-Cookie:b", "InvalidArgument"),
    ]) func whatMakesNoSenseIsSaid(method: String, target: String, code: String) async throws {
        try await withServer(anonymous: true) { own in
            if target.contains("response-content-type") {
                _ = try own.bucket.put(ObjectBody([1]), to: ObjectKey("x"), .init(), replacing: true)
            }
            let answer = try await own.exchange(head("\(method) \(target)"))
            #expect(answer.code == code, "\(answer.testDescription)")
            #expect(answer.header("x-oss-request-id")?.wholeMatch(of: #/[0-9A-F]{24}/#) != nil)
            try await expectAlive(own)
        }
    }

    @Test func tooMuchIsRefusedBeforeItIsSent() async throws {
        try await withServer(anonymous: true) { own in
            let answer = try await own.exchange(head("PUT /disks/x", "Content-Length: \((5 << 30) + 1)"))
            #expect(answer.status == 400 && answer.code == "EntityTooLarge")
            let xml = try await own.exchange(head("POST /disks?delete", "Content-Length: 3000000"))
            #expect(xml.status == 400 && xml.code == "EntityTooLarge")
        }
    }

    @Test(arguments: [
        "", "<", "<Delete>", "<Delete><Object><Key>x</Key></Object>", "<Delete/>", "<Other/>",
        "<!DOCTYPE d [<!ENTITY e \"x\">]><Delete><Object><Key>&e;</Key></Object></Delete>",
        "<!DOCTYPE d SYSTEM \"file:///etc/passwd\"><Delete/>", String(repeating: "<Delete>", count: 10_000),
        "<Delete><Object></Object></Delete>",
        "<Delete>\(String(repeating: "<Object><Key>x</Key></Object>", count: 1001))</Delete>",
    ]) func xmlThatIsNotWhatIsAskedForIsMalformed(text: String) async throws {
        try await withServer(anonymous: true) { own in
            let request = head("POST /disks?delete", "Content-Length: \(text.utf8.count)") + text
            let answer = try await own.exchange(request)
            #expect(answer.status == 400 && answer.code == "MalformedXML", "\(answer.testDescription)")
            let completion = head("POST /disks/x?uploadId=1", "Content-Length: \(text.utf8.count)") + text
            #expect(try await own.exchange(completion).status == 400)
        }
    }

    @Test func tenThousandPartsFitIntoACompletion() async throws {
        try await withServer(anonymous: true) { own in
            let upload = try own.bucket.initiate(ObjectKey("x"), .init(), partLength: 0, replacing: true)
            let parts = (1...10_000).map {
                "  <Part>\n    <PartNumber>\($0)</PartNumber>\n    <ETag>&quot;\(String(repeating: "A", count: 32))&quot;</ETag>\n"
                    + "  </Part>\n"
            }
            let body = "<CompleteMultipartUpload>\n\(parts.joined())</CompleteMultipartUpload>"
            let request = head("POST /disks/x?uploadId=\(upload.id)", "Content-Length: \(body.utf8.count)") + body
            let answer = try await own.exchange(request)
            #expect(answer.code == "InvalidPart", "\(answer.testDescription)")
        }
    }

    @Test func requestsInOnePieceAreAnsweredInOrder() async throws {
        try await withServer(anonymous: true) { own in
            let port = own.server.port
            let text =
                head("PUT /disks/a", "Content-Length: 1") + "1" + head("PUT /disks/b", "Content-Length: 2") + "22"
                + head("GET /disks/a") + head("GET /disks/b") + head("HEAD /disks/b") + head("GET /disks/none")
            let answers = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(text)
                return try (0..<6).map { try connection.answer(toHead: $0 == 4) }
            }
            #expect(answers.map(\.status) == [200, 200, 200, 200, 200, 404])
            #expect(answers[2].text == "1" && answers[3].text == "22")
            #expect(answers[4].header("Content-Length") == "2")
        }
    }

    @Test func aClientThatAsksBeforeItSendsIsAnswered() async throws {
        try await withServer { own in
            let port = own.server.port
            let refused = try await own.exchange(
                head("PUT /disks/x", "Content-Length: 5", "Expect: 100-continue"))
            #expect(refused.status == 403)
            var request = WireRequest(method: "PUT", bucket: "disks", key: "x")
            OSSSignatureV4.sign(
                &request, OwnServer.credentials, region: "r", at: UInt64(Date().timeIntervalSince1970))
            let fields = request.headers.map { "\($0.name): \($0.value)\r\n" }.joined()
            let text =
                "PUT /disks/x HTTP/1.1\r\nHost: h\r\n\(fields)Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
            let answers = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(text)
                let first = try connection.answer()
                try connection.send("12345")
                return [first, try connection.answer()]
            }
            #expect(answers.map(\.status) == [100, 200])
        }
    }

    @Test func anAnswerToHeadHasItsErrorInAField() async throws {
        try await withServer(anonymous: true) { own in
            let answer = try await own.exchange(head("HEAD /disks/none"))
            #expect(answer.status == 404 && answer.code == "NoSuchKey")
            let body = answer.header("x-oss-err").flatMap { OSSErrorBody(header: $0) }
            #expect(body?.requestID == answer.header("x-oss-request-id"))
        }
    }

    @Test func randomBytesAreSurvived() async throws {
        let seed: UInt64 = 20_260_101
        var generator = SeededGenerator(seed: seed)
        let good = Array(head("PUT /disks/x?uploadId=a&partNumber=1", "Content-Length: 10", "Range: bytes=0-1").utf8)
        let requests = (0..<300).map { _ in
            var bytes = good
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &generator)
                case 1: bytes.remove(at: place)
                default: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: place)
                }
            }
            return bytes
        }
        try await withServer(anonymous: true) { own in
            let port = own.server.port
            try await onThread {
                for bytes in requests {
                    let connection = try RawConnection(port: port)
                    try connection.send(bytes)
                    connection.endSending()
                    #expect(connection.waitForEnd(), "seed \(seed): \(String(decoding: bytes, as: UTF8.self))")
                }
            }
            try await expectAlive(own)
            #expect(try own.leftovers().isEmpty)
        }
    }
}
