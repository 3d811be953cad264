import Foundation
import Glibc
import LatheTestSupport
import Testing

/// The secret of a first start is shown once, so nothing comes between it and who reads it.
@Suite struct FirstStartTests {
    private let service: ServiceDirectory
    private var directory: TemporaryDirectory { service.directory }

    init() throws { service = try ServiceDirectory() }

    private func arguments(port: Int = 0, ossPort: Int = 0) -> [String] {
        [
            "serve", "--output", "json", "--data-directory", service.path, "--port", "\(port)", "--oss-port",
            "\(ossPort)",
        ]
    }

    /// Starts the service and waits for what it says.
    private func start() throws -> (RunningProcess, JSONValue) {
        let path = directory.file("output-\(UUID().uuidString)")
        try Data().write(to: URL(filePath: path))
        let process = try LatheBinary.start(arguments(), output: FileHandle(forWritingTo: URL(filePath: path)))
        for _ in 0..<1500 {
            if let said = try? JSONDecoder().decode(JSONValue.self, from: Data(contentsOf: URL(filePath: path))) {
                return (process, said)
            }
            guard process.isRunning else { break }
            usleep(20_000)
        }
        process.send(SIGKILL)
        throw PeerError("the service does not listen: \(try process.outcome().testDescription)")
    }

    /// A first start that succeeds, with a secret.
    private func expectFirstStart(sourceLocation: SourceLocation = #_sourceLocation) throws {
        let (process, said) = try start()
        process.send(SIGKILL)
        _ = try process.outcome()
        guard case .text(let secret)? = said["accessKeySecret"] else {
            Issue.record("there is no secret: \(said)", sourceLocation: sourceLocation)
            return
        }
        #expect(secret.count > 20, sourceLocation: sourceLocation)
    }

    @Test(arguments: [true, false]) func aPortThatIsTakenCostsNoSecret(isAPI: Bool) throws {
        let taken = try TakenPort()
        let outcome = try LatheBinary.start(
            isAPI ? arguments(port: taken.number) : arguments(ossPort: taken.number)
        ).outcome()
        #expect(outcome.status == 1 && outcome.errors.contains("port \(taken.number), can't be listened on"))
        #expect(outcome.text.isEmpty)
        try expectFirstStart()
    }

    /// What the configuration has made up is as much a secret.
    @Test func norOneOfTheConfiguration() throws {
        let taken = try TakenPort()
        try service.write(
            #"{"accounts": [{"name": "build", "keys": [{"id": "LTAI5tBuild"}]}]}"#, to: "lathe.json")
        let more = ["--config", directory.file("lathe.json")]
        let outcome = try LatheBinary.start(arguments(port: taken.number) + more).outcome()
        #expect(outcome.status == 1, "\(outcome.testDescription)")
        #expect(try service.run("admin", "key", "list").text.contains("LTAI5tBuild") == false)
        let full = try FileHandle(forWritingTo: URL(filePath: "/dev/full"))
        let unread = try LatheBinary.start(arguments() + more, output: full).outcome()
        #expect(unread.status == 1 && unread.errors.contains("nothing was made"), "\(unread.testDescription)")
        #expect(try service.run("admin", "key", "list").text.contains("LTAI5tBuild") == false)
    }

    @Test func anOutputThatTakesNothingCostsNoSecret() throws {
        let full = try FileHandle(forWritingTo: URL(filePath: "/dev/full"))
        let outcome = try LatheBinary.start(arguments(), output: full).outcome()
        #expect(outcome.status == 1 && outcome.errors.contains("nothing was made"), "\(outcome.testDescription)")
        let closed = try bash("exec \"$@\" >&-", arguments: arguments())
        #expect(closed.status == 1 && closed.errors.contains("nothing was made"), "\(closed.testDescription)")
        try expectFirstStart()
    }

    @Test func aLaterStartSaysHowAnotherKeyIsMade() throws {
        try expectFirstStart()
        let (process, said) = try start()
        defer { process.send(SIGKILL) }
        #expect(said["accessKeySecret"] == nil)
        guard case .text(let command)? = said["newKeyCommand"] else {
            Issue.record("it says no command: \(said)")
            return
        }
        #expect(command.hasPrefix("lathe admin key create --data-directory "))
        let made = try shell("lathe() { \"$LATHE\" \"$@\"; }; \(command)", environment: ["LATHE": LatheBinary.path()])
        #expect(made.status == 0 && made.text.contains("secret: "), "\(made.testDescription)")
    }

    @Test func aKeyWhoseSecretNobodySeesIsNotMade() throws {
        try service.begin()
        for verb in [["admin", "key", "create"], ["admin", "apply", directory.file("more.json")]] {
            try service.write(
                #"{"accounts": [{"name": "build", "keys": [{"id": "LTAI5tMore"}]}]}"#, to: "more.json")
            let full = try FileHandle(forWritingTo: URL(filePath: "/dev/full"))
            let outcome = try LatheBinary.start(verb + ["--data-directory", service.path], output: full).outcome()
            #expect(outcome.status == 1 && outcome.errors.contains("nothing was made"), "\(outcome.testDescription)")
        }
        #expect(try service.run("admin", "key", "list").lines.count == 1)
    }

    /// A key of an endpoint alone lives no longer than the process, which is no use without it.
    @Test func anEndpointWhoseKeyNobodySeesEnds() throws {
        let full = try FileHandle(forWritingTo: URL(filePath: "/dev/full"))
        let outcome = try LatheBinary.start(
            ["serve", "--oss-only", "--data-directory", directory.file("store"), "--port", "0"], output: full
        ).outcome()
        #expect(outcome.status == 1 && outcome.errors.contains("standard output"), "\(outcome.testDescription)")
    }

    /// Runs a script with the binary and arguments of it.
    private func bash(_ script: String, arguments: [String]) throws -> Outcome {
        try RunningProcess("bash", ["-c", script, "-", LatheBinary.path()] + arguments).outcome()
    }
}

/// A port of this machine that somebody listens on.
private final class TakenPort {
    let number: Int
    private let descriptor: Int32

    init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let status = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                let status = unsafe bind(descriptor, pointer, length)
                return unsafe status == 0 && listen(descriptor, 1) == 0
                    && getsockname(descriptor, pointer, &length) == 0
            }
        }
        try #require(status)
        number = Int(UInt16(bigEndian: address.sin_port))
    }

    deinit { close(descriptor) }
}
