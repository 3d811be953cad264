import ECSWire
import Foundation
import ImageModel
import LatheTestSupport
import ObjectStorage
import ObjectStoreConformance
import Synchronization
import Testing

@testable import ExportService
@testable import LatheCommands

/// How tasks end that do not simply finish: cancelled, failed, stopped and gone on with.
@Suite struct TaskEndTests {
    private static let content = SampleDisk.full(length: 900 << 10, seed: 3)

    private static func shut(_ gate: Gate, disk: String = "") -> WatchedWorker {
        WatchedWorker(before: { (job, monitor) throws(ImageError) in
            if job.key.description.contains(disk) { try gate.pass(monitor) }
        })
    }

    // MARK: Cancelling

    @Test func whatWaitsIsCancelledAtOnce() throws {
        let harness = try ServiceHarness()
        let service = harness.service()
        let task = try service.export(try harness.addImage(), by: harness.principal)
        #expect(try service.ask("CancelTask", ["TaskId": task], by: harness.principal).fields.isEmpty)
        #expect(try harness.state.task(task)?.status == .deleted)
        let again = #expect(throws: APIError.self) {
            try service.ask("CancelTask", ["TaskId": task], by: harness.principal)
        }
        #expect(again?.code == "InvalidTaskId.IncorrectTaskStatus" && again?.status == 403)
        // It is not taken up later, either.
        try service.whileRunning { _ = usleep(100_000) }
        #expect(try harness.state.task(task)?.status == .deleted)
        try harness.expectNothingLeft()
    }

    /// The second disk is at work, and the first is in the bucket already.
    @Test func aCancelTakesBackWhatIsThere() throws {
        let harness = try ServiceHarness()
        let gate = Gate()
        let service = harness.service(worker: Self.shut(gate, disk: "data"))
        try service.whileRunning {
            let task = try service.export(
                try harness.addImage([Self.content, Self.content]), ["ImageFormat": "qcow2"], by: harness.principal)
            eventually("the second disk is at work") { gate.arrived == 1 }
            #expect(try harness.keys().count == 2, "an object and its manifest")
            try service.ask("CancelTask", ["TaskId": task], by: harness.principal)
            let record = try service.end(of: task)
            #expect(record.status == .deleted && record.finished != nil && record.errorCode == nil)
        }
        try harness.expectNothingLeft()
    }

    /// It is cancelled while parts are on their way.
    @Test func aCancelAbortsTheUpload() throws {
        let harness = try ServiceHarness()
        let gate = Gate()
        let store = MemoryStore(before: { (call, _) throws(StoreError) in
            guard case .part(3) = call else { return }
            do throws(ImageError) { try gate.pass() } catch { throw StoreError(.cancelled, "") }
        })
        let service = harness.service(buckets: OneBucket(store: store))
        try service.whileRunning {
            let task = try service.export(
                try harness.addImage([Self.content]), ["ImageFormat": "qcow2"], by: harness.principal)
            eventually("a part is on its way") { gate.arrived > 0 }
            #expect(store.uploadCount == 1)
            try service.ask("CancelTask", ["TaskId": task], by: harness.principal)
            gate.open()
            #expect(try service.end(of: task).status == .deleted)
        }
        #expect(store.uploadCount == 0 && store.keys.isEmpty)
        try harness.expectNothingLeft()
    }

    /// The last object is there, and only the row that says so is not.
    @Test func aCancelAtTheLastMomentCountsAll() throws {
        let harness = try ServiceHarness()
        let gate = Gate()
        let worker = WatchedWorker(after: { (_) throws(ImageError) in try gate.pass() })
        let service = harness.service(worker: worker)
        try service.whileRunning {
            let task = try service.export(try harness.addImage(), by: harness.principal)
            eventually("all is made") { gate.arrived == 1 }
            try service.ask("CancelTask", ["TaskId": task], by: harness.principal)
            gate.open()
            #expect(try service.end(of: task).status == .deleted)
        }
        try harness.expectNothingLeft()
    }

    // MARK: Failing

    @Test func anObjectThatIsThereStays() throws {
        let harness = try ServiceHarness()
        let image = try harness.addImage([Self.content, Self.content])
        let key = try ObjectKey("\(image)_data_xvdb.qcow2")
        _ = try harness.bucketOfExports.put(ObjectBody([1, 2, 3]), to: key, .init(), replacing: false)
        let service = harness.service()
        let task = try service.whileRunning {
            let task = try service.export(image, ["ImageFormat": "qcow2"], by: harness.principal)
            #expect(try service.end(of: task).status == .failed)
            return task
        }
        // Nor is there half a set: the first disk's object has gone again.
        #expect(try harness.keys() == [key.description])
        #expect(try harness.bytes(of: key.description) == [1, 2, 3])
        let answer = try service.ask("DescribeTaskAttribute", ["TaskId": task], by: harness.principal)
        let progress = answer.items("OperationProgressSet")
        #expect(progress.map { $0.string("ErrorCode") } == Array(repeating: "InvalidOSSObject.AlreadyExists", count: 2))
        #expect(answer.number("FailedCount") == 2 && answer.number("SuccessCount") == 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: harness.state.checkpointsPath).isEmpty)
    }

    @Test func aReasonNamesNoPathOfThisMachine() throws {
        let harness = try ServiceHarness()
        let image = try harness.addImage()
        let path = try #require(try harness.state.image(image)).disks[0].path
        let service = harness.service()
        let task = try service.export(image, by: harness.principal)
        try FileManager.default.removeItem(atPath: path)
        let record = try service.whileRunning { try service.end(of: task) }
        #expect(record.status == .failed && record.errorCode == "ExportImageFailed")
        #expect(record.errorMessage?.contains("/dev/xvda") == true, "\(record.errorMessage ?? "")")
        #expect(record.errorMessage?.contains(harness.directory.path) == false, "\(record.errorMessage ?? "")")
        try harness.expectNothingLeft()
    }

    @Test func aRoleIsAskedAgainWhenTheTaskBegins() throws {
        let harness = try ServiceHarness()
        let service = harness.service()
        let task = try service.export(try harness.addImage(), by: harness.principal)
        try harness.state.detachPolicy(
            SystemPolicies.exportPolicy, fromRole: SystemPolicies.exportRole, ofAccount: harness.account.id)
        let record = try service.whileRunning { try service.end(of: task) }
        #expect(record.status == .failed && record.errorCode == "NoSetRoletoECSServiceAcount")
        try harness.expectNothingLeft()
    }

    /// A store that is gone for some calls in a row, whatever the call, is waited for.
    @Test(arguments: [0, 3, 7]) func aStoreThatComesBackIsWaitedFor(first: Int) throws {
        let harness = try ServiceHarness()
        let failures = Mutex(0)
        let store = MemoryStore(before: { (_, number) throws(StoreError) in
            let fails = failures.withLock { count in
                guard number >= first, count < 8 else { return false }
                count += 1
                return true
            }
            if fails { throw StoreError(.connection, "the network is down", persistence: .transient) }
        })
        let service = harness.service(buckets: OneBucket(store: store), patience: 120)
        let image = try harness.addImage([Self.content])
        let record = try service.whileRunning {
            try service.end(of: try service.export(image, ["ImageFormat": "vhd"], by: harness.principal))
        }
        #expect(record.status == .finished, "\(record.errorMessage ?? "")")
        #expect(store.keys.count == 2 && store.uploadCount == 0)
    }

    @Test func aStoreThatStaysAwayFailsTheTask() throws {
        let harness = try ServiceHarness()
        let store = MemoryStore(before: { (call, _) throws(StoreError) in
            if case .part(2) = call {
                throw StoreError(.connection, "the network is down", persistence: .transient)
            }
        })
        let service = harness.service(buckets: OneBucket(store: store), patience: 0.5)
        let image = try harness.addImage([Self.content])
        let record = try service.whileRunning {
            try service.end(of: try service.export(image, ["ImageFormat": "qcow2"], by: harness.principal))
        }
        #expect(record.status == .failed && record.errorCode == "OSSAccessFailed")
        #expect(record.errorMessage?.contains("the network is down") == true)
        #expect(store.keys.isEmpty && store.uploadCount == 0)
    }

    // MARK: Going on

    /// The service ends while parts are on their way, and the next one makes the very same object.
    @Test(arguments: ["raw", "qcow2", "vmdk"]) func aTaskGoesOnWhereItWas(format: String) throws {
        let harness = try ServiceHarness()
        let gate = Gate()
        let isShut = Mutex(true)
        let store = MemoryStore(before: { (call, _) throws(StoreError) in
            guard case .part(4) = call, isShut.withLock({ $0 }) else { return }
            do throws(ImageError) { try gate.pass() } catch { throw StoreError(.cancelled, "") }
        })
        let image = try harness.addImage([Self.content])
        let first = harness.service(buckets: OneBucket(store: store), packagesRaw: false)
        try first.start()
        let task = try first.export(image, ["ImageFormat": format], by: harness.principal)
        eventually("a part is on its way") { gate.arrived > 0 }
        let stopping = ServiceThread { first.stop() }
        usleep(100_000)
        gate.open()
        stopping?.join()
        #expect(try harness.state.task(task)?.status == .processing)
        #expect(store.uploadCount == 1 && store.keys.isEmpty)
        isShut.withLock { $0 = false }
        let second = harness.service(buckets: OneBucket(store: store), packagesRaw: false)
        let record = try second.whileRunning { try second.end(of: task) }
        #expect(record.status == .finished, "\(record.errorMessage ?? "")")
        #expect(store.uploadCount == 0 && store.storedParts.values.allSatisfy { $0 == 1 }, "\(store.storedParts)")
        // What an export makes that nothing interrupts.
        let whole = MemoryStore()
        let third = harness.service(buckets: OneBucket(store: whole), packagesRaw: false)
        try third.whileRunning {
            _ = try third.end(of: try third.export(image, ["ImageFormat": format], by: harness.principal))
        }
        let key = "\(image)_system.\(format)"
        let isSame = store.bytes(of: key) == whole.bytes(of: key) && store.bytes(of: key) != nil
        #expect(isSame)
        #expect(store.bytes(of: key + ".manifest.json") == whole.bytes(of: key + ".manifest.json"))
    }

    /// The process ended after the object was there and before the row said so.
    @Test func aTaskKnowsItsOwnObjectAgain() throws {
        let harness = try ServiceHarness()
        let service = harness.service()
        let image = try harness.addImage()
        let task = try service.export(image, by: harness.principal)
        _ = try #require(try harness.state.claimTask())
        let object = try #require(try harness.state.objects(ofTask: task).first)
        let disk = try #require(try harness.state.image(image)).disks[0]
        let job = DiskExportJob(
            path: disk.path, sourceFormat: "raw", format: "raw", isPackaged: true,
            memberName: ExportKeys.memberName(of: object.key), store: try harness.bucketOfExports,
            key: try ObjectKey(object.key), greatestLength: .max,
            checkpointPath: harness.state.checkpointsPath + "/x.json", owner: task)
        let made = try ServiceHarness.engine.export(job, WorkMonitor())
        let tag = try harness.bucketOfExports.head(job.key).tag
        let record = try service.whileRunning { try service.end(of: task) }
        #expect(record.status == .finished, "\(record.errorMessage ?? "")")
        #expect(try harness.bucketOfExports.head(job.key).tag == tag)
        #expect(try harness.state.objects(ofTask: task).first?.crc64 == "\(made.crc64)")
    }

    // MARK: Limits

    /// Zeros are packed, too: what they come to counts as what anything else comes to.
    @Test(arguments: ["raw", "qcow2", "vhd", "vmdk", "vdi"], [false, true])
    func anExportThatComesToTooMuchFailsAndLeavesNothing(format: String, isEmpty: Bool) throws {
        let harness = try ServiceHarness()
        let content = isEmpty ? [UInt8](repeating: 0, count: 8 << 20) : Self.content
        let service = harness.service(greatestObject: isEmpty ? 1 << 10 : 300 << 10)
        try service.whileRunning {
            let task = try service.export(
                try harness.addImage([content]), ["ImageFormat": format], by: harness.principal)
            let record = try service.end(of: task)
            #expect(record.status == .failed && record.errorCode == "InvalidImage.DiskAmountOrSize")
            #expect(record.errorMessage?.contains("--greatest-object") == true, "\(record.errorMessage ?? "")")
            try harness.expectNothingLeft()
        }
    }

    /// What an object will come to is known of a raw disk that is not packed, before anything is done.
    @Test func aRawDiskThatIsTooLargeForAnObjectIsRefusedAtOnce() throws {
        let harness = try ServiceHarness()
        let service = harness.service(packagesRaw: false, greatestObject: 300 << 10)
        let image = try harness.addImage([Self.content])
        let error = #expect(throws: APIError.self) { try service.export(image, by: harness.principal) }
        #expect(error?.code == "InvalidImage.DiskAmountOrSize" && error?.message.contains("307200 bytes") == true)
    }

    @Test func theLargestDiskIsASetting() throws {
        let harness = try ServiceHarness()
        let image = try harness.addImage([Self.content])
        for (greatest, isAllowed) in [(UInt64(900 << 10), true), (900 << 10 - 1, false)] {
            let service = harness.service(greatestDisk: greatest)
            let parameters = ["DryRun": "true"]
            let error = #expect(throws: APIError.self) { try service.export(image, parameters, by: harness.principal) }
            #expect(error?.code == (isAllowed ? "DryRunOperation" : "InvalidImage.DiskAmountOrSize"))
        }
    }

    /// What it was cancelled with is done by the next process.
    @Test func aCancelSurvivesTheEndOfTheProcess() throws {
        let harness = try ServiceHarness()
        let gate = Gate()
        let first = harness.service(worker: Self.shut(gate, disk: "data"))
        try first.start()
        let task = try first.export(
            try harness.addImage([Self.content, Self.content]), by: harness.principal)
        eventually("the second disk is at work") { gate.arrived == 1 }
        first.stop()
        #expect(try harness.keys().count == 2)
        let second = harness.service()
        try second.ask("CancelTask", ["TaskId": task], by: harness.principal)
        let record = try second.whileRunning { try second.end(of: task) }
        #expect(record.status == .deleted)
        try harness.expectNothingLeft()
    }

    @Test func aSourceThatChangedMeanwhileFailsTheTask() throws {
        let harness = try ServiceHarness()
        let gate = Gate()
        let store = MemoryStore(before: { (call, _) throws(StoreError) in
            guard case .part(4) = call else { return }
            do throws(ImageError) { try gate.pass() } catch { throw StoreError(.cancelled, "") }
        })
        let image = try harness.addImage([Self.content])
        let first = harness.service(buckets: OneBucket(store: store))
        try first.start()
        let task = try first.export(image, ["ImageFormat": "qcow2"], by: harness.principal)
        eventually("a part is on its way") { gate.arrived > 0 }
        let stopping = ServiceThread { first.stop() }
        usleep(100_000)
        gate.open()
        stopping?.join()
        try #require(try harness.state.task(task)?.status == .processing)
        let path = try #require(try harness.state.image(image)).disks[0].path
        try Data(SampleDisk.full(length: Self.content.count, seed: 4)).write(to: URL(filePath: path))
        let second = harness.service(buckets: OneBucket(store: store))
        let record = try second.whileRunning { try second.end(of: task) }
        #expect(record.status == .failed && record.errorCode == "ImageChanged", "\(record.errorMessage ?? "")")
        #expect(store.uploadCount == 0 && store.keys.isEmpty)
    }

    /// A process that is killed between the two removes leaves a lock that no task comes for again.
    @Test func locksThatAKillLeftGoAtTheNextStart() throws {
        let harness = try ServiceHarness()
        let directory = harness.state.checkpointsPath
        for name in ["tsk-a-0.json", "tsk-a-0.json.lock", "tsk-b-0.json.lock"] {
            try Data().write(to: URL(filePath: "\(directory)/\(name)"))
        }
        harness.state.removeStaleLocks()
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["tsk-a-0.json"])
    }
}
