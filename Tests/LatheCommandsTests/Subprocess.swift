import Foundation
import Testing

/// How a process ended and what it said.
struct Outcome: CustomTestStringConvertible {
    var command: String
    /// The exit code; nil where a signal ended the process.
    var status: Int32?
    /// The signal that ended the process.
    var signal: Int32?
    var output: Data
    var errors: String

    var text: String { String(decoding: output, as: UTF8.self) }
    var lines: [String] { text.split(separator: "\n").map(String.init) }

    /// Standard output as JSON.
    func json(sourceLocation: SourceLocation = #_sourceLocation) throws -> JSONValue {
        do { return try JSONDecoder().decode(JSONValue.self, from: output) } catch {
            Issue.record("not JSON: \(testDescription)", sourceLocation: sourceLocation)
            throw error
        }
    }

    var testDescription: String {
        let end = signal.map { "signal \($0)" } ?? "exit \(status ?? -1)"
        return "\(command): \(end)\n\(text.prefix(2000))\(errors.prefix(2000))"
    }
}

/// A process that runs; its output goes to files without a name, so that none can fill a pipe that nobody reads.
final class RunningProcess {
    private let process = Process()
    private let ended = DispatchSemaphore(value: 0)
    /// nil where the caller gave one.
    private let output: FileHandle?
    private let errors: FileHandle
    private let command: String

    /// - Parameters:
    ///   - executable: a path, or a name that is looked up in PATH.
    ///   - environment: what is added to ours.
    ///   - input: standard input; empty by default.
    ///   - output: standard output; kept for the outcome by default.
    init(
        _ executable: String, _ arguments: [String], environment: [String: String] = [:], directory: String? = nil,
        input: FileHandle = .nullDevice, output: FileHandle? = nil
    ) throws {
        let kept = try output == nil ? Self.namelessFile() : nil
        self.output = kept
        errors = try Self.namelessFile()
        command = ([executable] + arguments).joined(separator: " ")
        process.executableURL = URL(filePath: try Tool.path(executable))
        process.arguments = arguments
        var inherited = ProcessInfo.processInfo.environment
        inherited["SOURCE_DATE_EPOCH"] = nil
        process.environment = inherited.merging(environment) { _, new in new }
        if let directory { process.currentDirectoryURL = URL(filePath: directory) }
        process.standardInput = input
        process.standardOutput = output ?? kept
        process.standardError = errors
        process.terminationHandler = { [ended] _ in ended.signal() }
        try process.run()
    }

    var identifier: Int32 { process.processIdentifier }
    var isRunning: Bool { process.isRunning }

    func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

    /// Waits for the end.
    func outcome() throws -> Outcome {
        ended.wait()
        let wasKilled = process.terminationReason == .uncaughtSignal
        return Outcome(
            command: command, status: wasKilled ? nil : process.terminationStatus,
            signal: wasKilled ? process.terminationStatus : nil, output: try output.map(Self.content) ?? Data(),
            errors: String(decoding: try Self.content(errors), as: UTF8.self))
    }

    private static func namelessFile() throws -> FileHandle {
        let url = FileManager.default.temporaryDirectory.appending(path: "lathe-test-\(UUID().uuidString).output")
        try Data().write(to: url)
        defer { try? FileManager.default.removeItem(at: url) }
        return try FileHandle(forUpdating: url)
    }

    private static func content(_ file: FileHandle) throws -> Data {
        try file.seek(toOffset: 0)
        return try file.readToEnd() ?? Data()
    }
}

/// Finds programs.
enum Tool {
    struct Missing: Error, CustomStringConvertible {
        var description: String
    }

    /// The path of a program; a name without a slash is looked up in PATH, then where administrators' programs are.
    static func path(_ name: String) throws -> String {
        if name.contains("/") { return name }
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        for directory in path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"] {
            let candidate = "\(directory)/\(name)"
            if FileManager.default.isExecutableFile(atPath: candidate) { return candidate }
        }
        throw Missing(description: "\(name) is not installed")
    }

    static func isInstalled(_ name: String) -> Bool { (try? path(name)) != nil }

    /// Runs a program and wants it to succeed.
    @discardableResult
    static func run(_ name: String, _ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation) throws
        -> Outcome
    {
        let outcome = try RunningProcess(name, arguments).outcome()
        #expect(outcome.status == 0, sourceLocation: sourceLocation)
        return outcome
    }
}

/// The `lathe` binary that was built together with these tests.
enum LatheBinary {
    static func path() throws -> String {
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let path = URL(filePath: tests).deletingLastPathComponent().appending(path: "lathe").path
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw Tool.Missing(description: "there is no lathe beside the tests, at \(path): build with --build-tests")
        }
        return path
    }

    static func start(
        _ arguments: [String], environment: [String: String] = [:], directory: String? = nil,
        input: FileHandle = .nullDevice, output: FileHandle? = nil
    ) throws -> RunningProcess {
        try RunningProcess(
            path(), arguments, environment: environment, directory: directory, input: input, output: output)
    }
}

/// Runs `lathe` with arguments to its end.
func lathe(
    _ arguments: String..., environment: [String: String] = [:], directory: String? = nil,
    input: FileHandle = .nullDevice, output: FileHandle? = nil
) throws -> Outcome {
    try LatheBinary.start(
        arguments, environment: environment, directory: directory, input: input, output: output
    ).outcome()
}

/// The same for arguments that are made up.
func lathe(_ arguments: [String], environment: [String: String] = [:]) throws -> Outcome {
    try LatheBinary.start(arguments, environment: environment).outcome()
}

/// Runs a shell script in which `$1` is `lathe`, and `$2` and on are arguments.
func shell(_ script: String, _ arguments: String..., environment: [String: String] = [:]) throws -> Outcome {
    let path = try LatheBinary.path()
    return try RunningProcess("bash", ["-c", script, "bash", path] + arguments, environment: environment).outcome()
}
