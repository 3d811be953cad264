import ECSServer
import Testing

/// How a gateway is started, and how it ends.
@Suite struct StartTests {
    @Test func nothingButThisMachineIsListenedOnUnlessAskedFor() {
        #expect(ECSServerConfiguration().host == "127.0.0.1")
    }

    @Test func aPortThatIsTakenIsNamed() async throws {
        try await withGateway { own in
            var configuration = ECSServerConfiguration()
            configuration.port = own.server.port
            let error = try await #require(throws: ECSServerError.self) {
                try await ECSServer.start(own.backend, configuration)
            }
            #expect("\(error)".contains("\(own.server.port)"))
        }
    }

    @Test func whatIsNoPortIsRefused() async throws {
        var configuration = ECSServerConfiguration()
        configuration.port = 70_000
        await #expect(throws: ECSServerError.self) { try await ECSServer.start(FakeBackend(now: 0), configuration) }
    }

    @Test(arguments: ["/", "/metrics", "/healthz", "/readyz", "console", ""])
    func aPageTakesNoPathOfTheGateways(path: String) async throws {
        let error = try await #require(throws: ECSServerError.self) {
            try await ECSServer.start(FakeBackend(now: 0), pages: [path: StaticPage(contentType: "text/html", [])])
        }
        #expect(error.message.contains("path"))
    }

    @Test func requestsUnderWayEndBeforeTheServerDoes() async throws {
        try await withGateway { own in
            own.backend.hold(true)
            let call = own.signed(own.call("Wait"))
            let (server, backend) = (own.server, own.backend)
            async let answer = own.send(call)
            try await eventually { backend.running == 1 }
            let stopping = Task { await server.stop(patience: 60) }
            // What comes now is not taken any more, and what is under way goes on.
            try await eventually { (try? RawConnection(port: server.port)) == nil }
            #expect(backend.running == 1)
            backend.hold(false)
            #expect(try await answer.field("RequestId") != nil)
            #expect(try await answer.status == 200)
            await stopping.value
        }
    }

    @Test func theServerEndsThoughClientsStay() async throws {
        // An address of its own: another test's server may take the port that gets free.
        try await withGateway({ $0.host = "127.0.1.31" }) { own in
            let (server, host) = (own.server, own.server.host)
            own.backend.hold(true)
            let call = own.signed(own.call("Wait"))
            let connections = try await onThread {
                let idle = try RawConnection(port: server.port, host: host)
                let sending = try RawConnection(port: server.port, host: host)
                try sending.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nsome")
                let waiting = try RawConnection(port: server.port, host: host)
                try waiting.send(call.text())
                return Connections(all: [idle, sending, waiting])
            }
            let backend = own.backend
            try await eventually { backend.running == 1 }
            // The threads of the backend can't be cut off, the clients can.
            let stopping = Task { await server.stop(patience: 0.2) }
            try await onThread { for connection in connections.all { #expect(connection.waitForEnd()) } }
            backend.hold(false)
            await stopping.value
            #expect(throws: (any Error).self) { try RawConnection(port: server.port, host: host) }
        }
    }

    /// They are handed from thread to thread, and used by one at a time.
    private struct Connections: @unchecked Sendable {
        let all: [RawConnection]
    }
}
