import Foundation
import LatheTestSupport
import Testing

/// What an export of a large disk takes of memory.
@Suite(.serialized) struct ExportMemoryTests {
    /// 64 MiB and the parts on their way, four of so many bytes.
    private static func anonymousBytesMax(partLength: UInt64) -> UInt64 { (64 << 20) + 4 * partLength }
    private let directory: TemporaryDirectory
    private let source: String

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("source.raw")
        // 192 MiB of data, twice what may stand in memory, in 24 places of 100 GiB.
        let content = Content.mixed(length: 8 << 20, seed: 71)
        try DiskShape(
            "sparse", 100 << 30,
            (0..<24).map { number in .init(offset: UInt64(number) * (4 << 30) + 12_288, bytes: { content }) }
        ).write(to: source)
    }

    @Test(arguments: [["-O", "qcow2"], ["-O", "vmdk"], ["-O", "vmdk", "-c"], ["-O", "vdi"], ["-O", "vhd"]])
    func aHundredGibibytesGoUpInTheMemoryOfTheirParts(format: [String]) throws {
        try export(format, partLength: 8 << 20)
    }

    /// Those that are being filled count as well, where they are long.
    @Test(arguments: ["qcow2", "vdi"]) func longPartsTakeNoMoreThanThoseOnTheirWay(format: String) throws {
        try export(["-O", format, "--part-size", "24m"], partLength: 24 << 20)
    }

    private func export(_ format: [String], partLength: UInt64) throws {
        let server = try ObjectServer(directory.file("data"), in: directory)
        let process = try LatheBinary.start(
            ["export", "--bucket", ObjectServer.bucket, "--output", "json", "-f", "raw"] + format + [source],
            environment: ObjectServer.environment(server.endpoint, home: directory.path))
        var peak: UInt64 = 0
        while process.isRunning {
            peak = max(peak, ScaleTests.anonymousBytes(of: process.identifier))
            usleep(500)
        }
        let outcome = try process.outcome()
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        let report = try outcome.json()
        #expect(report["virtual-size"]?.number == 100 << 30)
        #expect(peak > 0 && peak <= Self.anonymousBytesMax(partLength: partLength), "\(peak) anonymous bytes")
        print(
            "\(format): \(report["parts-sent"]?.number ?? 0) parts of \(report["object-length"]?.number ?? 0) bytes, "
                + "\(peak >> 20) MiB anonymous at the peak")
    }
}
