import Foundation
import LatheTestSupport
import Testing

/// Runs that are stopped from outside.
@Suite(.serialized) struct InterruptionTests {
    private let directory: TemporaryDirectory
    private let source: String
    private var destinations: String { directory.file("destinations") }
    private var image: String { "\(destinations)/image" }

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("source.raw")
        try FileManager.default.createDirectory(
            atPath: directory.file("destinations"), withIntermediateDirectories: false)
        // Text-like and large enough that a conversion is still at work when it is stopped.
        let content = Data(Content.mixed(length: 4 << 20, seed: 81))
        try Data().write(to: URL(filePath: source))
        let file = try FileHandle(forWritingTo: URL(filePath: source))
        for _ in 0..<60 { try file.write(contentsOf: content) }
        try file.close()
    }

    /// A caller may have us ignore signals, which processes inherit: `env` puts them back to what they do by default.
    private func start(_ options: [String], _ arguments: [String]) throws -> RunningProcess {
        try RunningProcess("env", options + [LatheBinary.path()] + arguments)
    }

    private var leftovers: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: destinations) }
    }

    static let jobs = [["-O", "vmdk", "-c"], ["-O", "qcow2"], ["--verify", "-O", "raw"]]

    @Test(arguments: [SIGINT, SIGTERM, SIGHUP, SIGQUIT], jobs) func aSignalStopsTheRunAndLeavesNothing(
        signal: Int32, job: [String]
    ) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("aSignalStopsTheRunAndLeavesNothing(\(signal), \(job)): seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        var stopped = 0
        for round in 0..<3 {
            let process = try start(
                ["--default-signal=INT,TERM,HUP,QUIT"], ["convert", "-q", "-f", "raw"] + job + [source, image])
            usleep(UInt32.random(in: 30_000...200_000, using: &generator))
            process.send(signal)
            let outcome = try process.outcome()
            if outcome.status == 0 {
                try FileManager.default.removeItem(atPath: image)
                continue
            }
            #expect(try leftovers == [], "round \(round)")
            // It may have come before the process listened, which is as good.
            if outcome.signal == signal { continue }
            stopped += 1
            #expect(outcome.status == 128 + signal, "round \(round): \(outcome.testDescription)")
            #expect(outcome.errors == "lathe: stopped on request; nothing was left behind\n")
        }
        print("\(stopped) of 3 rounds were stopped")
    }

    @Test func aSignalLeavesTheOldFileUntouched() throws {
        try Data("old".utf8).write(to: URL(filePath: image))
        let process = try start(
            ["--default-signal=INT"], ["convert", "--overwrite", "-f", "raw", "-O", "vmdk", "-c", source, image])
        process.waitUntilItBlocks(SIGINT)
        usleep(50_000)
        process.send(SIGINT)
        #expect(try process.outcome().status == 130)
        #expect(try Data(contentsOf: URL(filePath: image)) == Data("old".utf8))
        #expect(try leftovers == ["image"])
    }

    @Test(arguments: jobs) func aKilledRunLeavesNoFileUnderItsName(job: [String]) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("aKilledRunLeavesNoFileUnderItsName(\(job)): seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        for round in 0..<3 {
            let process = try start([], ["convert", "-q", "-f", "raw"] + job + [source, image])
            usleep(UInt32.random(in: 5_000...200_000, using: &generator))
            process.send(SIGKILL)
            let outcome = try process.outcome()
            if outcome.status == 0 {
                try FileManager.default.removeItem(atPath: image)
                continue
            }
            #expect(outcome.signal == SIGKILL)
            // Where the file system has files without names, not even these; a kill between link and rename leaves one.
            for name in try leftovers {
                #expect(name.hasPrefix(".lathe-") && name.hasSuffix(".part"), "round \(round): \(name)")
                try FileManager.default.removeItem(atPath: "\(destinations)/\(name)")
            }
        }
    }

    @Test func whatNohupHasUsIgnoreIsIgnored() throws {
        let process = try start(
            ["--ignore-signal=HUP"], ["convert", "-q", "-f", "raw", "-O", "qcow2", source, image])
        process.waitUntilItIgnores(SIGHUP)
        for _ in 0..<20 where process.isRunning {
            process.send(SIGHUP)
            usleep(10_000)
        }
        let outcome = try process.outcome()
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        #expect(try leftovers == ["image"])
    }

    @Test(.requiresRoot) func aProcessThatGetsNoThreadIsEndedBySignalsAllTheSame() throws {
        // Nobody can reach the binary where it is.
        let binary = directory.file("lathe")
        try FileManager.default.copyItem(atPath: LatheBinary.path(), toPath: binary)
        for path in [directory.path, binary] {
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
        }
        let pipe = Pipe()
        let process = try RunningProcess(
            "setpriv",
            [
                "--reuid=65534", "--regid=65534", "--clear-groups", "prlimit", "--nproc=1:1", binary, "digest", "-f",
                "raw", "-",
            ], input: pipe.fileHandleForReading)
        try pipe.fileHandleForReading.close()
        // More than a pipe holds: it reads by now.
        try pipe.fileHandleForWriting.write(contentsOf: Data(count: 4 << 20))
        process.send(SIGTERM)
        for _ in 0..<1000 where process.isRunning { usleep(10_000) }
        process.send(SIGKILL)
        let outcome = try process.outcome()
        #expect(outcome.signal == SIGTERM, "\(outcome.testDescription)")
    }

    @Test func aRunThatWaitsForAPipeStops() throws {
        let pipe = directory.file("pipe")
        try Tool.run("mkfifo", [pipe])
        // Open for both, so that opening does not wait; nobody ever writes or reads.
        let quiet = try FileHandle(forUpdating: URL(filePath: pipe))
        let waiting: [(arguments: [String], input: FileHandle, output: FileHandle?)] = [
            (["convert", "-q", "-f", "raw", "-O", "raw", "-", image], quiet, nil),
            (["convert", "-q", "-f", "raw", "-O", "raw", source, "-"], .nullDevice, quiet),
        ]
        for run in waiting {
            let process = try RunningProcess(
                "env", ["--default-signal=TERM", LatheBinary.path()] + run.arguments, input: run.input,
                output: run.output)
            process.waitUntilItBlocks(SIGTERM)
            usleep(200_000)
            process.send(SIGTERM)
            #expect(try process.outcome().status == 143)
            #expect(try leftovers == [])
        }
    }

    @Test(arguments: [["digest", "--algorithm", "sha256"], ["compare"]]) func otherVerbsStopToo(verb: [String]) throws {
        let paths = verb == ["compare"] ? [source, source] : [source]
        let process = try start(["--default-signal=INT"], verb + ["-f", "raw"] + paths)
        usleep(30_000)
        process.send(SIGINT)
        let outcome = try process.outcome()
        // It may have come before the process listened, which is as good.
        #expect(
            outcome.status == 130 || outcome.status == 0 || outcome.signal == SIGINT, "\(outcome.testDescription)")
    }
}
