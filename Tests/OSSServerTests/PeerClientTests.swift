import Foundation
import LatheTestSupport
import OSSServer
import OSSWire
import ObjectStorage
import Testing

/// The vendor's own clients do with the server what they do with OSS.
@Suite struct PeerClientTests {
    private static let scripts = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Peers")

    @Test(.requiresPeer("python"), arguments: ["oss2_checks.py", "ossv2_checks.py"], [1, 4])
    func theVendorsClientIsContent(script: String, version: Int) async throws {
        let now = { @Sendable in UInt64(Date().timeIntervalSince1970) }
        let keys = { (configuration: inout OSSServerConfiguration) in
            configuration.credentials += [
                ServerCredential(
                    Credentials(accessKeyID: "sts-id", accessKeySecret: "sts-secret", securityToken: "sts-token"),
                    expires: now() + 3600),
                ServerCredential(
                    Credentials(accessKeyID: "old-id", accessKeySecret: "old-secret", securityToken: "old-token"),
                    expires: now() - 1),
            ]
        }
        try await withServer(keys) { own in
            try await withServer({ $0.clock = { now() + 20 * 60 } }) { skewed in
                let environment = [
                    "ENDPOINT": own.server.endpoint, "SKEWED_ENDPOINT": skewed.server.endpoint,
                    "VERSION": "\(version)", "TMPDIR": own.directory.path,
                ]
                let outcome = try await onThread {
                    try PeerPrograms.run(
                        "python", [Self.scripts.appending(path: script).path], environment: environment)
                }
                // unittest writes on standard error, the failures last.
                #expect(outcome.status == 0, "\(outcome.errors.suffix(8000))")
                #expect(outcome.errors.contains("\nOK"), "\(outcome.errors.suffix(400))")
                #expect(!outcome.errors.contains("skipped"))
            }
            #expect(try own.leftovers().filter { $0.hasPrefix(".lathe/temporary/") }.isEmpty)
        }
    }
}
