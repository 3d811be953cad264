import Testing

@testable import ExportService

/// What stays while a task is about it.
@Suite struct InUseTests {
    private let fixture: Fixture
    private let account: String
    private var state: ServiceState { fixture.state }

    init() throws {
        fixture = try Fixture()
        account = try fixture.account()
        try state.addBucket("disks", ofAccount: account, in: "cn-hangzhou")
        var image = NewImage(
            accountID: account, regionID: "cn-hangzhou", name: "debian-12",
            disks: [NewImage.Disk(path: "/disks/a", facts: DiskFacts(format: "raw", virtualSize: 1 << 20))])
        image.id = "m-1"
        try state.addImage(image)
    }

    private func begin(_ status: TaskRecord.Status) throws {
        try state.database.execute(
            """
            INSERT INTO task (id, accountID, regionID, action, status, imageID, format, bucket, roleName, requestID, created,
                isCancelRequested, progress)
            VALUES ('tsk-1', '\(account)', 'cn-hangzhou', 'ExportImage', '\(status.rawValue)', 'm-1', 'raw', 'disks', 'r', 'R',
                1, 0, 0)
            """)
    }

    @Test(arguments: [TaskRecord.Status.waiting, .processing]) func whileATaskIsNotOverWhatItNeedsStays(
        _ status: TaskRecord.Status
    ) throws {
        try begin(status)
        #expect(code { try state.removeImage("m-1") } == .inUse)
        #expect(code { try state.removeBucket("disks") } == .inUse)
        #expect(code { try state.removeAccount(account) } == .inUse)
        let text = #"""
            {"accounts": [{"name": "build", "images": [{"id": "m-1", "name": "debian-12", "region": "cn-hangzhou",
              "description": "later", "disks": [{"path": "/disks/b"}]}]}]}
            """#
        let facts = DiskFacts(format: "raw", virtualSize: 1 << 20)
        #expect(
            code {
                let file = try ServiceConfiguration(text, relativeTo: "/") { (_) throws(StateError) in "" }
                _ = try state.apply(file, facts: [.init(path: "/disks/b", format: nil): facts])
            } == .inUse)
        #expect(try state.image("m-1")?.disks.map(\.path) == ["/disks/a"])
        // Marks can be changed all the while: they count when an export is asked for.
        var changes = ImageChanges()
        changes.status = .deprecated
        #expect(try state.change("m-1", changes).image.status == .deprecated)
    }

    @Test(arguments: [TaskRecord.Status.finished, .failed, .deleted]) func onceATaskIsOverNothingIsHeld(
        _ status: TaskRecord.Status
    ) throws {
        try begin(status)
        try state.removeImage("m-1")
        try state.removeBucket("disks")
        try state.removeAccount(account)
        #expect(try state.integrityFindings() == [])
    }
}
