import Foundation
import Testing

/// Help, version and completions.
@Suite struct HelpTests {
    static let verbs = [
        "convert", "export", "info", "check", "map", "compare", "measure", "digest", "verify", "serve", "image",
        "admin", "bench",
    ]
    /// Verbs of verbs; the file of each is named by both.
    static let innerVerbs = [
        "image add", "image set", "admin account", "admin key", "admin key create", "admin role set",
        "admin policy set",
        "admin bucket create", "admin region set", "admin quota set", "admin apply",
    ]
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "testdata/help")

    /// With LATHE_WRITE_HELP=1 the texts are written anew, for review in the diff.
    @Test(arguments: ["lathe"] + verbs + innerVerbs) func theHelpTextIsAsItWas(verb: String) throws {
        let words = verb.split(separator: " ").map(String.init)
        let outcome = try lathe((verb == "lathe" ? [] : words) + ["--help"], environment: ["COLUMNS": "80"])
        #expect(outcome.status == 0)
        #expect(outcome.errors.isEmpty)
        let file = Self.folder.appending(path: "\(words.joined(separator: "-")).txt")
        if ProcessInfo.processInfo.environment["LATHE_WRITE_HELP"] == "1" {
            try FileManager.default.createDirectory(at: Self.folder, withIntermediateDirectories: true)
            try outcome.text.write(to: file, atomically: true, encoding: .utf8)
        }
        #expect(try outcome.text == String(contentsOf: file, encoding: .utf8))
    }

    @Test(arguments: [
        (
            "convert",
            [
                "-f", "-O", "-o", "-c", "-S", "--reflink", "--overwrite", "--verify", "--threads", "--progress", "-p",
                "-q",
            ]
        ),
        (
            "export",
            [
                "--bucket", "--prefix", "--object", "--image-format", "--package", "--overwrite", "--checkpoint",
                "--resume",
                "--abort-stale", "--parallel", "--part-size", "--limit-rate", "--endpoint", "--region",
                "--access-key-id",
                "--access-key-secret", "--security-token", "--signature-version", "--addressing", "--retries",
            ]
        ),
        ("info", ["-f", "--output"]), ("check", ["-f", "--output"]), ("map", ["-f", "--output"]),
        ("compare", ["-f", "-F", "-s", "-q", "--output", "--threads"]), ("digest", ["--algorithm", "-f", "--output"]),
        (
            "verify",
            ["-f", "--manifest", "--source", "--source-format", "--repair-from", "-q", "--output", "--threads"]
        ),
        (
            "serve",
            [
                "--oss-only", "--data-directory", "--port", "--host", "--access-key-id", "--access-key-secret",
                "--credentials-file", "--anonymous", "--domain", "--region", "--verbose", "--output",
            ]
        ),
        (
            "bench",
            ["--formats", "--source", "--generate", "--to", "--threads", "--repeat", "--jobs", "--no-peer", "--plot"]
        ),
    ]) func theHelpOfAVerbNamesItsOptions(verb: String, options: [String]) throws {
        let text = try lathe("help", verb).text
        for option in options { #expect(text.contains("\(option)"), "\(option)") }
        #expect(text.contains("USAGE: lathe \(verb)"))
    }

    @Test func theVersionIsPrinted() throws {
        #expect(try lathe("--version").text.wholeMatch(of: #/[0-9]+\.[0-9]+\.[0-9]+\n/#) != nil)
    }

    @Test(arguments: ["bash", "zsh", "fish"]) func completionScriptsNameTheVerbsAndOptions(shell: String) throws {
        let outcome = try lathe("--generate-completion-script", shell)
        #expect(outcome.status == 0)
        for word in Self.verbs + ["overwrite", "verify", "qcow2"] {
            #expect(outcome.text.contains(word), "\(word)")
        }
        guard Tool.isInstalled(shell) else { return }
        let input = try Self.file(holding: outcome.output)
        let script = try RunningProcess(shell, ["-n", "/dev/stdin"], input: input).outcome()
        #expect(script.status == 0, "\(script.testDescription)")
    }

    private static func file(holding data: Data) throws -> FileHandle {
        let url = FileManager.default.temporaryDirectory.appending(path: "lathe-test-\(UUID().uuidString).script")
        try data.write(to: url)
        defer { try? FileManager.default.removeItem(at: url) }
        return try FileHandle(forReadingFrom: url)
    }

    @Test func anUnknownVerbIsExit64() throws {
        let outcome = try lathe("frobnicate")
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains("frobnicate"))
    }
}
