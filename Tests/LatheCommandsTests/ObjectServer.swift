import Foundation
import LatheTestSupport
import Testing

/// A process that prints a line when it is ready, and is ended by its owner.
final class Service {
    /// What it printed.
    let greeting: String
    private let process: RunningProcess
    /// A child that reads to the end of it ends with us, however we end.
    private let input = Pipe()

    init(_ executable: String, _ arguments: [String], in directory: TemporaryDirectory) throws {
        let path = directory.file("service-\(UUID().uuidString)")
        try Data().write(to: URL(filePath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        process = try RunningProcess(
            executable, arguments, environment: ["HOME": directory.path], input: input.fileHandleForReading,
            output: FileHandle(forWritingTo: URL(filePath: path)))
        for _ in 0..<3000 {
            let text = try String(contentsOfFile: path, encoding: .utf8)
            if text.hasSuffix("}\n") || text.last == "\n" && Int(text.dropLast()) != nil {
                greeting = text
                return
            }
            guard process.isRunning else { break }
            usleep(10_000)
        }
        process.send(SIGKILL)
        throw Tool.Missing(description: "it does not serve: \(try process.outcome().testDescription)")
    }

    deinit {
        process.send(SIGKILL)
        _ = try? process.outcome()
    }
}

/// `lathe serve --oss-only` over a directory with one bucket, on a free port.
final class ObjectServer {
    static let bucket = "images"
    private static let keyID = "a-key"
    private static let secret = "a-secret"

    /// The directory of the buckets.
    let path: String
    let endpoint: String
    private let service: Service

    init(_ path: String, in directory: TemporaryDirectory) throws {
        self.path = path
        try FileManager.default.createDirectory(atPath: "\(path)/\(Self.bucket)", withIntermediateDirectories: true)
        service = try Service(
            LatheBinary.path(),
            [
                "serve", "--oss-only", "--data-directory", path, "--port", "0", "--access-key-id", Self.keyID,
                "--access-key-secret", Self.secret, "--output", "json",
            ], in: directory)
        let answer = try JSONDecoder().decode(JSONValue.self, from: Data(service.greeting.utf8))
        endpoint = try #require(answer["endpoint"]?.text)
    }

    var port: String { String(endpoint.split(separator: ":").last ?? "") }

    /// What a client of it has in its environment.
    static func environment(_ endpoint: String, home: String) -> [String: String] {
        [
            "OSS_ENDPOINT": endpoint, "OSS_REGION": "cn-hangzhou", "OSS_ACCESS_KEY_ID": keyID,
            "OSS_ACCESS_KEY_SECRET": secret, "OSS_SESSION_TOKEN": "", "HOME": home,
        ]
    }

    /// An object's bytes, as the directory has them; nil where there is none.
    func object(_ key: String) -> Data? {
        try? Data(contentsOf: URL(filePath: "\(path)/\(Self.bucket)/\(key)"), options: .alwaysMapped)
    }
}

/// A proxy before a server, which breaks what it is told to; see `Tests/Proxies/fault_proxy.py`.
final class FaultProxy {
    /// What it is told.
    struct Rule: Encodable, Sendable {
        /// Searched for in `METHOD /path?query`.
        var match: String
        var action: String
        var skip = 0
        var count = 1
        var status: Int?
        var code: String?
        var headers: [String: String]?
        var seconds: Double?
        /// In bytes a second.
        var rate: Int?
    }

    /// A line of its log.
    struct Entry: Decodable, Sendable {
        var event: String
        var n: Int
        var method: String
        var target: String
        var range: String?
        var action: String?
        /// What the server answered.
        var status: Int?
        /// Whether the client took all of the answer.
        var delivered: Bool?
        /// In seconds, of a clock that only goes forwards.
        var time: Double

        /// The first and last byte that were asked for.
        var bytes: ClosedRange<UInt64>? {
            guard let ends = range?.dropFirst("bytes=".count).split(separator: "-").compactMap({ UInt64($0) }),
                ends.count == 2
            else { return nil }
            return ends[0]...ends[1]
        }

        /// A parameter of the query.
        func parameter(_ name: String) -> String? {
            for pair in target.split(separator: "?").dropFirst().joined().split(separator: "&")
            where pair.hasPrefix(name + "=") {
                return String(pair.dropFirst(name.count + 1))
            }
            return nil
        }
    }

    let endpoint: String
    private let rulesPath: String
    private let logPath: String
    private let service: Service

    private static let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Proxies/fault_proxy.py").path

    init(before server: ObjectServer, in directory: TemporaryDirectory) throws {
        rulesPath = directory.file("rules.json")
        logPath = directory.file("log.jsonl")
        try Data("[]".utf8).write(to: URL(filePath: rulesPath))
        try Data().write(to: URL(filePath: logPath))
        service = try Service(
            "python3", [Self.script, "127.0.0.1", server.port, rulesPath, logPath], in: directory)
        endpoint = "http://127.0.0.1:\(service.greeting.dropLast())"
    }

    /// Applies from the next request on; all counts begin anew.
    func set(_ rules: [Rule]) throws {
        try JSONEncoder().encode(rules).write(to: URL(filePath: rulesPath), options: .atomic)
    }

    func log() throws -> [Entry] {
        let text = try Data(contentsOf: URL(filePath: logPath))
        return try text.split(separator: UInt8(ascii: "\n")).filter { $0.last == UInt8(ascii: "}") }.map {
            try JSONDecoder().decode(Entry.self, from: Data($0))
        }
    }

    /// How many requests are done with whose lines contain a text.
    func count(_ event: String, containing text: String = "") throws -> Int {
        let log = try String(contentsOfFile: logPath, encoding: .utf8)
        return log.split(separator: "\n").count {
            $0.contains("\"event\": \"\(event)\"") && (text.isEmpty || $0.contains(text))
        }
    }

    /// Waits until something is so.
    ///
    /// - Returns: false where it was not in a minute.
    @discardableResult
    func wait(until isSo: () throws -> Bool) rethrows -> Bool {
        for _ in 0..<30_000 {
            if try isSo() { return true }
            usleep(2000)
        }
        return false
    }

    /// Waits until nothing is on its way to the server any more.
    func settle(sourceLocation: SourceLocation = #_sourceLocation) throws {
        let isSettled = try wait { try count("begin") == count("end") }
        #expect(isSettled, "a request did not end", sourceLocation: sourceLocation)
    }
}

extension Trait where Self == ConditionTrait {
    /// The proxy is a program of Python's.
    static var requiresPython: Self { .enabled(if: Peers.canRun("python3"), "python3 is not installed") }
}

/// A disk, a server for it, and a proxy between `lathe export` and that.
final class FaultBench {
    let directory: TemporaryDirectory
    let server: ObjectServer
    let proxy: FaultProxy
    let disk: String
    /// What an offline conversion makes, by its arguments.
    private var conversions: [[String]: (image: Data, manifest: Data)] = [:]

    init(disk content: [UInt8], dataDirectory: String? = nil) throws {
        directory = try TemporaryDirectory()
        disk = directory.file("disk.raw")
        try Data(content).write(to: URL(filePath: disk))
        server = try ObjectServer(dataDirectory ?? directory.file("data"), in: directory)
        proxy = try FaultProxy(before: server, in: directory)
    }

    var environment: [String: String] { ObjectServer.environment(proxy.endpoint, home: directory.path) }
    var directEnvironment: [String: String] { ObjectServer.environment(server.endpoint, home: directory.path) }

    static func name(_ format: [String]) -> String { "disk.\(format[1])" }

    func exportArguments(_ format: [String], _ more: [String] = []) -> [String] {
        ["export", "--bucket", ObjectServer.bucket, "--output", "json", "-f", "raw"] + format + more + [disk]
    }

    /// Exports through the proxy.
    func export(_ format: [String], _ more: [String] = []) throws -> Outcome {
        try lathe(exportArguments(format, more), environment: environment)
    }

    func startExport(_ format: [String], _ more: [String] = []) throws -> RunningProcess {
        // A caller may have us ignore signals, which processes inherit.
        try RunningProcess(
            "env", ["--default-signal=INT,TERM,HUP", LatheBinary.path()] + exportArguments(format, more),
            environment: environment)
    }

    func converted(_ format: [String]) throws -> (image: Data, manifest: Data) {
        if let known = conversions[format] { return known }
        let (image, manifest) = (directory.file("offline"), directory.file("offline.json"))
        let outcome = try lathe(
            ["convert", "--overwrite", "-f", "raw"] + format + ["--manifest", manifest, disk, image])
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        let made = (
            try Data(contentsOf: URL(filePath: image)), try Data(contentsOf: URL(filePath: manifest))
        )
        conversions[format] = made
        return made
    }

    /// The names of the uploads that were begun and neither completed nor aborted.
    func leftovers(removing: Bool = false) throws -> [String] {
        let outcome = try lathe(
            ["export", "--bucket", ObjectServer.bucket, "--abort-stale", "--older-than", "0", "--output", "json"]
                + (removing ? [] : ["--dry-run"]), environment: directEnvironment)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        return try outcome.json()["uploads"]?.elements.compactMap { $0["uploadID"]?.text ?? $0["upload-id"]?.text }
            ?? []
    }

    /// Wants object and manifest to be those of an offline conversion.
    func expectWhole(_ format: [String], sourceLocation: SourceLocation = #_sourceLocation) throws {
        let expected = try converted(format)
        let object = server.object(Self.name(format))
        let isWhole = object == expected.image
        #expect(
            isWhole, "\(object?.count ?? -1) bytes, expected \(expected.image.count)", sourceLocation: sourceLocation)
        let hasManifest = server.object(Self.name(format) + ".manifest.json") == expected.manifest
        #expect(hasManifest, "the manifest is missing, or another", sourceLocation: sourceLocation)
    }

    func expectNothing(_ format: [String], sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(server.object(Self.name(format)) == nil, sourceLocation: sourceLocation)
        #expect(server.object(Self.name(format) + ".manifest.json") == nil, sourceLocation: sourceLocation)
    }

    /// Wants no part to have been sent that the server had taken in the same upload.
    func expectNoPartTwice(sourceLocation: SourceLocation = #_sourceLocation) throws {
        var taken: Set<String> = []
        for entry in try proxy.log() where entry.method == "PUT" {
            guard let number = entry.parameter("partNumber"), let upload = entry.parameter("uploadId") else { continue }
            let part = "part \(number) of upload \(upload)"
            if entry.event == "begin" {
                #expect(!taken.contains(part), "\(part) was sent again", sourceLocation: sourceLocation)
            } else if entry.status == 200 {
                taken.insert(part)
            }
        }
    }
}
