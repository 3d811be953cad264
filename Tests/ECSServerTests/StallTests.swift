import ECSServer
import Foundation
import Testing

/// Clients that stop in the middle, or go on for ever in drops, lose their connection.
@Suite struct StallTests {
    private static func impatient(_ configuration: inout ECSServerConfiguration) { configuration.idleSeconds = 1 }

    @Test(arguments: [
        "", "GET / HT", "GET / HTTP/1.1\r\nHost: h\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nsome",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ]) func aClientThatSendsNoMoreIsCutOff(text: String) async throws {
        try await withGateway(Self.impatient) { own in
            let port = own.server.port
            let ended = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(text)
                return connection.waitForEnd()
            }
            #expect(ended && own.backend.requests.isEmpty)
        }
    }

    @Test(arguments: [
        "", "GET /?", "GET / HTTP/1.1\r\nHost: h\r\nX-Drop: ",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nea60\r\n",
        // Refused, and the rest of the body is what drips.
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 600000\r\n\r\n",
    ]) func aClientThatSendsInDropsIsCutOff(text: String) async throws {
        try await withGateway(Self.impatient) { own in
            let port = own.server.port
            let ended = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(text)
                return connection.trickleUntilEnd()
            }
            #expect(ended && own.backend.requests.isEmpty)
        }
    }

    @Test func aClientThatTakesNothingIsCutOff() async throws {
        let page = StaticPage(contentType: "application/octet-stream", [UInt8](repeating: 1, count: 8 << 20))
        try await withGateway(pages: ["/large": page], Self.impatient) { own in
            let port = own.server.port
            let ended = try await onThread {
                let connection = try RawConnection(port: port, receiveBuffer: 4096)
                // The second request is waiting, so the client is not idle.
                try connection.send(String(repeating: "GET /large HTTP/1.1\r\nHost: h\r\n\r\n", count: 3))
                sleep(2)
                return connection.trickleUntilEnd()
            }
            #expect(ended)
        }
    }

    /// Slow clients are many, and those that are not slow are served all the same.
    @Test func slowClientsHoldUpNobody() async throws {
        try await withGateway { own in
            let port = own.server.port
            try await onThread {
                var slow: [RawConnection] = []
                for number in 0..<200 {
                    let connection = try RawConnection(port: port)
                    try connection.send(
                        number % 2 == 0 ? "GET /?Action=" : "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n")
                    slow.append(connection)
                }
                let connection = try RawConnection(port: port)
                try connection.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
                #expect(try connection.answer().status == 200)
                #expect(slow.count == 200)
            }
            #expect(try await own.send(own.signed(own.call("DescribeRegions"))).status == 200)
        }
    }

    @Test func aConnectionOverTheLimitWaitsForAnother() async throws {
        try await withGateway({ $0.connectionLimit = 1 }) { own in
            let port = own.server.port
            let answer = try await onThread {
                let first = try RawConnection(port: port)
                try first.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
                #expect(try first.answer().status == 200)
                let second = try RawConnection(port: port)
                try second.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
                first.endSending()
                return try second.answer()
            }
            #expect(answer.status == 200)
        }
    }

    /// All threads of the backend are taken, and whether the process lives can still be asked.
    @Test func aBackendThatHangsLeavesTheProbeAlive() async throws {
        try await withGateway({ $0.threadCount = 2 }) { own in
            own.backend.hold(true)
            let backend = own.backend
            let calls = (0..<2).map { _ in own.signed(own.call("Wait")) }
            async let first = own.send(calls[0])
            async let second = own.send(calls[1])
            try await eventually { backend.running == 2 }
            #expect(try await own.get("/healthz").status == 200)
            backend.hold(false)
            #expect(try await first.status == 200)
            #expect(try await second.status == 200)
        }
    }
}
