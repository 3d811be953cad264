import Foundation
import LatheTestSupport
import Testing

/// Images that are fetched, mended and read out of a store, over a network that breaks.
@Suite(.requiresPython) struct DownloadFaultTests {
    private static let format = ["-O", "raw"]
    private static let location = "oss://images/disk.raw"
    /// Of a manifest, in bytes.
    private static let partLength = 8 << 20
    private let bench: FaultBench
    private let image: Data
    private var copy: String { bench.directory.file("copy.raw") }
    private var manifest: String { bench.directory.file("offline.json") }

    init() throws {
        bench = try FaultBench(disk: Content.full(length: 20 << 20 | 512, seed: 61))
        image = try bench.converted(Self.format).image
        let outcome = try lathe(bench.exportArguments(Self.format), environment: bench.directEnvironment)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
    }

    private func ranges() throws -> [ClosedRange<UInt64>] {
        try bench.proxy.log().filter { $0.event == "begin" && $0.method == "GET" && $0.target == "/images/disk.raw" }
            .compactMap(\.bytes)
    }

    private func expectCopied(sourceLocation: SourceLocation = #_sourceLocation) throws {
        let isSame = try Data(contentsOf: URL(filePath: copy)) == image
        #expect(isSame, "the copy is not what was exported", sourceLocation: sourceLocation)
    }

    @Test func aPartThatArrivesDamagedIsFetchedAgain() throws {
        try bench.proxy.set([FaultProxy.Rule(match: "^GET /images/disk.raw$", action: "flip-answer", skip: 1)])
        let outcome = try lathe("verify", "--download", copy, Self.location, environment: bench.environment)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        try expectCopied()
        let ranges = try ranges()
        #expect(ranges.count == 4, "\(ranges)")
        #expect(Set(ranges).count == 3, "\(ranges)")
    }

    @Test func aPartThatIsDamagedAsOftenAsItIsFetchedLeavesNoFile() throws {
        try bench.proxy.set([
            FaultProxy.Rule(match: "^GET /images/disk.raw$", action: "flip-answer", count: 1000)
        ])
        let outcome = try lathe("verify", "--download", copy, Self.location, environment: bench.environment)
        #expect(outcome.status != 0)
        #expect(outcome.errors.contains("as often as it is fetched"), "\(outcome.testDescription)")
        #expect(!FileManager.default.fileExists(atPath: copy))
    }

    @Test(arguments: ["reset-request", "lose-answer", "cut-answer", "stall-half-answer"])
    func aDownloadThatIsBrokenOffGoesOn(action: String) throws {
        var rule = FaultProxy.Rule(match: "^GET /images/disk.raw$", action: action, skip: 1)
        rule.seconds = 2
        try bench.proxy.set([rule])
        let outcome = try lathe(
            "verify", "--timeout", "0.5", "--download", copy, Self.location, environment: bench.environment)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        try expectCopied()
        #expect(try ranges().count == 4)
    }

    enum Damage: String, CaseIterable {
        case aByte, theEndIsMissing, twoParts

        func happen(to path: String) throws {
            let file = try FileHandle(forUpdating: URL(filePath: path))
            defer { try? file.close() }
            for place in self == .theEndIsMissing ? [] : self == .aByte ? [9_000_000] : [100, 20_000_000] {
                try file.seek(toOffset: UInt64(place))
                try file.write(contentsOf: [0])
            }
            if self == .theEndIsMissing { try file.truncate(atOffset: 17 << 20) }
        }

        /// The parts that are bad then.
        var parts: [Int] {
            switch self {
            case .aByte: [1]
            case .theEndIsMissing: [2]
            case .twoParts: [0, 2]
            }
        }
    }

    @Test(arguments: Damage.allCases) func aCopyIsMendedByFetchingItsBadPartsAlone(damage: Damage) throws {
        try image.write(to: URL(filePath: copy))
        try damage.happen(to: copy)
        let outcome = try lathe(
            "verify", "--manifest", manifest, "--repair-from", Self.location, copy, environment: bench.environment)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        try expectCopied()
        let parts = damage.parts.map { part in
            UInt64(part * Self.partLength)...UInt64(min(image.count, (part + 1) * Self.partLength) - 1)
        }
        for range in try ranges() {
            #expect(
                parts.contains { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound },
                "\(range) is in no part that is bad")
        }
        let fetched = try ranges().reduce(0) { $0 + $1.count }
        #expect(fetched == parts.reduce(0) { $0 + $1.count }, "\(fetched) bytes were fetched")
    }

    @Test func anImageThatIsReplacedWhileItIsReadIsAnError() throws {
        var rule = FaultProxy.Rule(match: "^GET /images/disk.raw$", action: "stall-answer", skip: 1)
        rule.seconds = 3
        try bench.proxy.set([rule])
        let reading = try LatheBinary.start(
            ["digest", "-f", "raw", "--algorithm", "sha256", Self.location], environment: bench.environment)
        #expect(try bench.proxy.wait { try bench.proxy.count("begin", containing: "\"stall-answer\"") == 1 })
        try Data(Content.full(length: image.count, seed: 62)).write(to: URL(filePath: bench.disk))
        let replaced = try lathe(
            bench.exportArguments(Self.format, ["--overwrite"]), environment: bench.directEnvironment)
        #expect(replaced.status == 0, "\(replaced.testDescription)")
        let outcome = try reading.outcome()
        #expect(outcome.status == 1, "\(outcome.testDescription)")
        #expect(outcome.output.isEmpty)
        #expect(outcome.errors.contains("the object is not the one that was meant"), "\(outcome.errors)")
    }
}
