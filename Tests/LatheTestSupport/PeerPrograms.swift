internal import Foundation
internal import Glibc
internal import Synchronization
public import Testing

/// The clients and servers of others that `scripts/install-peers` installs.
public enum PeerPrograms {
    /// Set by `scripts/test` and CI: a peer that is absent fails its tests instead of skipping them.
    public static let areRequired = ProcessInfo.processInfo.environment["LATHE_REQUIRE_PEERS"] == "1"

    /// `$LATHE_PEERS`, else `.build-peers/bin` at the root of the repository.
    public static let directory: String =
        ProcessInfo.processInfo.environment["LATHE_PEERS"]
        ?? URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: ".build-peers/bin").path

    /// Where a peer is: `weed`, `rclone`, `moto_server`, or `python`, which has the vendor's clients.
    public static func path(_ name: String) -> String { "\(directory)/\(name)" }

    public static func isInstalled(_ name: String) -> Bool { unsafe access(path(name), X_OK) == 0 }

    /// Runs a peer to its end.
    ///
    /// - Parameters:
    ///   - environment: what is added to ours.
    ///   - seconds: it is killed after so many.
    public static func run(
        _ name: String, _ arguments: [String], environment: [String: String] = [:], seconds: Int = 120
    ) throws -> PeerOutcome {
        let process = try PeerProcess([path(name)] + arguments, environment: environment)
        return try process.outcome(within: seconds)
    }

    /// Runs Python with the vendor's clients, and wants it to succeed.
    ///
    /// - Returns: what it prints.
    public static func python(
        _ script: String, _ arguments: [String] = [], environment: [String: String] = [:],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> String {
        let outcome = try run("python", ["-c", script] + arguments, environment: environment)
        if outcome.status != 0 {
            Issue.record("python: \(outcome.output)\(outcome.errors)", sourceLocation: sourceLocation)
        }
        return outcome.output
    }
}

/// How a peer ended and what it said.
public struct PeerOutcome: Sendable, CustomTestStringConvertible {
    /// The exit code; nil where a signal ended it.
    public var status: Int32?
    public var output: String
    public var errors: String

    public var testDescription: String {
        "exit \(status.map(String.init) ?? "by a signal")\n\(output.prefix(4000))\(errors.prefix(4000))"
    }
}

/// A peer that can't be had, or does not do what it must.
public struct PeerError: Error, CustomStringConvertible {
    public var description: String

    public init(_ description: String) { self.description = description }
}

extension Trait where Self == ConditionTrait {
    /// Skips where a peer is absent; with LATHE_REQUIRE_PEERS=1 the test runs, and fails for want of it.
    public static func requiresPeer(_ name: String) -> Self {
        .enabled(
            if: PeerPrograms.areRequired || PeerPrograms.isInstalled(name),
            "\(name) is not in \(PeerPrograms.directory): run scripts/install-peers")
    }
}

/// A process of a peer, whose output goes to files; it ends with its owner at the latest, or with us.
public final class PeerProcess: Sendable {
    private let directory: TemporaryDirectory
    private let child: pid_t
    /// The shell around the program kills it when this end of a pair is closed, so also when we are killed.
    private let leash: Mutex<Int32?>

    /// - Parameter arguments: a path, and what follows it.
    public init(_ arguments: [String], environment: [String: String] = [:]) throws {
        guard let program = arguments.first, unsafe access(program, X_OK) == 0 else {
            throw PeerError("\(arguments.first ?? "") is not installed: run scripts/install-peers")
        }
        directory = try TemporaryDirectory()
        var ends: [Int32] = [0, 0]
        // A pair of sockets, since no pipe can be made here that others' children don't get as well.
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard unsafe socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw PeerError("socketpair: errno \(errno)") }
        defer { close(ends[0]) }
        leash = Mutex(ends[1])
        // A shell gives what it starts in the background /dev/null to read: the watcher reads descriptor 3 instead.
        let script = """
            output=$1; errors=$2; status=$3; shift 3
            "$@" </dev/null >"$output" 2>"$errors" & child=$!
            { read -r line <&3; kill -9 $child; } 2>/dev/null & watcher=$!
            wait $child; printf '%s\\n' $? >"$status.new"; mv "$status.new" "$status"
            kill $watcher 2>/dev/null
            """
        let files = ["output", "errors", "status"].map { [directory] in directory.file($0) }
        let words = ["sh", "-c", script, "sh"] + files + arguments
        child = try Self.spawn(words, environment: environment, leash: ends[0])
    }

    deinit { end() }

    /// Kills the program, if it runs, and waits for its end.
    public func end() {
        let end = leash.withLock { $0.take() }
        guard let end else { return }
        close(end)
        var status: Int32 = 0
        while unsafe waitpid(child, &status, 0) < 0 && errno == EINTR {}
    }

    public var isRunning: Bool { unsafe access(directory.file("status"), F_OK) != 0 }

    /// What it has printed.
    public var output: String { (try? String(contentsOfFile: directory.file("output"), encoding: .utf8)) ?? "" }
    public var errors: String { (try? String(contentsOfFile: directory.file("errors"), encoding: .utf8)) ?? "" }

    /// Waits for the end by itself.
    public func outcome(within seconds: Int) throws -> PeerOutcome {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while isRunning {
            guard ContinuousClock.now < deadline else {
                end()
                throw PeerError("a peer did not end within \(seconds) s: \(output.suffix(2000))\(errors.suffix(2000))")
            }
            usleep(5000)
        }
        let text = try String(contentsOfFile: directory.file("status"), encoding: .utf8)
        end()
        let status = Int32(text.trimmingCharacters(in: .whitespacesAndNewlines))
        return PeerOutcome(status: status, output: output, errors: errors)
    }

    private static func spawn(_ words: [String], environment: [String: String], leash: Int32) throws -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        // dup2 onto itself would keep close-on-exec.
        if leash == 3 {
            unsafe posix_spawn_file_actions_adddup2(&actions, leash, 9)
            unsafe posix_spawn_file_actions_adddup2(&actions, 9, 3)
            unsafe posix_spawn_file_actions_addclose(&actions, 9)
        } else {
            unsafe posix_spawn_file_actions_adddup2(&actions, leash, 3)
        }
        // A socket that a peer has inherited stays open when its owner closes it, and NIO marks none of its own.
        // To close what is not open is no failure (glibc, posix_spawn).
        for number: Int32 in 4..<1024 { unsafe posix_spawn_file_actions_addclose(&actions, number) }
        // Threads that run tests block signals, and a shell that does not hear of its child's end waits for ever.
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe posix_spawnattr_setsigmask(&attributes, &signals)
        unsafe sigaddset(&signals, SIGPIPE)
        unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
        unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        let inherited = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
        var arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) } + [nil]
        defer { unsafe arguments.forEach { unsafe free($0) } }
        var variables: [UnsafeMutablePointer<CChar>?] =
            unsafe inherited.map { unsafe strdup("\($0.key)=\($0.value)") } + [nil]
        defer { unsafe variables.forEach { unsafe free($0) } }
        var child: pid_t = 0
        let status = unsafe posix_spawn(&child, "/bin/sh", &actions, &attributes, &arguments, &variables)
        guard status == 0 else { throw PeerError("posix_spawn /bin/sh: errno \(status)") }
        return child
    }
}

/// A TCP port of 127.0.0.1 that nobody listened on a moment ago.
public func freePort() throws -> Int {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { throw PeerError("socket: errno \(errno)") }
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let status = unsafe withUnsafeMutablePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { socketAddress in
            guard unsafe bind(descriptor, socketAddress, length) == 0 else { return Int32(-1) }
            return unsafe getsockname(descriptor, socketAddress, &length)
        }
    }
    guard status == 0 else { throw PeerError("bind: errno \(errno)") }
    return Int(UInt16(bigEndian: address.sin_port))
}
