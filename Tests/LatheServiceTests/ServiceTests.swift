import Foundation
import LatheTestSupport
import Testing

/// `lathe serve` as its users meet it: the real binary, the vendor's SDKs, a browser, and whoever means harm.
///
/// What is done with the SDKs is in Python, which they are written in. A server is shared by the tests of a class there, which are
/// counted here: one that is gone, or skips itself, is missed.
@Suite(.serialized) struct ServiceTests {
    private static let scripts = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Peers")

    /// Registered, exported, watched, fetched, proved.
    @Test(.requiresPeer("python"), .requiresProgram("qemu-img"), .requiresProgram("tar"))
    func theVendorsSDKsTellTheWholeStory() throws { try check("story_checks", count: 11) }

    /// Every code of the page, and the gateway's own, in the SDKs' exceptions.
    @Test(.requiresPeer("python"), .requiresProgram("qemu-img"))
    func everyErrorArrivesInTheSDKs() throws { try check("error_checks", count: 29) }

    @Test(.requiresPeer("python"), .requiresProgram("qemu-img")) func theGuideIsRight() throws {
        try check("guide_checks", count: 1)
    }

    /// What THREAT_MODEL.md says.
    @Test(.requiresPeer("python")) func whoMeansHarmGetsNothing() throws { try check("security_checks", count: 16) }

    @Test(.requiresPeer("python")) func twentyExportsSurviveKills() throws {
        try check("fault_checks.Kills", count: 1)
    }

    @Test(.requiresPeer("python")) func aServerThatStopsGoesOnLater() throws {
        try check("fault_checks.Stop", count: 2)
    }

    @Test(.requiresPeer("python")) func aStoreThatIsAwayIsWaitedFor() throws {
        try check("fault_checks.StoreAway", count: 1)
    }

    @Test(.requiresPeer("python"), .enabled(if: geteuid() == 0, "not run as root"))
    func aFullDiskFailsTasksAndNothingElse() throws { try check("fault_checks.FullDisk", count: 1) }

    @Test(.requiresPeer("python"), .requiresProgram("chromium")) func theConsoleWorksInABrowser() throws {
        try check("console_checks", count: 10)
    }

    /// Runs a script's tests, and wants so many of them to pass.
    private func check(_ name: String, count: Int, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let environment = [
            "LATHE": try lathe(), "LATHE_PYTHON": PeerPrograms.path("python"), "PYTHONPATH": Self.scripts.path,
            "PYTHONDONTWRITEBYTECODE": "1",
        ]
        let outcome = try PeerPrograms.run(
            "python", ["-W", "ignore", "-m", "unittest", name], environment: environment, seconds: 400)
        // unittest writes on standard error, the failures last; on standard output is what helps to repeat a run.
        if !outcome.output.isEmpty { print(outcome.output, terminator: "") }
        #expect(outcome.status == 0, "\(outcome.errors.suffix(8000))", sourceLocation: sourceLocation)
        let ran = outcome.errors.contains("\nRan \(count) test")
        #expect(ran, "expected \(count) tests: \(outcome.errors.suffix(400))", sourceLocation: sourceLocation)
        #expect(!outcome.errors.contains("skipped"), sourceLocation: sourceLocation)
    }

    /// The binary that was built together with these tests.
    private func lathe() throws -> String {
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let path = URL(filePath: tests).deletingLastPathComponent().appending(path: "lathe").path
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw PeerError("there is no lathe beside the tests, at \(path): build with --build-tests")
        }
        return path
    }
}

extension Trait where Self == ConditionTrait {
    /// Skips where a program of Debian is absent; with LATHE_REQUIRE_PEERS=1 the test runs, and fails for want of it.
    static func requiresProgram(_ name: String) -> Self {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let isThere = path.split(separator: ":").contains {
            FileManager.default.isExecutableFile(atPath: "\($0)/\(name)")
        }
        return .enabled(
            if: PeerPrograms.areRequired || isThere,
            "\(name) is not installed: run scripts/install-dependencies test")
    }
}
