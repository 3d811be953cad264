import Foundation
import Glibc
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
///
/// It is started by `posix_spawn`: Foundation's `Process` has crashed in `run` where many tests start programs at once.
final class RunningProcess {
    let identifier: pid_t
    /// As `waitpid` has it; nil while nobody has waited for the end.
    private var status: Int32?
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
        var variables = ProcessInfo.processInfo.environment
        variables["SOURCE_DATE_EPOCH"] = nil
        variables.merge(environment) { _, new in new }
        identifier = try Self.spawn(
            Tool.path(executable), arguments, variables.map { "\($0)=\($1)" }, directory: directory,
            descriptors: [input, output ?? kept, errors].map { $0?.fileDescriptor ?? -1 })
        withExtendedLifetime((input, output)) {}
    }

    deinit {
        guard status == nil else { return }
        kill(identifier, SIGKILL)
        _ = try? wait()
    }

    /// Starts a program with these descriptors for 0, 1 and 2, and no other.
    private static func spawn(
        _ path: String, _ arguments: [String], _ variables: [String], directory: String?, descriptors: [Int32]
    ) throws -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        for (target, descriptor) in descriptors.enumerated() {
            // Foundation's null device has no descriptor.
            if descriptor < 0 {
                unsafe posix_spawn_file_actions_addopen(&actions, Int32(target), "/dev/null", O_RDWR, 0)
            } else {
                unsafe posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(target))
            }
        }
        // A pipe's end that is left open in a child keeps its reader waiting. One that is closed already is no error.
        for open in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap(Int32.init)
        where open > STDERR_FILENO {
            unsafe posix_spawn_file_actions_addclose(&actions, open)
        }
        // Threads of the test runner block signals, and a test may ignore some: neither is for the program to inherit.
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe posix_spawnattr_setsigmask(&attributes, &signals)
        for signal in [SIGPIPE, SIGXFSZ] { unsafe sigaddset(&signals, signal) }
        unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
        unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        // What would change the directory in between is GNU's, and unknown to Swift.
        let wrapper = directory.map { ["/usr/bin/env", "--chdir", $0] } ?? []
        let command = wrapper + [path] + arguments
        var words: [UnsafeMutablePointer<CChar>?] = unsafe command.map { unsafe strdup($0) } + [nil]
        defer { unsafe words.forEach { unsafe free($0) } }
        var settings: [UnsafeMutablePointer<CChar>?] = unsafe variables.map { unsafe strdup($0) } + [nil]
        defer { unsafe settings.forEach { unsafe free($0) } }
        var child: pid_t = 0
        let failure = unsafe posix_spawn(&child, command[0], &actions, &attributes, &words, &settings)
        guard failure == 0 else {
            throw Tool.Missing(description: "\(path) can't be started: \(unsafe String(cString: strerror(failure)))")
        }
        return child
    }

    /// Asks how the process ended; nil where it has not.
    private func wait(_ options: Int32 = 0) throws -> Int32? {
        if let status { return status }
        var found: Int32 = 0
        var answer: pid_t
        repeat { answer = unsafe waitpid(identifier, &found, options) } while answer < 0 && errno == EINTR
        if answer == 0 { return nil }
        guard answer == identifier else { throw Tool.Missing(description: "\(command) is no child of ours") }
        status = found
        return found
    }

    var isRunning: Bool {
        do { return try wait(WNOHANG) == nil } catch { return false }
    }

    /// Waits until the program keeps a signal from ending it, as `lathe` does before its work begins; half a minute at most.
    func waitUntilItBlocks(_ signal: Int32) { wait(for: "SigBlk:", signal) }

    /// Waits until the program ignores a signal.
    func waitUntilItIgnores(_ signal: Int32) { wait(for: "SigIgn:", signal) }

    /// - Parameter field: a mask of signals in /proc/PID/status.
    private func wait(for field: String, _ signal: Int32) {
        for _ in 0..<3000 where isRunning {
            let text = (try? String(contentsOfFile: "/proc/\(identifier)/status", encoding: .utf8)) ?? ""
            let line = text.split(separator: "\n").first { $0.hasPrefix(field) } ?? ""
            let mask = UInt64(line.dropFirst(field.count).drop { $0.isWhitespace }, radix: 16) ?? 0
            if mask >> UInt64(signal - 1) & 1 == 1 { return }
            usleep(10_000)
        }
    }

    func send(_ signal: Int32) { if status == nil { kill(identifier, signal) } }

    /// Waits for the end.
    func outcome() throws -> Outcome {
        let ended = try wait() ?? -1
        let signal = ended & 0x7f
        return Outcome(
            command: command, status: signal == 0 ? ended >> 8 & 0xff : nil, signal: signal == 0 ? nil : signal,
            output: try output.map(Self.content) ?? Data(),
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
