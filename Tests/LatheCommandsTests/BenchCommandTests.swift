import Foundation
import ImageFormats
import LatheTestSupport
import Testing

/// `lathe bench`, on disks so small that the figures mean nothing.
@Suite struct BenchCommandTests {
    private let directory: TemporaryDirectory
    private static let spec = "16MiB,data=5%,zeros=5%,compressible=50%,seed=3"

    init() throws { directory = try TemporaryDirectory() }

    private func bench(_ arguments: String..., environment: [String: String] = [:]) throws -> Outcome {
        try lathe(["bench", "--generate", Self.spec, "--repeat", "2"] + arguments, environment: environment)
    }

    @Test(.requiresJSONSchema, arguments: ["directory", "memory", "none"])
    func theJSONIsAsItsSchemaSays(destination: String) throws {
        let to = destination == "directory" ? directory.path : destination
        let outcome = try bench("--to", to, "--threads", "2,1", "--output", "json")
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        #expect(try directory.contents == [])
        let file = directory.file("result.json")
        try outcome.output.write(to: URL(filePath: file))
        #expect(try JSONSchema.findings(file, against: "lathe.bench-1.schema.json") == "")

        let json = try outcome.json()
        #expect(json["destination"]?["kind"]?.text == destination)
        #expect(json["source"]?["generated"]?.text == "16M,data=5%,zeros=5%,compressible=50%,seed=3")
        #expect(json["source"]?["data-bytes"]?.number == 16 << 20 / 4096 * 5 / 100 * 4096)
        let results = json["results"]?.elements ?? []
        let levels = FormatCatalog.variants.flatMap { $0.compression.map { $0.levels.map(UInt64.init) } ?? [] }
        #expect(results.count == FormatCatalog.variants.count * 3 * 2 + levels.count)
        #expect(results.allSatisfy { $0["lathe"]?["seconds"]?.elements.count == 2 })
        #expect(
            results.filter { $0["job"]?.text == "compress" }.compactMap { $0["compression"]?["level"]?.number }
                == levels)
    }

    @Test(.requiresQEMU) func thePeerDoesTheSameJobs() throws {
        let json = try bench(
            "--to", directory.path, "--threads", "1", "--jobs", "write,read,compress", "--output", "json"
        ).json()
        #expect(json["peer"]?["version"]?.text != nil)
        let results = json["results"]?.elements ?? []
        let withPeer = results.filter { $0["peer"] != nil }
        // All but the packages and what is several files, and one level each of what is compressed.
        let known = FormatCatalog.variants.filter { $0.format.packaging == nil && !$0.isSeveralFiles }
        #expect(withPeer.count == known.count * 2 + known.filter { $0.compression != nil }.count)
        #expect(withPeer.allSatisfy { ($0["peer"]?["output-bytes"]?.number ?? 0) > 0 })
        #expect(try directory.contents == [])
    }

    @Test func anAbsentPeerIsSaidAndIsNoError() throws {
        let arguments = ["--to", "memory", "--formats", "raw", "--jobs", "write"]
        let outcome = try bench(
            "--to", "memory", "--formats", "raw", "--jobs", "write", environment: ["PATH": directory.path])
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        #expect(outcome.text.contains("no qemu-img (not installed)"))
        let left = try lathe(["bench", "--generate", Self.spec, "--no-peer", "--output", "json"] + arguments).json()
        #expect(left["peer"]?["absent"]?.text == "--no-peer")
    }

    @Test func theTableHasARowForEachCase() throws {
        let outcome = try bench("--to", "none", "--formats", "qcow2,vhd", "--threads", "1,2", "--jobs", "write,verify")
        #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.testDescription)")
        for name in ["qcow2 zlib", "qcow2 zstd", "vhd dynamic", "vhd fixed"] {
            #expect(outcome.lines.filter { $0.hasPrefix("  \(name) ") }.count == 4, "\(name)")
        }
        #expect(outcome.text.contains("█"))
        #expect(outcome.lines.allSatisfy { $0.count <= 160 })
    }

    @Test func anImageOfYoursIsMeasured() throws {
        let image = directory.file("disk.qcow2")
        let raw = directory.file("disk.raw")
        try Data(Content.mixed(length: 2 << 20, seed: 4)).write(to: URL(filePath: raw))
        #expect(try lathe("convert", "-q", "-O", "qcow2", raw, image).status == 0)
        let outcome = try lathe(
            "bench", "--source", image, "--to", "memory", "--repeat", "1", "--jobs", "write,read", "--output", "json")
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        let json = try outcome.json()
        #expect(json["source"]?["filename"]?.text == image)
        #expect(
            try json["source"]?["fingerprint"]?.text
                == lathe("digest", raw).text.split(separator: " ").first.map(String.init))
        let plotted = try lathe("bench", "--source", image, "--to", "memory", "--plot", image, "--overwrite")
        #expect(plotted.status == 1 && plotted.errors.contains("the source itself"))
        #expect(try directory.contents == ["disk.qcow2", "disk.raw"])
    }

    @Test func aDiskTooLargeForAFormatIsRefusedBeforeAnythingIsMeasured() throws {
        let run = ["bench", "--generate", "3TiB,data=0,zeros=0", "--to", "memory", "--jobs", "write", "--no-peer"]
        let outcome = try lathe(run + ["--progress", "json"])
        #expect(outcome.status == 1)
        #expect(
            outcome.errors.hasPrefix("lathe: vhd dynamic: ") && outcome.errors.contains("--formats"),
            "\(outcome.errors)")
        #expect(try lathe(run + ["--formats", "qcow2,raw", "--repeat", "1"]).status == 0)
    }

    @Test func thePlotIsDrawnAndNotOverAnother() throws {
        let plot = directory.file("plot.svg")
        let arguments = ["--to", "none", "--formats", "raw", "--jobs", "write", "--plot", plot]
        let run = ["bench", "--generate", Self.spec, "--repeat", "1"] + arguments
        #expect(try lathe(run).status == 0)
        #expect(try String(contentsOfFile: plot, encoding: .utf8).contains("<svg "))
        let again = try lathe(run)
        #expect(again.status == 1 && again.errors.contains("--overwrite") && again.text.isEmpty)
        #expect(try lathe(run + ["--overwrite"]).status == 0)
        #expect(try directory.contents == ["plot.svg"])
    }

    @Test(arguments: [SIGINT, SIGTERM]) func aSignalLeavesNothing(signal: Int32) throws {
        // Long enough, whatever it is doing: generating, converting, or waiting for the peer.
        for delay: UInt32 in [100_000, 700_000, 1_500_000] {
            let process = try RunningProcess(
                "env",
                [
                    "--default-signal=INT,TERM", try LatheBinary.path(), "bench", "--generate", "256MiB,data=50%",
                    "--to", directory.path,
                ])
            process.waitUntilItBlocks(signal)
            usleep(delay)
            process.send(signal)
            let outcome = try process.outcome()
            #expect(outcome.status == 128 + signal, "\(outcome.testDescription)")
            #expect(outcome.errors == "lathe: stopped on request; nothing was left behind\n")
            #expect(try directory.contents == [])
        }
    }

    @Test(arguments: [
        (["--repeat", "0"], 64, "from 1 to 1000"), (["--repeat", "-1"], 64, "--repeat"),
        (["--threads", "0"], 64, "from 1 to 256"), (["--threads", "1,,2"], 64, "not a number of threads"),
        (["--jobs", "paint"], 64, "write, read, verify and compress"),
        (["--formats", "vhdx"], 64, "raw, vhd, qcow2, vmdk, vdi"),
        (["--formats", "vmdk:flat"], 64, "monolithicSparse, streamOptimized"),
        (["--formats", "raw:x"], 64, "one way only"), (["--formats", "qcow2:x"], 64, "plain, zlib, zstd"),
        (["--generate", "1G,data=101%"], 64, "from 0% to 100%"),
        (["--source", "x", "--generate", "1G"], 64, "one of them"),
        (["-f", "raw"], 64, "--source"), (["--to", "/nowhere/at/all"], 1, "not a directory"),
        (["--source", "/nowhere/at/all"], 1, "No such file"),
        (["--formats", "raw", "--jobs", "compress"], 1, "compressed"),
        (["--generate", "16T,data=100%,zeros=0", "--to", "memory"], 1, "is available"),
    ]) func whatIsWrongIsSaid(arguments: [String], status: Int32, message: String) throws {
        let outcome = try lathe(["bench"] + arguments)
        #expect(outcome.status == status, "\(outcome.testDescription)")
        #expect(outcome.errors.contains(message), "\(outcome.testDescription)")
    }
}
