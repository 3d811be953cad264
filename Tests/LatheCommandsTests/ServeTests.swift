import Foundation
import LatheTestSupport
import Testing

/// `lathe serve --oss-only`.
@Suite struct ServeTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// What the server says when it listens.
    private struct Report: Decodable {
        var endpoint: String
        var directory: String
        var accessKeyId: String?
        var accessKeySecret: String?
    }

    /// Starts a server on a free port and waits until it listens.
    private func start(_ options: [String]) throws -> (RunningProcess, Report) {
        let path = directory.file("output-\(UUID().uuidString)")
        try Data().write(to: URL(filePath: path))
        let output = try FileHandle(forWritingTo: URL(filePath: path))
        let process = try RunningProcess(
            "env",
            ["--default-signal=INT,TERM,HUP", LatheBinary.path(), "serve", "--oss-only", "--data-directory"]
                + [directory.file("store"), "--port", "0", "--output", "json"] + options, output: output)
        for _ in 0..<1000 {
            if let report = try? JSONDecoder().decode(Report.self, from: Data(contentsOf: URL(filePath: path))) {
                return (process, report)
            }
            guard process.isRunning else { break }
            usleep(20_000)
        }
        process.send(SIGKILL)
        throw PeerError("the server does not listen: \(try process.outcome().testDescription)")
    }

    /// Runs Python with `endpoint` as its first argument.
    private func python(_ script: String, _ arguments: String...) throws -> Outcome {
        try RunningProcess("python3", ["-c", script] + arguments).outcome()
    }

    private static let putAndGet = """
        import sys, urllib.request as u
        address = sys.argv[1] + '/disks/'
        u.urlopen(u.Request(address, method='PUT'))
        u.urlopen(u.Request(address + 'a/b', data=b'12345', method='PUT'))
        print(u.urlopen(address + 'a/b').read().decode())
        """

    @Test(arguments: [SIGINT, SIGTERM]) func aServerServesUntilASignalEndsIt(signal: Int32) throws {
        let (process, report) = try start(["--anonymous", "--verbose"])
        #expect(report.directory == directory.file("store"))
        #expect(report.accessKeySecret == nil)
        let outcome = try python(Self.putAndGet, report.endpoint)
        #expect(outcome.text == "12345\n", "\(outcome.testDescription)")
        process.send(signal)
        let end = try process.outcome()
        #expect(end.status == 0, "\(end.testDescription)")
        #expect(end.errors.contains(/PUT \/disks\/a\/b 200 [0-9]+ ms [0-9A-F]{24}\n/))
        #expect(try String(contentsOfFile: directory.file("store/disks/a/b"), encoding: .utf8) == "12345")
        // What one server has kept, the next one serves.
        let (next, second) = try start(["--anonymous"])
        let again = try python(
            "import sys, urllib.request as u; print(u.urlopen(sys.argv[1] + '/disks/a/b').read())", second.endpoint)
        #expect(again.text == "b'12345'\n")
        next.send(SIGTERM)
        let quiet = try next.outcome()
        #expect(quiet.status == 0 && quiet.errors.isEmpty)
    }

    @Test(.requiresPeer("python")) func aKeyIsMadeUpWhereNoneIsGiven() throws {
        let (process, report) = try start([])
        let (other, second) = try start([])
        defer { other.send(SIGKILL) }
        let id = try #require(report.accessKeyId)
        let secret = try #require(report.accessKeySecret)
        #expect(id.hasPrefix("LATHE") && secret.count == 30)
        #expect(second.accessKeyId != id && second.accessKeySecret != secret)
        let script = """
            import oss2, sys
            endpoint, id, secret = sys.argv[1:]
            bucket = oss2.Bucket(oss2.AuthV4(id, secret), endpoint, 'disks', region='cn-hangzhou')
            bucket.create_bucket()
            bucket.put_object('k', b'1')
            try:
                oss2.Bucket(oss2.AnonymousAuth(), endpoint, 'disks').get_object('k')
            except oss2.exceptions.AccessDenied:
                print('denied')
            """
        #expect(try PeerPrograms.python(script, [report.endpoint, id, secret]) == "denied\n")
        process.send(SIGTERM)
        let outcome = try process.outcome()
        #expect(outcome.status == 0 && !outcome.errors.contains(secret))
    }

    @Test(.requiresPeer("python")) func keysComeFromAFile() throws {
        let file = directory.file("keys")
        try "# keys\n\nfirst: one\n second:two:2 \n".write(toFile: file, atomically: true, encoding: .utf8)
        let (process, report) = try start(["--credentials-file", file])
        defer { process.send(SIGKILL) }
        #expect(report.accessKeyId == nil)
        let script = """
            import oss2, sys
            for id, secret in (('first', 'one'), ('second', 'two:2')):
                oss2.Bucket(oss2.Auth(id, secret), sys.argv[1], 'disks').create_bucket()
            """
        #expect(try PeerPrograms.python(script, [report.endpoint]).isEmpty)
    }

    @Test func aFileWithoutKeysIsAnErrorThatTellsNone() throws {
        for (text, message) in [("id secret-word\n", "line 1 is no key"), ("# none\n", "there is no key in the file")] {
            let file = directory.file("keys")
            try text.write(toFile: file, atomically: true, encoding: .utf8)
            let outcome = try lathe(
                "serve", "--oss-only", "--data-directory", directory.file("store"), "--credentials-file", file)
            #expect(outcome.status == 1 && outcome.errors.contains(message), "\(outcome.testDescription)")
            #expect(!outcome.errors.contains("secret-word"))
        }
    }

    @Test(arguments: [
        (["--data-directory", "d", "--anonymous"], "--anonymous goes with --oss-only"),
        (["--data-directory", "d", "--domain", "x.y"], "--domain goes with --oss-only"),
        (["--data-directory", "d", "--workers", "0"], "--workers 0"),
        (["--data-directory", "d", "--s3"], "--s3 goes with --oss-endpoint"),
        (
            ["--data-directory", "d", "--oss-endpoint", "http://x", "--oss-port", "1"],
            "--oss-port is for the embedded store"
        ),
        (["--oss-only", "--data-directory", "d", "--workers", "3"], "--workers is not for --oss-only"),
        (["--oss-only"], "--data-directory"),
        (["--oss-only", "--data-directory", "d", "--port", "65536"], "--port 65536"),
        (["--oss-only", "--data-directory", "d", "--access-key-id", "a"], "go together"),
        (["--oss-only", "--data-directory", "d", "--region", "a/b"], "--region 'a/b'"),
        (["--oss-only", "--data-directory", "d", "--domain", ""], "--domain ''"),
        (
            [
                "--oss-only", "--data-directory", "d", "--access-key-id", "a", "--access-key-secret", "b",
                "--credentials-file", "f",
            ], "not from both"
        ),
    ]) func aCommandLineThatIsWrongIsExit64(arguments: [String], message: String) throws {
        let outcome = try lathe(["serve"] + arguments)
        #expect(outcome.status == 64 && outcome.errors.contains(message), "\(outcome.testDescription)")
    }

    /// What help names is what is taken.
    @Test func helpNamesTheWaysToNameABucket() throws {
        let help = try lathe("serve", "--help").text
        #expect(help.contains("(values: auto, virtual, path, cname)"))
        let wrong = try lathe("serve", "--oss-endpoint", "http://x", "--oss-addressing", "virtualHosted")
        #expect(wrong.status == 64 && wrong.errors.contains("'auto', 'virtual', 'path' or 'cname'"))
    }

    @Test func whatCanNotBeServedIsSaid() throws {
        let file = directory.file("file")
        try Data().write(to: URL(filePath: file))
        let noDirectory = try lathe("serve", "--oss-only", "--data-directory", file, "--anonymous")
        #expect(noDirectory.status == 1 && noDirectory.errors.contains(file), "\(noDirectory.testDescription)")
        let (process, report) = try start(["--anonymous"])
        defer { process.send(SIGKILL) }
        let port = try #require(report.endpoint.split(separator: ":").last.map(String.init))
        let taken = try lathe(
            "serve", "--oss-only", "--data-directory", directory.file("other"), "--anonymous", "--port", port)
        #expect(taken.status == 1 && taken.errors.contains("port \(port), can't be listened on"))
    }

    @Test func aSecondSignalEndsItAtOnce() throws {
        let (process, report) = try start(["--anonymous"])
        let script = """
            import socket, sys, time, urllib.parse, urllib.request as u
            u.urlopen(u.Request(sys.argv[1] + '/disks/', method='PUT'))
            at = urllib.parse.urlparse(sys.argv[1])
            s = socket.create_connection((at.hostname, at.port))
            s.sendall(b'PUT /disks/x HTTP/1.1\\r\\nHost: h\\r\\nContent-Length: 1000\\r\\n\\r\\nsome')
            print('sent', flush=True)
            time.sleep(60)
            """
        let said = directory.file("said")
        try Data().write(to: URL(filePath: said))
        let client = try RunningProcess(
            "python3", ["-c", script, report.endpoint], output: FileHandle(forWritingTo: URL(filePath: said)))
        defer { client.send(SIGKILL) }
        while client.isRunning, try Data(contentsOf: URL(filePath: said)).isEmpty { usleep(10_000) }
        process.send(SIGTERM)
        usleep(300_000)
        // The request that is under way keeps it for a while.
        #expect(process.isRunning)
        process.send(SIGTERM)
        #expect(try process.outcome().status == 143)
    }

    /// The bound: a large object goes through in a few MiB.
    @Test func aLargeObjectTakesLittleMemory() throws {
        let (process, report) = try start(["--anonymous"])
        let script = """
            import socket, sys, urllib.parse, urllib.request as u
            u.urlopen(u.Request(sys.argv[1] + '/disks/', method='PUT'))
            at = urllib.parse.urlparse(sys.argv[1])
            s = socket.create_connection((at.hostname, at.port))
            piece, count = bytes(1 << 20), 400
            s.sendall(b'PUT /disks/x HTTP/1.1\\r\\nHost: h\\r\\nContent-Length: %d\\r\\n\\r\\n' % (count << 20))
            for _ in range(count): s.sendall(piece)
            print(s.recv(4096).split()[1].decode())
            s.sendall(b'GET /disks/x HTTP/1.1\\r\\nHost: h\\r\\nConnection: close\\r\\n\\r\\n')
            print(sum(len(p) for p in iter(lambda: s.recv(1 << 20), b'')) >> 20)
            """
        let outcome = try python(script, report.endpoint)
        #expect(outcome.lines == ["200", "400"], "\(outcome.testDescription)")
        // `env` has become the server.
        let status = try String(contentsOfFile: "/proc/\(process.identifier)/status", encoding: .utf8)
        let peak = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }?.split(separator: " ").dropFirst()
            .first
        let kibibytes = try #require(peak.flatMap { Int($0) })
        print("aLargeObjectTakesLittleMemory: \(kibibytes) KiB at most")
        #expect(kibibytes < 100 << 10)
        process.send(SIGTERM)
        #expect(try process.outcome().status == 0)
    }
}
