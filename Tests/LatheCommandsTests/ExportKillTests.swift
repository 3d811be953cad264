import Foundation
import LatheTestSupport
import Testing

/// Exports that are killed again and again, and go on each time.
@Suite(.requiresPython) struct ExportKillTests {
    private static let formats = [
        ["-O", "qcow2"], ["-O", "vhd"], ["-O", "raw"], ["-O", "vmdk", "-c"], ["-O", "vdi"],
    ]
    private static let kills = 100

    /// When a run is killed.
    private enum Moment {
        /// So many microseconds after its start.
        case time(UInt32)
        /// When the proxy has seen so many things happen.
        case events(Int)

        static func random(using generator: inout SeededGenerator) -> Moment {
            Bool.random(using: &generator)
                ? .time(UInt32.random(in: 1000...250_000, using: &generator))
                : .events(Int.random(in: 1...18, using: &generator))
        }
    }

    @Test func aHundredKillsNeitherDamageAnObjectNorSendAPartTwice() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("aHundredKillsNeitherDamageAnObjectNorSendAPartTwice: seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        let bench = try FaultBench(disk: Content.mixed(length: 12 << 20 | 512, seed: 51))
        var tally = Tally()
        for round in 0... {
            let format = Self.formats[round % Self.formats.count]
            try export(bench, format, &tally, &generator)
            try bench.expectNoPartTwice()
            guard tally.kills < Self.kills else { break }
            for key in [FaultBench.name(format), FaultBench.name(format) + ".manifest.json"] {
                try FileManager.default.removeItem(atPath: "\(bench.server.path)/\(ObjectServer.bucket)/\(key)")
            }
        }
        print(
            "\(tally.kills) kills in \(tally.exports) exports: \(tally.whileSending) with a checkpoint kept, "
                + "\(tally.withObject) with the object there, \(tally.partsPresent) parts found at the ends")
        #expect(tally.kills == Self.kills)
        #expect(tally.whileSending >= Self.kills / 4, "too few of the kills met anything")
        // Nobody tells how many a run has found that is killed when all is done.
        #expect(tally.partsPresent > 0 || tally.killedWhenDone == tally.exports)
    }

    private struct Tally {
        var kills = 0
        var exports = 0
        var whileSending = 0
        var withObject = 0
        var partsPresent: UInt64 = 0
        var killedWhenDone = 0
    }

    /// Exports once, killed again and again until it comes through.
    private func export(
        _ bench: FaultBench, _ format: [String], _ tally: inout Tally, _ generator: inout SeededGenerator
    ) throws {
        let checkpoint = bench.directory.file("checkpoint")
        let expected = try bench.converted(format).image
        let partSize = ["100k", "256k", "1M"].randomElement(using: &generator) ?? "1M"
        var arguments = ["--part-size", partSize, "--checkpoint", checkpoint, "--threads", "2"]
        arguments += ["--limit-rate", "\(Int.random(in: 4...40, using: &generator))M"]
        tally.exports += 1
        while true {
            let moment: Moment? = tally.kills < Self.kills ? .random(using: &generator) : nil
            let place = try bench.proxy.count("begin") + bench.proxy.count("end")
            let process = try LatheBinary.start(
                bench.exportArguments(format, arguments), environment: bench.environment)
            switch moment {
            case .time(let microseconds): usleep(microseconds)
            case .events(let count):
                try bench.proxy.wait {
                    try !process.isRunning || bench.proxy.count("begin") + bench.proxy.count("end") >= place + count
                }
            case nil: break
            }
            if moment != nil { process.send(SIGKILL) }
            let outcome = try process.outcome()
            // What the proxy has of the killed run's bytes goes on to the server.
            try bench.proxy.settle()
            if outcome.signal != SIGKILL {
                #expect(outcome.status == 0, "\(format): \(outcome.testDescription)")
                tally.partsPresent += (try outcome.json())["parts-present"]?.number ?? 0
                break
            }
            tally.kills += 1
            if FileManager.default.fileExists(atPath: checkpoint) { tally.whileSending += 1 }
            if let object = bench.server.object(FaultBench.name(format)) {
                tally.withObject += 1
                let isWhole = object == expected
                #expect(isWhole, "\(format): a part of the object is there, \(object.count) bytes")
                // Killed when all was done, and nothing but the end of the process was left.
                if !FileManager.default.fileExists(atPath: checkpoint) {
                    tally.killedWhenDone += 1
                    break
                }
            }
        }
        try bench.expectWhole(format)
        #expect(!FileManager.default.fileExists(atPath: checkpoint))
        // Only what was begun in the moment between the server's answer and the checkpoint.
        _ = try bench.leftovers(removing: true)
        #expect(try bench.leftovers() == [])
    }

    @Test func twentyKillsOfAnExportIntoADirectory() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("twentyKillsOfAnExportIntoADirectory: seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        let directory = try TemporaryDirectory()
        let (disk, store, offline) = (directory.file("disk.raw"), directory.file("store"), directory.file("offline"))
        let checkpoint = directory.file("checkpoint")
        try Data(Content.mixed(length: 12 << 20 | 512, seed: 52)).write(to: URL(filePath: disk))
        try FileManager.default.createDirectory(atPath: store, withIntermediateDirectories: false)
        var (kills, whileSending, round) = (0, 0, 0)
        while kills < 20 {
            let format = Self.formats[round % Self.formats.count]
            round += 1
            #expect(try lathe(["convert", "--overwrite", "-f", "raw"] + format + [disk, offline]).status == 0)
            let expected = try Data(contentsOf: URL(filePath: offline))
            let arguments =
                [
                    "export", "--endpoint", store, "--bucket", "images", "-f", "raw", "--overwrite", "--part-size",
                    "100k",
                ]
                + ["--checkpoint", checkpoint, "--limit-rate", "12M"] + format + [disk]
            let object = "\(store)/images/\(FaultBench.name(format))"
            // The first of each round begins anew, so no object of a round before may be taken for its own.
            try? FileManager.default.removeItem(atPath: object)
            while true {
                let process = try LatheBinary.start(arguments, environment: ["HOME": directory.path])
                usleep(UInt32.random(in: 1000...900_000, using: &generator))
                if kills < 20 { process.send(SIGKILL) }
                let outcome = try process.outcome()
                if outcome.signal != SIGKILL {
                    #expect(outcome.status == 0, "\(outcome.testDescription)")
                    break
                }
                kills += 1
                if FileManager.default.fileExists(atPath: checkpoint) { whileSending += 1 }
                if let found = try? Data(contentsOf: URL(filePath: object)) {
                    let isWhole = found == expected
                    #expect(isWhole, "\(format): \(found.count) bytes of \(expected.count)")
                }
            }
            let isWhole = try Data(contentsOf: URL(filePath: object)) == expected
            #expect(isWhole, "\(format)")
            #expect(FileManager.default.fileExists(atPath: object + ".manifest.json"))
            #expect(!FileManager.default.fileExists(atPath: checkpoint))
        }
        print("\(kills) kills in \(round) exports, \(whileSending) with a checkpoint kept")
        #expect(whileSending > 0)
    }
}
