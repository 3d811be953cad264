import Foundation
import LatheTestSupport
import Testing

/// A data directory of the service, on which `lathe admin` and `lathe image` are run.
struct ServiceDirectory {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    var path: String { directory.file("service") }

    /// Runs a verb on it.
    func run(_ arguments: String..., input: FileHandle = .nullDevice) throws -> Outcome {
        try LatheBinary.start(arguments + ["--data-directory", path], directory: directory.path, input: input).outcome()
    }

    /// Runs a verb that must be done, and answers what it says in JSON.
    func json(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) throws -> JSONValue {
        let outcome = try LatheBinary.start(
            arguments + ["--data-directory", path, "--output", "json"], directory: directory.path
        ).outcome()
        #expect(outcome.status == 0, "\(outcome.testDescription)", sourceLocation: sourceLocation)
        return try outcome.json(sourceLocation: sourceLocation)
    }

    func write(_ text: String, to name: String) throws {
        try text.write(toFile: directory.file(name), atomically: true, encoding: .utf8)
    }

    /// A raw disk without content, of so many bytes.
    func writeDisk(_ name: String, bytes: UInt64 = 1 << 20) throws {
        try Data().write(to: URL(filePath: directory.file(name)))
        let file = try FileHandle(forWritingTo: URL(filePath: directory.file(name)))
        try file.truncate(atOffset: bytes)
        try file.close()
    }

    /// A region and an account, so that there is something to work on.
    func begin() throws {
        _ = try json("admin", "region", "set", "cn-hangzhou", "--local-name", "Hangzhou")
        _ = try json("admin", "account", "create", "--name", "build", "--id", "1234567890123456")
    }
}
