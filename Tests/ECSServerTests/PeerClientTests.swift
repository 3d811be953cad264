import ECSServer
import ECSWire
import Foundation
import LatheTestSupport
import Testing

/// The vendor's own clients do with the gateway what they do with ECS.
@Suite struct PeerClientTests {
    private static let scripts = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Peers")

    @Test(.requiresPeer("python"), arguments: ["core_checks.py", "tea_checks.py"])
    func theVendorsClientIsContent(script: String) async throws {
        let now = UInt64(Date().timeIntervalSince1970)
        // The clients sign with the clock of the machine.
        let real = { (configuration: inout ECSServerConfiguration) in configuration.clock = nil }
        try await withGateway(now: now, real) { own in
            try await withGateway(now: now, { $0.clock = { now + 20 * 60 } }) { skewed in
                // Its clock stands still, so that no time that passes gives a key another request.
                try await withGateway(now: now, { $0.requestsPerSecond = 1 }) { throttled in
                    let outcome = try await onThread {
                        try PeerPrograms.run(
                            "python", [Self.scripts.appending(path: script).path],
                            environment: [
                                "HOST": own.host, "SKEWED_HOST": skewed.host, "THROTTLED_HOST": throttled.host,
                                "NO_PROXY": "*",
                            ], seconds: 300)
                    }
                    // unittest writes on standard error, the failures last.
                    #expect(outcome.status == 0, "\(outcome.errors.suffix(8000))")
                    #expect(outcome.errors.contains("\nOK"), "\(outcome.errors.suffix(400))")
                    #expect(!outcome.errors.contains("skipped"))
                }
            }
        }
    }
}
