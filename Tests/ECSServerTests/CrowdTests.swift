import ECSServer
import Foundation
import Testing

/// More connections than there is room for, most of them of people who say nothing.
@Suite struct CrowdTests {
    /// Nobody is let go for being slow: what lets anybody in is that others make way.
    private static func crowded(_ configuration: inout ECSServerConfiguration) {
        (configuration.headSeconds, configuration.idleSeconds, configuration.connectionLimit) = (3600, 3600, 20)
    }

    private static let probe = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"

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
        ["", "GET /?Action=", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n", probe])
    func whoSaysNothingMakesWay(addresses: Int, text: String) async throws {
        try await withGateway(Self.crowded) { own in
            let port = own.server.port
            try await onThread {
                let crowd = try Self.crowd(port, addresses: addresses, text: text)
                let connection = try RawConnection(port: port, from: "127.9.0.1")
                try connection.send(Self.probe)
                #expect(try connection.answer().status == 200)
                #expect(crowd.count == 60)
            }
            #expect(try await own.send(own.signed(own.call("DescribeRegions"))).status == 200)
        }
    }

    @Test func whoProvedAKeyStays() async throws {
        try await withGateway(Self.crowded) { own in
            let port = own.server.port
            let calls = (0..<2).map { _ in own.signed(own.call("DescribeRegions")).text() }
            try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(calls[0])
                #expect(try connection.answer().status == 200)
                let crowd = try Self.crowd(port, addresses: 7, text: "GET /?Action=")
                let last = try RawConnection(port: port, from: "127.9.0.1")
                try last.send(Self.probe)
                #expect(try last.answer().status == 200)
                try connection.send(calls[1])
                #expect(try connection.answer().status == 200)
                #expect(crowd.count == 60)
            }
        }
    }

    /// A call that is carried out is not cut off for somebody else's silence.
    @Test func whoseCallIsCarriedOutStays() async throws {
        try await withGateway(Self.crowded) { own in
            own.backend.hold(true)
            let (port, backend) = (own.server.port, own.backend)
            let call = own.signed(own.call("Wait"))
            async let answer = own.send(call)
            try await eventually { backend.running == 1 }
            try await onThread {
                let crowd = try Self.crowd(port, addresses: 7, text: "")
                let last = try RawConnection(port: port, from: "127.9.0.1")
                try last.send(Self.probe)
                #expect(try last.answer().status == 200)
                #expect(crowd.count == 60)
            }
            backend.hold(false)
            #expect(try await answer.status == 200)
        }
    }

    /// The time for a head counts from the connection's beginning, whatever comes meanwhile.
    @Test(arguments: ["", "GET / HTTP/1.1\r\nHost: h\r\nX-Drop: "])
    func theFirstHeadComesInTime(text: String) async throws {
        try await withGateway({ ($0.headSeconds, $0.idleSeconds) = (1, 3600) }) { own in
            let port = own.server.port
            let ended = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(text)
                return connection.trickleUntilEnd()
            }
            #expect(ended)
        }
    }

    @Test func soDoesTheNext() async throws {
        try await withGateway({ $0.idleSeconds = 1 }) { own in
            let port = own.server.port
            let ended = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(Self.probe)
                #expect(try connection.answer().status == 200)
                try connection.send("GET / HTTP/1.1\r\nHost: h\r\nX-Drop: ")
                return connection.trickleUntilEnd()
            }
            #expect(ended)
        }
    }

    @Test func requestsWaitUntilTheServerIsOpen() async throws {
        let server = try await ECSServer.listen(FakeBackend(now: 0))
        let port = server.port
        async let answer = onThread {
            let connection = try RawConnection(port: port)
            try connection.send(Self.probe)
            return try connection.answer()
        }
        // Another one has the port no more.
        var configuration = ECSServerConfiguration()
        configuration.port = port
        await #expect(throws: ECSServerError.self) { try await ECSServer.listen(FakeBackend(now: 0), configuration) }
        server.open()
        #expect(try await answer.status == 200)
        await server.stop(patience: 1)
    }

    @Test func aServerThatNeverOpensEnds() async throws {
        let server = try await ECSServer.listen(FakeBackend(now: 0))
        let port = server.port
        let connection = try RawConnection(port: port)
        try connection.send(Self.probe)
        await server.stop(patience: 0.2)
        #expect(throws: (any Error).self) { try RawConnection(port: port) }
    }
}

/// HTTP/1.0, of which RFC 9112 says what a server of HTTP/1.1 does.
@Suite struct OldProtocolTests {
    private func exchange(_ text: String) async throws -> (answers: [RawAnswer], ended: Bool) {
        var outcome: (answers: [RawAnswer], ended: Bool) = ([], false)
        try await withGateway { own in
            let port = own.server.port
            outcome = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(text)
                var answers: [RawAnswer] = []
                while let answer = try? connection.answer() { answers.append(answer) }
                return (answers, connection.waitForEnd())
            }
        }
        return outcome
    }

    /// Section 6.1: where such a message ends is not known, so nothing behind it is taken for a request.
    @Test(arguments: ["keep-alive", "close"])
    func chunksOfHTTP10AreRefusedAndTheConnectionEnds(connection: String) async throws {
        let (answers, ended) = try await exchange(
            "POST / HTTP/1.0\r\nHost: h\r\nConnection: \(connection)\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(answers.map(\.status) == [400] && ended)
        #expect(answers.first?.header("Connection") == "close")
    }

    /// Section 9.3.
    @Test(arguments: ["", "Connection: keep-alive\r\n", "Connection: Keep-Alive, TE\r\n"])
    func aConnectionOfHTTP10HasOneRequest(field: String) async throws {
        let request = "GET /healthz HTTP/1.0\r\nHost: h\r\n\(field)\r\n"
        let (answers, ended) = try await exchange(request + request)
        #expect(answers.map(\.status) == [200] && ended)
        #expect(answers.first?.header("Connection") == "close")
    }

    /// RFC 9110, section 10.1.1: its clients take an interim answer for the answer.
    @Test func aClientOfHTTP10IsNotToldToContinue() async throws {
        let (answers, ended) = try await exchange(
            "POST / HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")
        #expect(answers.count == 1 && answers[0].status >= 400 && ended, "\(answers)")
    }

    /// Section 9.6: the word is the same in capitals, and among others.
    @Test(arguments: ["close", "Close", "TE, close"])
    func whoeverEndsTheConnectionIsToldThatItEnds(value: String) async throws {
        let request = "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: \(value)\r\n\r\n"
        let (answers, ended) = try await exchange(request + request)
        #expect(answers.map(\.status) == [200] && ended)
        #expect(answers.first?.header("Connection") == "close")
    }
}
