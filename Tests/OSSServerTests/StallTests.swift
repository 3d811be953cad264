import Foundation
import LatheTestSupport
import OSSServer
import ObjectStorage
import Testing

/// Clients that stop in the middle lose their connection, and the server keeps nothing for them.
@Suite struct StallTests {
    private static func impatient(_ configuration: inout OSSServerConfiguration) { configuration.idleSeconds = 1 }

    @Test(arguments: [
        "", "GET /disks/x HT", "GET /disks/x HTTP/1.1\r\nHost: h\r\n",
        "PUT /disks/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nsome",
        "GET /disks/none HTTP/1.1\r\nHost: h\r\n\r\n",
    ]) func aClientThatSendsNoMoreIsCutOff(text: String) async throws {
        try await withServer(anonymous: true, Self.impatient) { own in
            let port = own.server.port
            let ended = try await onThread {
                let connection = try RawConnection(port: port)
                try connection.send(text)
                return connection.waitForEnd()
            }
            #expect(ended)
            try await eventually { try own.leftovers().isEmpty }
        }
    }

    @Test func aClientThatTakesNoMoreIsCutOff() async throws {
        try await withServer(anonymous: true, Self.impatient) { own in
            let port = own.server.port
            let ended = try await onThread {
                _ = try own.bucket.put(ObjectBody(zeros: 64 << 20), to: ObjectKey("x"), .init(), replacing: true)
                let connection = try RawConnection(port: port, receiveBuffer: 4096)
                try connection.send("GET /disks/x HTTP/1.1\r\nHost: h\r\n\r\n")
                sleep(2)
                return connection.waitForReset()
            }
            #expect(ended)
        }
    }

    @Test func theServerEndsThoughClientsStay() async throws {
        let start = ContinuousClock.now
        // An address of its own: another test's server may take the port that gets free.
        let host: UInt32 = 0x7F00_0117
        try await withServer(anonymous: true, { $0.host = "127.0.1.23" }) { own in
            let port = own.server.port
            try await onThread {
                _ = try own.bucket.put(ObjectBody(zeros: 64 << 20), to: ObjectKey("x"), .init(), replacing: true)
                let idle = try RawConnection(port: port, host: host)
                let sending = try RawConnection(port: port, host: host)
                try sending.send("PUT /disks/y HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nsome")
                let taking = try RawConnection(port: port, host: host, receiveBuffer: 4096)
                try taking.send("GET /disks/x HTTP/1.1\r\nHost: h\r\n\r\n")
                usleep(200_000)
                let server = own.server
                let stopped = DispatchSemaphore(value: 0)
                Task {
                    await server.stop(patience: 0.5)
                    stopped.signal()
                }
                #expect(stopped.wait(timeout: .now() + 30) == .success)
                #expect(idle.waitForEnd() && sending.waitForEnd())
                #expect(throws: (any Error).self) { try RawConnection(port: port, host: host) }
            }
            #expect(try own.leftovers().isEmpty)
        }
        #expect(ContinuousClock.now - start < .seconds(40))
    }

    @Test func aConnectionOverTheLimitWaitsForAnother() async throws {
        try await withServer(anonymous: true, { $0.connectionLimit = 1 }) { own in
            let port = own.server.port
            let answer = try await onThread {
                let first = try RawConnection(port: port)
                try first.send("GET /disks/?bucketInfo HTTP/1.1\r\nHost: h\r\n\r\n")
                #expect(try first.answer().status == 200)
                let second = try RawConnection(port: port)
                try second.send("GET /disks/?bucketInfo HTTP/1.1\r\nHost: h\r\n\r\n")
                first.endSending()
                return try second.answer()
            }
            #expect(answer.status == 200)
        }
    }

    private func eventually(_ condition: () throws -> Bool, sourceLocation: SourceLocation = #_sourceLocation)
        async throws
    {
        for _ in 0..<500 {
            if try condition() { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("it did not become so", sourceLocation: sourceLocation)
    }
}
