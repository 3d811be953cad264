import Foundation
import LatheTestSupport
import Testing

/// What happens to the file that `convert` is told to make.
@Suite struct DestinationTests {
    private let directory: TemporaryDirectory
    private let source: String
    private let content = Content.mixed(length: 300_032, seed: 41)

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("source.raw")
        try Data(content).write(to: URL(filePath: source))
    }

    private func convert(_ arguments: String..., to destination: String) throws -> Outcome {
        try lathe(["convert", "-O", "raw"] + arguments + [source, destination])
    }

    /// Wants exit 1, one line that holds the texts, and nothing new in the directory.
    private func expectRefused(
        _ outcome: Outcome, _ texts: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(outcome.status == 1, sourceLocation: sourceLocation)
        #expect(outcome.output.isEmpty, sourceLocation: sourceLocation)
        #expect(outcome.errors.hasPrefix("lathe: "), sourceLocation: sourceLocation)
        #expect(outcome.errors.filter { $0 == "\n" }.count == 1, sourceLocation: sourceLocation)
        for text in texts {
            #expect(outcome.errors.contains(text), "\(outcome.errors)", sourceLocation: sourceLocation)
        }
    }

    @Test func anExistingFileIsLeftAloneWithoutOverwrite() throws {
        let old = directory.file("old.raw")
        try Data("old".utf8).write(to: URL(filePath: old))
        expectRefused(try convert(to: old), old, "exists", "--overwrite")
        #expect(try Data(contentsOf: URL(filePath: old)) == Data("old".utf8))
        #expect(try directory.contents == ["old.raw", "source.raw"])
    }

    @Test func anExistingFileIsReplacedWithOverwrite() throws {
        let old = directory.file("old.raw")
        try Data(repeating: 1, count: 1 << 20).write(to: URL(filePath: old))
        #expect(try convert("--overwrite", to: old).status == 0)
        #expect(try Data(contentsOf: URL(filePath: old)) == Data(content))
        #expect(try directory.contents == ["old.raw", "source.raw"])
    }

    @Test func overwriteOfWhatIsNotThereMakesIt() throws {
        #expect(try convert("--overwrite", to: directory.file("new.raw")).status == 0)
    }

    @Test func theSourceIsNeverItsOwnDestination() throws {
        let link = directory.file("hard-link.raw")
        try FileManager.default.linkItem(atPath: source, toPath: link)
        for destination in [source, link] {
            let outcome = try lathe("convert", "--overwrite", "-f", "raw", "-O", "qcow2", source, destination)
            expectRefused(outcome, destination, "the source itself")
        }
        #expect(try Data(contentsOf: URL(filePath: source)) == Data(content))
    }

    @Test func aStandardOutputThatIsClosedTakesNoImage() throws {
        let outcome = try shell("exec \"$1\" convert -f raw -O qcow2 \"$2\" - 1>&-", source)
        expectRefused(outcome, "standard output")
    }

    @Test(arguments: [[], ["--overwrite"]]) func aDirectoryOrSymbolicLinkIsNeverReplaced(options: [String]) throws {
        let link = directory.file("link")
        let target = directory.file("target")
        try Data("old".utf8).write(to: URL(filePath: target))
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: target)
        let dangling = directory.file("dangling")
        try FileManager.default.createSymbolicLink(atPath: dangling, withDestinationPath: directory.file("nowhere"))
        for destination in [directory.path, link, dangling, "/dev/null"] {
            let outcome = try lathe(["convert", "-O", "raw"] + options + [source, destination])
            expectRefused(outcome, destination, "not a regular file")
        }
        #expect(try Data(contentsOf: URL(filePath: target)) == Data("old".utf8))
        #expect(try directory.contents == ["dangling", "link", "source.raw", "target"])
    }

    @Test func aDirectoryThatDoesNotExistIsNamed() throws {
        let destination = directory.file("nowhere/new.raw")
        expectRefused(try convert(to: destination), destination, "No such file or directory")
    }

    @Test func aDestinationWithoutANameIsRefusedBeforeAnyWork() throws {
        expectRefused(try convert(to: ""), "the destination has no name")
    }

    @Test(.requiresRoot) func aDirectoryThatIsNotWritableIsAnError() throws {
        let closed = directory.file("closed")
        try FileManager.default.createDirectory(
            atPath: closed, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o555])
        let outcome = try unprivileged(["convert", "-O", "raw", source, "\(closed)/new.raw"])
        expectRefused(outcome, "\(closed)/new.raw", "Permission denied", "beside the destination")
        #expect(try FileManager.default.contentsOfDirectory(atPath: closed).isEmpty)
    }

    @Test(.requiresRoot) func aSourceThatMayNotBeReadIsAnError() throws {
        let secret = directory.file("secret.raw")
        try FileManager.default.copyItem(atPath: source, toPath: secret)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: secret)
        let open = directory.file("open")
        try FileManager.default.createDirectory(
            atPath: open, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o777])
        let outcome = try unprivileged(["convert", "-O", "raw", secret, "\(open)/new.raw"])
        expectRefused(outcome, secret, "Permission denied")
        for verb in ["info", "map", "digest", "check"] {
            expectRefused(try unprivileged([verb, secret]), secret, "Permission denied")
        }
        #expect(try unprivileged(["compare", secret, secret]).status == 2)
        #expect(try FileManager.default.contentsOfDirectory(atPath: open).isEmpty)
    }

    /// Runs `lathe` as a user who is nobody, because root may do all.
    ///
    /// The binary is copied to where nobody can reach it.
    private func unprivileged(_ arguments: [String]) throws -> Outcome {
        let binary = directory.file("lathe")
        if !FileManager.default.fileExists(atPath: binary) {
            try FileManager.default.copyItem(atPath: LatheBinary.path(), toPath: binary)
        }
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: directory.path)
        return try RunningProcess(
            "setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", binary] + arguments
        ).outcome()
    }

    @Test func aFileThatIsMadeHasTheModeThatTheUmaskLeaves() throws {
        let made = try shell(
            "umask 027; exec \"$1\" convert -q -O raw \"$2\" \"$3\"", source, directory.file("new.raw"))
        #expect(made.status == 0)
        let attributes = try FileManager.default.attributesOfItem(atPath: directory.file("new.raw"))
        #expect(attributes[.posixPermissions] as? Int == 0o640)
    }

    @Test func closedStandardStreamsLeaveTheImageAlone() throws {
        let image = directory.file("new.raw")
        let made = try shell(
            "exec \"$1\" convert -p -f raw -O raw \"$2\" \"$3\" 0<&- 1>&- 2>&-", source, image)
        // The image is there, and its fingerprint was not told.
        #expect(made.status == 1)
        #expect(try Data(contentsOf: URL(filePath: image)) == Data(content))
    }

    /// A word that is no host is taken for a directory, which is not made for looking into it.
    @Test(arguments: [["info"], ["digest"], ["map"], ["check"], ["measure", "-O", "raw"], ["verify"], ["compare"]])
    func whatOnlyReadsMakesNoStore(verb: [String]) throws {
        let image = "oss://disks/key"
        let images = verb == ["compare"] ? [image, image] : [image]
        for options in [["--endpoint", "WORD"], ["--endpoint", "./a/b"], []] {
            let outcome = try LatheBinary.start(
                verb + options + images, environment: ["HOME": directory.path, "OSS_ENDPOINT": ""],
                directory: directory.path
            ).outcome()
            #expect(![0, 64].contains(outcome.status), "\(outcome.testDescription)")
            if options == ["--endpoint", "WORD"] { #expect(outcome.errors.contains("http://WORD")) }
        }
        let admin = try LatheBinary.start(
            ["admin", "key", "list"], environment: ["HOME": directory.path], directory: directory.path
        ).outcome()
        #expect(admin.status == 1)
        let left = try FileManager.default.contentsOfDirectory(atPath: directory.path)
        #expect(left == ["source.raw"], "\(left)")
    }

    /// Verbs that print a result, as far as they take one image; the others are in `everyOtherVerbFailsWithoutItsOutput`.
    private static let printing = [
        ["info"], ["info", "--output", "json"], ["map"], ["map", "--output", "json"], ["digest"], ["check"],
        ["measure", "-O", "qcow2"],
    ]

    @Test(arguments: printing) func aResultThatCanNotBePrintedIsAFailure(verb: [String]) throws {
        let full = try FileHandle(forWritingTo: URL(filePath: "/dev/full"))
        let outcome = try LatheBinary.start(verb + [source], output: full).outcome()
        expectRefused(outcome, "standard output", "No space left on device")
        let closed = try bash("shift; exec \"$0\" \"$@\" >&-", LatheBinary.path(), verb + [source])
        expectRefused(closed, "standard output", "Bad file descriptor")
    }

    /// A shell says the same of a program that SIGPIPE ended.
    @Test(arguments: printing + [["--help"], ["--version"]])
    func aReaderOfTheResultThatGoesAwayHasAStatusOfItsOwn(verb: [String]) throws {
        let arguments = verb[0].hasPrefix("--") ? verb : verb + [source]
        let script = "shift; { sleep 0.1; \"$0\" \"$@\"; echo \"status $?\" >&2; } | true"
        let outcome = try bash(script, LatheBinary.path(), arguments)
        #expect(outcome.errors == "status 141\n", "\(outcome.testDescription)")
    }

    @Test func everyOtherVerbFailsWithoutItsOutput() throws {
        let service = try ServiceDirectory()
        try service.begin()
        let (place, export) = (["--data-directory", service.path], directory.file("store"))
        for verb in [
            ["--help"], ["--version"], ["convert", "--help"], ["--generate-completion-script", "bash"],
            ["convert", "-O", "qcow2", source, directory.file("a.qcow2")],
            ["export", "-O", "qcow2", source, "--bucket", "disks", "--endpoint", export],
            ["compare", source, source], ["measure", "-O", "raw", "--size", "1M"],
            ["verify", "--source", source, source],
            ["image", "add", "--name", "one", source] + place, ["image", "list"] + place,
            ["admin", "account", "list"] + place, ["admin", "region", "list"] + place,
            ["admin", "policy", "list"] + place, ["admin", "role", "list"] + place,
            ["admin", "bucket", "list"] + place,
            ["bench", "--quick", "--help"],
        ] {
            let full = try FileHandle(forWritingTo: URL(filePath: "/dev/full"))
            let outcome = try LatheBinary.start(verb, directory: directory.path, output: full).outcome()
            #expect(![0, 64].contains(outcome.status), "\(verb): \(outcome.testDescription)")
            let closed = try bash("shift; exec \"$0\" \"$@\" >&-", LatheBinary.path(), verb)
            #expect(![0, 64].contains(closed.status), "\(verb): \(closed.testDescription)")
        }
    }

    /// Runs a script with a program as `$0`, and arguments behind one that it drops.
    private func bash(_ script: String, _ program: String, _ arguments: [String]) throws -> Outcome {
        try RunningProcess("bash", ["-c", script, program, "-"] + arguments).outcome()
    }
}
