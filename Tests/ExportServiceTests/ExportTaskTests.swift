import ECSWire
import Foundation
import ImageModel
import LatheTestSupport
import ObjectStorage
import Testing

@testable import ExportService
@testable import LatheCommands

/// ExportImage from the request to the objects.
@Suite struct ExportTaskTests {
    private static let content = SampleDisk.mixed(length: 700 << 10, seed: 11)

    @Test(arguments: ["", "raw", "vhd", "QCOW2", "vmdk", "vdi"]) func everyFormatEndsInTheBucket(format: String) throws
    {
        let harness = try ServiceHarness()
        let image = try harness.addImage([Self.content])
        let service = harness.service()
        let task = try service.whileRunning {
            let task = try service.export(image, format.isEmpty ? [:] : ["ImageFormat": format], by: harness.principal)
            #expect(try service.end(of: task).status == .finished)
            return task
        }
        let suffix = format.isEmpty || format == "raw" ? "raw.tar.gz" : format.lowercased()
        let key = "\(image)_system.\(suffix)"
        #expect(try harness.keys() == [key, "\(key).manifest.json"])
        let answer = try service.ask("DescribeTaskAttribute", ["TaskId": task], by: harness.principal)
        #expect(answer.string("TaskStatus") == "Finished" && answer.string("TaskProcess") == "100%")
        #expect(answer.number("TotalCount") == 1 && answer.number("SuccessCount") == 1)
        let items = answer.items("OperationProgressSet")[0].items("RelatedItemSet")
        let values = Dictionary(uniqueKeysWithValues: items.map { ($0.string("Name") ?? "", $0.string("Value") ?? "") })
        #expect(
            values == [
                "OSSBucket": ServiceHarness.bucket, "OSSObject": key,
                "ImageFormat": format.isEmpty ? "raw" : format.lowercased(),
            ])
        // The engine itself reads it whole and finds the source's content.
        let found = try ServiceHarness.engine.verify(ObjectKey(key), in: harness.bucketOfExports, WorkMonitor())
        let object = try #require(try harness.state.objects(ofTask: task).first)
        #expect(
            object.fingerprint == "\(ObjectBody(Self.content).crc64)"
                && found.fingerprint == ObjectBody(Self.content).crc64)
        #expect(object.crc64 == "\(found.crc64)" && object.length == found.length)
        #expect(try FileManager.default.contentsOfDirectory(atPath: harness.state.checkpointsPath).isEmpty)
    }

    @Test func eachDiskIsAnObjectWithPrefixAndDevice() throws {
        let harness = try ServiceHarness()
        let contents = (1...3).map { SampleDisk.mixed(length: 128 << 10, seed: $0) }
        let image = try harness.addImage(contents)
        let service = harness.service(packagesRaw: false)
        try service.whileRunning {
            let task = try service.export(image, ["OSSPrefix": "Nightly1"], by: harness.principal)
            #expect(try service.end(of: task).status == .finished)
        }
        for (name, content) in zip(["system", "data_xvdb", "data_xvdc"], contents) {
            let isSame = try harness.bytes(of: "Nightly1_\(image)_\(name).raw") == content
            #expect(isSame, "\(name)")
        }
        #expect(try harness.keys().count == 6)
        let listed = try service.ask("DescribeExportedObjects", by: harness.principal)
        #expect(listed.number("TotalCount") == 3 && listed.items("Objects").count == 3)
        #expect(listed.items("Objects")[1].string("Fingerprint") == "\(ObjectBody(contents[1]).crc64)")
    }

    @Test func theAnswerHasTheTaskUnderBothNames() throws {
        let harness = try ServiceHarness()
        let image = try harness.addImage()
        let answer = try harness.service().ask(
            "ExportImage", ["ImageId": image, "OSSBucket": ServiceHarness.bucket], by: harness.principal)
        #expect(answer.fields.map(\.name) == ["RegionId", "TaskId", "ExportTaskId"])
        #expect(answer.string("TaskId") == answer.string("ExportTaskId"))
        #expect(answer.string("TaskId")?.wholeMatch(of: /tsk-[a-z0-9]{20}/) != nil)
    }

    /// Twenty ask at once, and exactly as many get in as the quota has room for.
    @Test func aQuotaIsNeverOverrun() throws {
        let harness = try ServiceHarness()
        try harness.state.set(AccountSettings(concurrentExports: 7), ofAccount: harness.account.id)
        let images = try (0..<20).map { _ in try harness.addImage([ErrorCodeTests.small]) }
        let service = harness.service()
        let codes = Self.together(images) { image in try service.export(image, by: harness.principal) }
        #expect(codes.filter { $0 == nil }.count == 7)
        #expect(codes.compactMap { $0 } == Array(repeating: "ConcurrentQuotaExceed.ExportImage", count: 13))
        #expect(try harness.state.taskCounts()[.waiting] == 7)
    }

    @Test func anImageIsExportedOnceAtATime() throws {
        let harness = try ServiceHarness()
        try harness.state.set(AccountSettings(concurrentExports: 100), ofAccount: harness.account.id)
        let image = try harness.addImage([ErrorCodeTests.small])
        let service = harness.service()
        let codes = Self.together(Array(repeating: image, count: 20)) { image in
            try service.export(image, by: harness.principal)
        }
        #expect(codes.filter { $0 == nil }.count == 1)
        #expect(codes.compactMap { $0 } == Array(repeating: "ImageIsExporting", count: 19))
    }

    @Test func theWeekEnds() throws {
        let harness = try ServiceHarness()
        try harness.state.set(AccountSettings(weeklyExports: 1), ofAccount: harness.account.id)
        let image = try harness.addImage([ErrorCodeTests.small])
        let service = harness.service()
        let first = try service.export(image, by: harness.principal)
        try service.ask("CancelTask", ["TaskId": first], by: harness.principal)
        harness.clock.advance(7 * 24 * 3600 - 1)
        let error = #expect(throws: APIError.self) { try service.export(image, by: harness.principal) }
        #expect(error?.code == "WeeklyQuotaExceed.ExportImage")
        harness.clock.advance(1)
        _ = try service.export(image, by: harness.principal)
    }

    @Test func noMoreRunThanThereAreWorkersAndTheOldestFirst() throws {
        let harness = try ServiceHarness()
        let gate = Gate()
        let worker = WatchedWorker(before: { (_, monitor) throws(ImageError) in try gate.pass(monitor) })
        let service = harness.service(worker: worker, workers: 2)
        try service.whileRunning {
            var tasks: [String] = []
            for _ in 0..<5 {
                tasks.append(try service.export(try harness.addImage([ErrorCodeTests.small]), by: harness.principal))
                harness.clock.advance(1)
            }
            eventually("two are at work") { gate.arrived == 2 }
            usleep(200_000)
            let states = try tasks.map { try #require(try harness.state.task($0)).status }
            #expect(states == [.processing, .processing, .waiting, .waiting, .waiting])
            gate.open()
            for task in tasks { #expect(try service.end(of: task).status == .finished) }
        }
        #expect(worker.mostRunning == 2 && worker.begun == 5)
    }

    /// Runs a body on a thread for each item, all at once, and answers how each was refused.
    static func together(_ items: [String], _ body: @escaping @Sendable (String) throws -> String) -> [String?] {
        let outcomes = Outcomes()
        let threads = items.map { item in
            ServiceThread {
                let code: String?
                do {
                    _ = try body(item)
                    code = nil
                } catch let error as APIError {
                    code = error.code
                } catch {
                    code = "\(error)"
                }
                outcomes.add(code)
            }
        }
        for thread in threads { thread?.join() }
        return outcomes.all
    }
}

/// What threads came to.
private final class Outcomes: Sendable {
    private let list = Monitor<[String?]>([])
    func add(_ outcome: String?) { list.withLock { $0.append(outcome) } }
    var all: [String?] { list.withLock { $0 } }
}
