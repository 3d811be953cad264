import ECSWire
import Foundation
import ImageModel
import LatheTestSupport
import Logging
import ObjectStorage
import Synchronization
import Testing

@testable import ExportService
@testable import LatheCommands

/// A service of a test's own over a directory of its own, with an account that has all it needs to export.
final class ServiceHarness: Sendable {
    static let region = "cn-hangzhou"
    static let bucket = "exports"

    let directory: TemporaryDirectory
    let state: ServiceState
    let store: DirectoryStore
    let account: AccountRecord
    let principal: Principal
    let clock: TestClock

    init() throws {
        directory = try TemporaryDirectory()
        let clock = TestClock()
        self.clock = clock
        state = try ServiceState(directory: directory.file("data"), clock: { clock.now })
        try state.makeDirectories()
        store = try DirectoryStore(path: state.objectsPath)
        try state.setRegion(Self.region)
        account = try state.makeAccount(name: "first")
        principal = Principal(accountID: account.id, accessKeyID: try state.makeKey(ofAccount: account.id).id)
        try Self.addExportRole(state, account.id)
        try addBucket(Self.bucket)
    }

    static func addExportRole(_ state: ServiceState, _ accountID: String) throws {
        try state.setRole(SystemPolicies.exportRole, ofAccount: accountID)
        try state.attachPolicy(
            SystemPolicies.exportPolicy, toRole: SystemPolicies.exportRole, ofAccount: accountID)
    }

    func addBucket(_ name: String, of accountID: String? = nil, in region: String = region) throws {
        try state.addBucket(name, ofAccount: accountID ?? account.id, in: region)
        _ = try store.ensureBucket(BucketName(name))
    }

    /// Another account with a key, a role and a bucket of its own.
    func stranger() throws -> Principal {
        let other = try state.makeAccount(name: "stranger")
        try Self.addExportRole(state, other.id)
        try addBucket("strange-exports", of: other.id)
        return Principal(accountID: other.id, accessKeyID: try state.makeKey(ofAccount: other.id).id)
    }

    func service(
        worker: (any DiskWorker)? = nil, buckets: (any BucketProvider)? = nil, workers: Int = 2, patience: Double = 30,
        packagesRaw: Bool = true, greatestDisk: UInt64? = nil, greatestObject: UInt64? = nil
    ) -> ExportService {
        var settings = ServiceSettings()
        settings.workers = workers
        settings.storePatience = patience
        settings.packagesRaw = packagesRaw
        settings.greatestDisk = greatestDisk ?? settings.greatestDisk
        settings.greatestObject = greatestObject ?? settings.greatestObject
        return ExportService(
            state, buckets: buckets ?? DirectoryBuckets(store: store), worker: worker ?? Self.engine,
            settings: settings, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// Parts are small, so that small disks have several.
    static let engine = ImageWorker(threads: 2, partLength: 100 << 10)

    // MARK: Images

    /// Registers an image of raw files with this content.
    @discardableResult
    func addImage(
        _ contents: [[UInt8]] = [SampleDisk.mixed(length: 300 << 10, seed: 5)], name: String = "image",
        of accountID: String? = nil, _ change: (inout NewImage) -> Void = { _ in }
    ) throws -> String {
        let disks = try contents.map { content in
            let path = directory.file("disk-\(UUID().uuidString).raw")
            try Data(content).write(to: URL(filePath: path))
            return NewImage.Disk(path: path, facts: DiskFacts(format: "raw", virtualSize: UInt64(content.count)))
        }
        var image = NewImage(accountID: accountID ?? account.id, regionID: Self.region, name: name, disks: disks)
        change(&image)
        return try state.addImage(image).image.id
    }

    // MARK: Objects

    var bucketOfExports: DirectoryBucket { get throws { try store.bucket(BucketName(Self.bucket)) } }

    /// The keys of all objects of the bucket.
    func keys() throws -> [String] {
        try bucketOfExports.list(prefix: "", after: nil, count: 1000).entries.map(\.key)
    }

    func bytes(of key: String) throws -> [UInt8] {
        let key = try ObjectKey(key)
        let length = try bucketOfExports.head(key).length
        return try bucketOfExports.get(key, range: 0..<length, tag: nil)
    }

    /// Fails where anything is left of a task: objects, uploads, checkpoints.
    func expectNothingLeft(sourceLocation: SourceLocation = #_sourceLocation) throws {
        #expect(try keys().isEmpty, sourceLocation: sourceLocation)
        #expect(try bucketOfExports.uploads(prefix: "").isEmpty, sourceLocation: sourceLocation)
        let checkpoints = try FileManager.default.contentsOfDirectory(atPath: state.checkpointsPath)
        #expect(checkpoints.isEmpty, sourceLocation: sourceLocation)
    }
}

/// A clock that a test sets.
final class TestClock: Sendable {
    private let time = Mutex<UInt64>(1_700_000_000)
    var now: UInt64 { time.withLock { $0 } }
    func advance(_ seconds: UInt64) { time.withLock { $0 += seconds } }
}

extension ExportService {
    /// Asks as an account does, for `cn-hangzhou` where the parameters name no region.
    @discardableResult
    func ask(
        _ action: String, _ parameters: [String: String] = [:], by principal: Principal,
        version: String = "2014-05-26"
    ) throws(APIError) -> AnswerObject {
        let all = ["RegionId": ServiceHarness.region].merging(parameters) { $1 }.filter { $0.value != "-" }
        return try perform(
            RPCRequest(
                action: action, version: version, parameters: all, principal: principal,
                requestID: UUID().uuidString))
    }

    /// Begins an export and answers the task's id.
    func export(_ image: String, _ parameters: [String: String] = [:], by principal: Principal) throws -> String {
        let all = ["ImageId": image, "OSSBucket": ServiceHarness.bucket].merging(parameters) { $1 }
        return try #require(try ask("ExportImage", all, by: principal).string("TaskId"))
    }

    /// Waits until a task is over, for two minutes at most.
    func end(of task: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> TaskRecord {
        try record(task, sourceLocation: sourceLocation) { $0.status.isOver }
    }

    func record(
        _ task: String, sourceLocation: SourceLocation = #_sourceLocation, _ isAwaited: (TaskRecord) -> Bool
    ) throws -> TaskRecord {
        for _ in 0..<12_000 {
            if let record = try state.task(task), isAwaited(record) { return record }
            usleep(10_000)
        }
        let found = try state.task(task)
        Issue.record("the task does not get there: \(String(describing: found))", sourceLocation: sourceLocation)
        return try #require(found)
    }

    /// Runs a body with the service at work, which has ended when this returns.
    func whileRunning<Value>(_ body: () throws -> Value) throws -> Value {
        try start()
        defer { stop() }
        return try body()
    }
}

extension AnswerObject {
    func string(_ name: String) -> String? {
        if case .text(let text) = self[name] { text } else { nil }
    }

    func number(_ name: String) -> Int? {
        if case .number(let number) = self[name] { Int(number) } else { nil }
    }

    /// The objects of a list.
    func items(_ name: String) -> [AnswerObject] {
        guard case .list(_, let items) = self[name] else { return [] }
        return items.compactMap { if case .object(let object) = $0 { object } else { nil } }
    }

    func object(_ name: String) -> AnswerObject? {
        if case .object(let object) = self[name] { object } else { nil }
    }
}

/// Waits until something is so, for a minute at most.
func eventually(
    _ what: Comment, sourceLocation: SourceLocation = #_sourceLocation, _ isSo: () throws -> Bool
) rethrows {
    for _ in 0..<6000 {
        if try isSo() { return }
        usleep(10_000)
    }
    Issue.record("it never is so: \(what)", sourceLocation: sourceLocation)
}
