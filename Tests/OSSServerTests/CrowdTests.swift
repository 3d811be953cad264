import Foundation
import LatheTestSupport
import OSSServer
import OSSWire
import ObjectStorage
import Testing

/// More connections than there is room for, bodies that drip, and HTTP/1.0.
@Suite struct CrowdTests {
    private static func crowded(_ configuration: inout OSSServerConfiguration) {
        (configuration.headSeconds, configuration.idleSeconds, configuration.connectionLimit) = (3600, 3600, 20)
    }

    /// Opens many connections without an end of a request, from so many addresses.
    private static func crowd(_ port: Int, addresses: Int, text: String) throws -> [RawConnection] {
        try (0..<60).map { number in
            let connection = try RawConnection(port: port, from: "127.1.0.\(1 + number % addresses)")
            try connection.send(text)
            return connection
        }
    }

    @Test(
        arguments: [1, 7, 60],
        [
            "", "GET /disks/x", "PUT /disks/x HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\nx",
            "GET /disks/x HTTP/1.1\r\nHost: h\r\n\r\n",
        ])
    func whoSaysNothingMakesWay(addresses: Int, text: String) async throws {
        try await withServer(Self.crowded) { own in
            let port = own.server.port
            let crowd = try await onThread {
                Connections(all: try Self.crowd(port, addresses: addresses, text: text))
            }
            #expect(try await own.send("PUT", "mine", body: [1, 2, 3]).status == 200)
            #expect(crowd.all.count == 60)
        }
    }

    @Test func whoHasAKeyStays() async throws {
        try await withServer(Self.crowded) { own in
            let port = own.server.port
            var request = WireRequest(
                method: "PUT", bucket: OwnServer.bucketName, key: "slow", query: [], headers: [])
            OSSSignatureV4.sign(
                &request, OwnServer.credentials, region: "cn-hangzhou", at: UInt64(Date().timeIntervalSince1970))
            var text = "PUT /disks/slow HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nContent-Length: 2\r\n"
            for header in request.headers { text += "\(header.name): \(header.value)\r\n" }
            let head = text + "Expect: 100-continue\r\n\r\n"
            try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(head)
                // From here on it is known whose it is.
                #expect(try connection.answer().status == 100)
                let crowd = try Self.crowd(port, addresses: 7, text: "GET /disks/x")
                let last = try RawConnection(port: port, from: "127.9.0.1")
                try last.send("GET /disks/x HTTP/1.1\r\nHost: h\r\n\r\n")
                #expect(try last.answer().status == 403)
                try connection.send("ab")
                #expect(try connection.answer().status == 200)
                #expect(crowd.count == 60)
            }
        }
    }

    /// A body of which each byte comes in time, and the whole never.
    @Test(arguments: [
        "PUT /disks/x HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n",
        "PUT /disks/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n",
        // Refused, and the rest of the body is what drips.
        "PUT /nobodys-bucket/x HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n",
    ]) func aBodyThatDripsIsCutOff(text: String) async throws {
        try await withServer(anonymous: true, { $0.idleSeconds = 1 }) { own in
            let port = own.server.port
            let ended = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(text)
                return connection.trickleUntilEnd()
            }
            #expect(ended)
            for _ in 0..<500 where try !own.leftovers().isEmpty { try await Task.sleep(for: .milliseconds(10)) }
            #expect(try own.leftovers().isEmpty)
        }
    }

    @Test func theFirstHeadComesInTime() async throws {
        try await withServer({ ($0.headSeconds, $0.idleSeconds) = (1, 3600) }) { own in
            let port = own.server.port
            let ended = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send("GET /disks/x HTTP/1.1\r\nX-Drop: ")
                return connection.trickleUntilEnd()
            }
            #expect(ended)
        }
    }

    /// RFC 9112, section 6.1.
    @Test func chunksOfHTTP10AreRefusedAndNothingIsStored() async throws {
        try await withServer(anonymous: true) { own in
            let port = own.server.port
            let (answer, ended) = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(
                    "PUT /disks/x HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
                        + "1\r\nx\r\n0\r\n\r\n")
                return (try connection.answer(), connection.waitForEnd())
            }
            #expect(answer.status == 400 && ended, "\(answer.testDescription)")
            #expect(try own.bucket.list(prefix: "", after: nil, count: 9).entries.isEmpty)
        }
    }

    /// Section 9.3: a length is as good in HTTP/1.0 as in HTTP/1.1, and the connection ends behind the answer.
    @Test func aBodyOfHTTP10WithALengthIsStored() async throws {
        try await withServer(anonymous: true) { own in
            let port = own.server.port
            let (answer, ended) = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(
                    "PUT /disks/x HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n"
                        + "Content-Length: 1\r\n\r\nx")
                return (try connection.answer(), connection.waitForEnd())
            }
            #expect(answer.status == 200 && answer.header("Connection") == "close" && ended)
            #expect(try own.bucket.head(ObjectKey("x")).length == 1)
        }
    }

    /// They are handed from thread to thread, and used by one at a time.
    private struct Connections: @unchecked Sendable {
        let all: [RawConnection]
    }
}
