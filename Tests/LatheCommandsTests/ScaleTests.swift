import Foundation
import ImageFormats
import LatheTestSupport
import Testing

/// Disks of many terabytes with little in them: time and memory go with the data, not with the size.
@Suite(.serialized) struct ScaleTests {
    #if DEBUG
        static let secondsMax = 20.0
    #else
        static let secondsMax = 2.0
    #endif
    static let anonymousBytesMax: UInt64 = 64 << 20

    /// A debug build takes seconds a TiB for tables that have an entry a block, so it gets a sixteenth of them.
    ///
    /// So does a package, of whose zeros every MiB takes a KiB of the result.
    private static func size(for variant: OutputVariant) -> UInt64 {
        if variant.format.packaging != nil { return 1 << 40 }
        #if DEBUG
            if variant.format == .vmdk || variant.format == .vdi { return 1 << 40 }
        #endif
        return 16 << 40
    }

    private let directory: TemporaryDirectory
    private let source: String

    /// tmpfs holds a file of 16 TiB; ext4 does not.
    init() throws {
        directory = try TemporaryDirectory(
            in: FileManager.default.isWritableFile(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory())
        source = directory.file("source.raw")
    }

    @Test(arguments: OutputVariant.all.filter { $0.format != .vhd }) func sixteenTebibytesGoByInMoments(
        variant: OutputVariant
    ) throws {
        let size = Self.size(for: variant)
        try DiskShape.sparse("huge", size).write(to: source)
        let start = ContinuousClock.now
        let process = try LatheBinary.start(
            ["convert", "--output", "json", "-f", "raw"] + variant.arguments + [source, directory.file("image")])
        var peak: UInt64 = 0
        while process.isRunning {
            peak = max(peak, Self.anonymousBytes(of: process.identifier))
            usleep(500)
        }
        let outcome = try process.outcome()
        let seconds = Double((ContinuousClock.now - start).components.seconds)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        #expect(try outcome.json()["virtual-size"]?.number == size)
        #expect(seconds <= Self.secondsMax)
        #expect(peak > 0 && peak <= Self.anonymousBytesMax, "\(peak) anonymous bytes")
        let report = try outcome.json()
        let time = report["seconds"] ?? .null
        print("\(variant.name): \(size >> 40) TiB in \(time) s, \(peak >> 10) KiB anonymous at the peak")
    }

    @Test(arguments: OutputVariant.all.filter { $0.format == .vhd })
    func aDiskLargerThanTheFormatHoldsIsAClearError(variant: OutputVariant) throws {
        try DiskShape("too large", (2040 << 30) + 512).write(to: source)
        let outcome = try lathe(["convert", "-f", "raw"] + variant.arguments + [source, directory.file("image")])
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("too large for vhd"), "\(outcome.errors)")
        #expect(outcome.errors.contains("2040 GiB"), "\(outcome.errors)")
        #expect(try directory.contents == ["source.raw"])
    }

    @Test(arguments: OutputVariant.all) func memoryDoesNotGrowWithTheData(variant: OutputVariant) throws {
        let content = Data(Content.mixed(length: 8 << 20, seed: 91))
        try Data().write(to: URL(filePath: source))
        let file = try FileHandle(forWritingTo: URL(filePath: source))
        for _ in 0..<24 { try file.write(contentsOf: content) }
        try file.close()
        let process = try LatheBinary.start(
            ["convert", "-f", "raw", "--threads", "4"] + variant.arguments + [source, directory.file("image")])
        var peak: UInt64 = 0
        while process.isRunning {
            peak = max(peak, Self.anonymousBytes(of: process.identifier))
            usleep(500)
        }
        #expect(try process.outcome().status == 0)
        #expect(peak > 0 && peak <= Self.anonymousBytesMax, "\(peak) anonymous bytes")
    }

    /// RssAnon of a process; 0 where it is gone.
    static func anonymousBytes(of process: Int32) -> UInt64 {
        guard let status = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8) else { return 0 }
        for line in status.split(separator: "\n") where line.hasPrefix("RssAnon:") {
            let digits = line.filter(\.isNumber)
            return (UInt64(digits) ?? 0) << 10
        }
        return 0
    }
}
