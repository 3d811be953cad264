import Foundation
import LatheTestSupport
import Testing

/// Exports that end before their end, and what they leave.
@Suite(.requiresPython) struct ExportEndTests {
    private static let format = ["-O", "raw"]
    private static let small = ["--part-size", "100k"]
    private let bench: FaultBench
    private var checkpointPath: String { bench.directory.file("checkpoint") }
    private var checkpoint: [String] { ["--checkpoint", checkpointPath] }

    init() throws {
        bench = try FaultBench(disk: Content.full(length: 2 << 20 | 512, seed: 41))
    }

    /// Begins an export with a checkpoint, and has it fail at its sixth part.
    private func begin(sourceLocation: SourceLocation = #_sourceLocation) throws {
        try bench.proxy.set([ExportFaultTests.expiry(skip: 5)])
        let outcome = try bench.export(Self.format, Self.small + checkpoint)
        #expect(outcome.status == 1, "\(outcome.testDescription)", sourceLocation: sourceLocation)
        try bench.proxy.settle()
        try bench.proxy.set([])
    }

    private func goOn(sourceLocation: SourceLocation = #_sourceLocation) throws {
        let outcome = try bench.export(Self.format, Self.small + checkpoint)
        #expect(outcome.status == 0, "\(outcome.testDescription)", sourceLocation: sourceLocation)
        let report = try outcome.json()
        #expect(report["resumed"]?.flag == true, sourceLocation: sourceLocation)
        #expect((report["parts-present"]?.number ?? 0) >= 1, sourceLocation: sourceLocation)
        try bench.expectWhole(Self.format, sourceLocation: sourceLocation)
        try bench.expectNoPartTwice(sourceLocation: sourceLocation)
        #expect(try bench.leftovers() == [], sourceLocation: sourceLocation)
        #expect(!FileManager.default.fileExists(atPath: checkpointPath), sourceLocation: sourceLocation)
        #expect(!FileManager.default.fileExists(atPath: checkpointPath + ".lock"), sourceLocation: sourceLocation)
    }

    // MARK: Tokens

    @Test(arguments: ["SecurityTokenExpired", "InvalidSecurityToken"]) func aTokenThatExpiresLeavesNothing(
        code: String
    ) throws {
        var rule = ExportFaultTests.expiry(skip: 5)
        rule.code = code
        try bench.proxy.set([rule])
        let outcome = try bench.export(Self.format, Self.small)
        #expect(outcome.status == 1)
        #expect(outcome.output.isEmpty)
        #expect(outcome.errors.contains("expired; get new"), "\(outcome.errors)")
        #expect(outcome.errors.contains(code), "\(outcome.errors)")
        bench.expectNothing(Self.format)
        #expect(try bench.leftovers() == [])
    }

    @Test func aTokenThatCannotEvenTakeBackWhatWasSentSaysHowItIsDoneLater() throws {
        try bench.proxy.set([ExportFaultTests.expiry(skip: 5, match: "^(PUT .*partNumber=|DELETE)")])
        let outcome = try bench.export(Self.format, Self.small)
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("'lathe export --abort-stale' does it later"), "\(outcome.errors)")
        bench.expectNothing(Self.format)
        #expect(try bench.leftovers(removing: true).count == 1)
        #expect(try bench.leftovers() == [])
    }

    @Test func aNewTokenGoesOnWhereTheOldOneExpired() throws {
        try begin()
        bench.expectNothing(Self.format)
        #expect(try bench.leftovers().count == 1)
        try goOn()
    }

    // MARK: A full disk

    @Test(.requiresRoot) func aServerWithoutRoomIsAClearErrorAndRoomLetsItGoOn() throws {
        let directory = try TemporaryDirectory()
        let data = directory.file("data")
        try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: false)
        let mounted = try RunningProcess("mount", ["-t", "tmpfs", "-o", "size=1m", "lathe-test", data]).outcome()
        guard mounted.status == 0 else { try Test.cancel("mounting is not permitted here: \(mounted.errors)") }
        defer { _ = try? RunningProcess("umount", ["--lazy", data]).outcome() }
        let bench = try FaultBench(disk: Content.full(length: 2 << 20 | 512, seed: 42), dataDirectory: data)
        let first = try bench.export(Self.format, Self.small + ["--retries", "1"])
        #expect(first.status == 1, "\(first.testDescription)")
        #expect(first.errors.contains("no room"), "\(first.errors)")
        bench.expectNothing(Self.format)
        #expect(try bench.leftovers() == [])
        let free = try FileManager.default.attributesOfFileSystem(forPath: data)[.systemFreeSize] as? NSNumber
        #expect((free?.uint64Value ?? 0) > 900 << 10, "what was sent still takes room")

        let checkpoint = ["--checkpoint", bench.directory.file("checkpoint")]
        let second = try bench.export(Self.format, Self.small + checkpoint + ["--retries", "1"])
        #expect(second.status == 1, "\(second.testDescription)")
        bench.expectNothing(Self.format)
        #expect(try bench.leftovers().count == 1)
        try Tool.run("mount", ["-o", "remount,size=32m", data])
        let third = try bench.export(Self.format, Self.small + checkpoint)
        #expect(third.status == 0, "\(third.testDescription)")
        #expect(((try third.json())["parts-present"]?.number ?? 0) >= 1)
        try bench.expectWhole(Self.format)
        try bench.expectNoPartTwice()
        #expect(try bench.leftovers() == [])
    }

    // MARK: Signals

    @Test(arguments: [SIGINT, SIGTERM]) func aSignalTakesBackWhatWasSent(signal: Int32) throws {
        let process = try bench.startExport(Self.format, Self.small + ["--limit-rate", "400k"])
        #expect(try bench.proxy.wait { try bench.proxy.count("end", containing: "partNumber=") >= 3 })
        process.send(signal)
        let outcome = try process.outcome()
        #expect(outcome.status == 128 + signal, "\(outcome.testDescription)")
        #expect(!outcome.errors.contains("could not be removed"), "\(outcome.errors)")
        bench.expectNothing(Self.format)
        #expect(try bench.leftovers() == [])
    }

    @Test func aSignalLeavesWhatACheckpointKeeps() throws {
        let process = try bench.startExport(Self.format, Self.small + checkpoint + ["--limit-rate", "400k"])
        #expect(try bench.proxy.wait { try bench.proxy.count("end", containing: "partNumber=") >= 3 })
        process.send(SIGINT)
        #expect(try process.outcome().status == 130)
        bench.expectNothing(Self.format)
        #expect(try bench.leftovers().count == 1)
        try bench.proxy.settle()
        try goOn()
    }

    @Test func aSignalDoesNotWaitForALongPartOnASlowNetwork() throws {
        let bench = try FaultBench(disk: Content.full(length: 9 << 20, seed: 43))
        var rule = FaultProxy.Rule(match: "partNumber=", action: "slow-body", count: 100)
        rule.rate = 60_000
        try bench.proxy.set([rule])
        // A part takes a minute, and 20 s are what is waited for.
        let process = try bench.startExport(Self.format, ["--part-size", "4M"])
        #expect(try bench.proxy.wait { try bench.proxy.count("begin", containing: "partNumber=") >= 1 })
        usleep(300_000)
        let start = ContinuousClock.now
        process.send(SIGINT)
        #expect(try process.outcome().status == 130)
        #expect(ContinuousClock.now - start < .seconds(10))
        #expect(try bench.leftovers() == [])
    }

    @Test func aSignalBetweenObjectAndManifestLeavesBothOrNone() throws {
        var rule = FaultProxy.Rule(match: "^PUT /images/disk.raw$", action: "stall-answer")
        rule.seconds = 1
        try bench.proxy.set([rule])
        let process = try bench.startExport(Self.format, Self.small)
        #expect(try bench.proxy.wait { try bench.proxy.count("begin", containing: "\"stall-answer\"") == 1 })
        process.send(SIGINT)
        let outcome = try process.outcome()
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        try bench.expectWhole(Self.format)
    }

    // MARK: A source that changed

    enum Change: String, CaseIterable {
        case time, length, contentBehindTheSameTime

        func happen(to path: String) throws {
            let url = URL(filePath: path)
            let before = try FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date
            let file = try FileHandle(forUpdating: url)
            defer { try? file.close() }
            switch self {
            case .time: try Tool.run("touch", ["-d", "2020-02-02 02:02:02", path])
            case .length: try file.truncate(atOffset: file.seekToEnd() + 512)
            case .contentBehindTheSameTime:
                let reference = path + ".time"
                try Tool.run("touch", ["-r", path, reference])
                for place in stride(from: UInt64(50), to: 500_000, by: 100 << 10) {
                    try file.seek(toOffset: place)
                    try file.write(contentsOf: [0])
                }
                try file.synchronize()
                try Tool.run("touch", ["-r", reference, path])
                #expect(try FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date == before)
            }
        }
    }

    @Test(arguments: Change.allCases) func aSourceThatChangedBetweenRunsIsAnErrorThatSaysSo(change: Change) throws {
        try begin()
        try change.happen(to: bench.disk)
        let outcome = try bench.export(Self.format, Self.small + checkpoint)
        #expect(outcome.status == 1, "\(outcome.testDescription)")
        let sentence = change == .contentBehindTheSameTime ? "the source or the options changed" : "the source changed"
        #expect(outcome.errors.contains(sentence), "\(outcome.errors)")
        #expect(outcome.errors.contains("without the checkpoint"), "\(outcome.errors)")
        bench.expectNothing(Self.format)
        // Without it, the disk as it is now goes up.
        try FileManager.default.removeItem(atPath: checkpointPath)
        let anew = try bench.export(Self.format, Self.small)
        #expect(anew.status == 0, "\(anew.testDescription)")
        try bench.expectWhole(Self.format)
    }

    // MARK: Checkpoints in wrong hands

    @Test func twoProcessesDoNotGoOnWithOneCheckpoint() throws {
        try begin()
        let first = try bench.startExport(Self.format, Self.small + checkpoint + ["--limit-rate", "500k"])
        #expect(bench.proxy.wait { FileManager.default.fileExists(atPath: checkpointPath + ".lock") })
        let second = try bench.export(Self.format, Self.small + checkpoint)
        #expect(second.status == 1, "\(second.testDescription)")
        #expect(second.errors.contains("another process is at work with this checkpoint"), "\(second.errors)")
        let outcome = try first.outcome()
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        try bench.expectWhole(Self.format)
        try bench.expectNoPartTwice()
    }

    @Test func theCheckpointOfAnotherEndpointIsNotTakenForOneThatExpired() throws {
        try begin()
        let other = try ObjectServer(bench.directory.file("other"), in: bench.directory)
        let outcome = try lathe(
            bench.exportArguments(Self.format, Self.small + checkpoint),
            environment: ObjectServer.environment(other.endpoint, home: bench.directory.path))
        #expect(outcome.status == 1, "\(outcome.testDescription)")
        #expect(
            outcome.errors.contains("the export began in oss://images at \(bench.proxy.endpoint)"), "\(outcome.errors)")
        // The same store by another name is the same store.
        let direct = try lathe(
            bench.exportArguments(Self.format, Self.small + checkpoint), environment: bench.directEnvironment)
        #expect(direct.status == 0, "\(direct.testDescription)")
        #expect(((try direct.json())["parts-present"]?.number ?? 0) >= 1)
        try bench.expectWhole(Self.format)
    }

    @Test(arguments: ["0", "1", "4095", "18446744073709551615", "9223372036854775808", "-1", "\"x\""])
    func aCheckpointWithAnImpossiblePartLengthIsRefused(length: String) throws {
        try begin()
        let text = try String(contentsOfFile: checkpointPath, encoding: .utf8)
        let changed = text.replacingOccurrences(of: "\"partLength\" : 102400", with: "\"partLength\" : \(length)")
        #expect(changed != text)
        try changed.write(toFile: checkpointPath, atomically: true, encoding: .utf8)
        let outcome = try bench.export(Self.format, Self.small + checkpoint)
        #expect(outcome.status == 1, "\(outcome.testDescription)")
        #expect(outcome.errors.contains("this is no checkpoint of an export"), "\(outcome.errors)")
        bench.expectNothing(Self.format)
    }

    @Test(arguments: ["", "[", "{}", "null", String(repeating: "[", count: 100_000), "\u{0}\u{0}"])
    func aFileThatIsNoCheckpointIsRefusedAndLeftAlone(text: String) throws {
        try text.write(toFile: checkpointPath, atomically: true, encoding: .utf8)
        let outcome = try bench.export(Self.format, Self.small + checkpoint)
        #expect(outcome.status == 1, "\(outcome.testDescription)")
        #expect(outcome.errors.contains("this is no checkpoint of an export"), "\(outcome.errors)")
        #expect(try String(contentsOfFile: checkpointPath, encoding: .utf8) == text)
    }

    @Test func aCheckpointThatCannotBeKeptEndsTheExportBeforeAnythingIsSent() throws {
        let outcome = try bench.export(
            Self.format, Self.small + ["--checkpoint", bench.directory.file("nowhere/checkpoint")])
        #expect(outcome.status == 1, "\(outcome.testDescription)")
        #expect(outcome.errors.contains("nowhere/checkpoint"), "\(outcome.errors)")
        #expect(try bench.leftovers() == [])
        #expect(try bench.proxy.count("begin") == 0)
    }

    @Test func anObjectOfOnePartWhoseManifestIsMissingIsFinishedByTheNextRun() throws {
        try bench.proxy.set([
            FaultProxy.Rule(match: "^PUT .*manifest.json$", action: "answer", status: 403, code: "SecurityTokenExpired")
        ])
        let first = try bench.export(Self.format, checkpoint)
        #expect(first.status == 1, "\(first.testDescription)")
        let second = try bench.export(Self.format, checkpoint)
        #expect(second.status == 0, "\(second.testDescription)")
        try bench.expectWhole(Self.format)
        let puts = try bench.proxy.log().filter {
            $0.event == "begin" && $0.method == "PUT" && $0.target == "/images/disk.raw"
        }
        #expect(puts.count == 1, "the object was sent again")
    }
}
