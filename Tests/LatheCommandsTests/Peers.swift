import Foundation
import Testing

/// Programs of others that ours is held against.
enum Peers {
    /// Set by `scripts/test` and CI: a peer that is absent fails its tests instead of skipping them.
    static let areRequired = ProcessInfo.processInfo.environment["LATHE_REQUIRE_PEERS"] == "1"

    static func canRun(_ names: String...) -> Bool { areRequired || names.allSatisfy(Tool.isInstalled) }
}

extension Trait where Self == ConditionTrait {
    /// Skips where qemu-img is absent; with LATHE_REQUIRE_PEERS=1 the test runs, and fails for want of it.
    static var requiresQEMU: Self { .enabled(if: Peers.canRun("qemu-img"), "qemu-img is not installed") }

    /// What unpacks a `.tar.gz`: GNU tar, bsdtar, gzip and Python's tarfile.
    static var requiresTar: Self {
        .enabled(
            if: Peers.canRun("tar", "bsdtar", "gzip", "python3"), "tar, bsdtar, gzip or python3 is not installed")
    }

    static var requiresExt4: Self { .enabled(if: Peers.canRun("mkfs.ext4"), "mkfs.ext4 is not installed") }

    /// Python with its jsonschema package.
    static var requiresJSONSchema: Self {
        .enabled(if: Peers.areRequired || JSONSchema.python != nil, "python3-jsonschema is not installed")
    }

    /// Only root can mount, drop privileges, and read what others can't.
    static var requiresRoot: Self { .enabled(if: geteuid() == 0, "not run as root") }
}

/// Asks qemu-img.
enum QEMU {
    static func run(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) throws -> Outcome {
        try RunningProcess("qemu-img", arguments).outcome()
    }

    /// Wants it to succeed.
    @discardableResult
    static func make(_ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation) throws -> Outcome {
        try Tool.run("qemu-img", arguments, sourceLocation: sourceLocation)
    }
}

/// Holds JSON against a schema of `schemas/`.
enum JSONSchema {
    /// The Python that has the package: Debian's own first, since another may stand before it in PATH.
    static let python: String? = ["/usr/bin/python3", "python3"].first {
        (try? RunningProcess($0, ["-c", "import jsonschema"]).outcome().status) == 0
    }

    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "schemas")

    /// What is wrong with a file of JSON; empty where it is as the schema says, and the schema is one.
    static func findings(_ file: String, against schema: String) throws -> String {
        guard let python else { throw Tool.Missing(description: "python3-jsonschema is not installed") }
        let script = """
            import json, sys, jsonschema
            schema = json.load(open(sys.argv[2]))
            jsonschema.Draft202012Validator.check_schema(schema)
            for error in jsonschema.Draft202012Validator(schema).iter_errors(json.load(open(sys.argv[1]))):
                print(error.json_path, error.message)
            """
        let outcome = try RunningProcess(
            python, ["-c", script, file, folder.appending(path: schema).path]
        ).outcome()
        return outcome.status == 0 ? outcome.text : outcome.testDescription
    }
}
