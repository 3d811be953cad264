import ECSWire
import ExportService
import Testing

/// Accounts, regions, buckets and images.
@Suite struct RegistryTests {
    private let fixture: Fixture
    private var state: ServiceState { fixture.state }

    init() throws { fixture = try Fixture() }

    private func image(_ account: String, disks: Int = 1) -> NewImage {
        NewImage(
            accountID: account, regionID: "cn-hangzhou", name: "debian-12",
            disks: (0..<disks).map {
                NewImage.Disk(path: "/disks/\($0)", facts: DiskFacts(format: "qcow2", virtualSize: 1 << 30))
            })
    }

    @Test func anImageIsRegisteredWithItsDisks() throws {
        let account = try fixture.account()
        let added = try state.addImage(image(account, disks: 3))
        #expect(added.image.id.wholeMatch(of: #/m-[a-z0-9]{20}/#) != nil)
        #expect(added.image.created == fixture.clock.now)
        #expect(added.disks.map(\.device) == ["/dev/xvda", "/dev/xvdb", "/dev/xvdc"])
        #expect(added.disks.map(\.position) == [0, 1, 2])
        #expect(try state.image(added.image.id) == added)
        #expect(try state.images(ofAccount: account, in: "cn-hangzhou") == [added])
        #expect(try state.images(in: "eu-west-1").isEmpty)
        #expect(try state.removeImage(added.image.id) == added)
        #expect(try state.image(added.image.id) == nil)
    }

    @Test func marksAreSetAndTakenAway() throws {
        let id = try state.addImage(image(fixture.account(), disks: 2)).image.id
        var changes = ImageChanges()
        changes.status = .unavailable
        changes.productCode = "cmjj01"
        changes.licenseRestriction = "not for export"
        changes.isEncrypted = true
        let changed = try state.change(id, changes)
        #expect(changed.image.status == .unavailable && changed.image.productCode == "cmjj01")
        #expect(changed.image.licenseRestriction == "not for export")
        #expect(changed.disks.map(\.isEncrypted) == [true, true])
        #expect(try state.image(id) == changed)
        changes = ImageChanges()
        changes.productCode = ""
        #expect(try state.change(id, changes).image.productCode == nil)
        #expect(try state.image(id)?.image.licenseRestriction == "not for export")
    }

    @Test(arguments: [
        "a", "1abc", "acs:x", "Aliyun-x", "a b", "a/b", "http://x", "a\nb", String(repeating: "a", count: 129),
    ])
    func aNameThatNoImageHasIsRefused(_ name: String) throws {
        var new = image(try fixture.account())
        new.name = name
        #expect(code { try state.addImage(new) } == .invalid)
    }

    @Test(arguments: ["xvda", "/dev/", "/dev/../x", "/dev/xvda/b", "/dev/abcdefghijklmnopq"])
    func aDeviceThatIsNoneIsRefused(_ device: String) throws {
        var new = image(try fixture.account())
        new.disks[0].device = device
        #expect(code { try state.addImage(new) } == .invalid)
    }

    @Test func whatContradictsIsRefused() throws {
        let account = try fixture.account()
        #expect(code { try state.addImage(image(account, disks: 0)) } == .invalid)
        #expect(code { try state.addImage(image(account, disks: 18)) } == .invalid)
        var new = image(account, disks: 2)
        new.disks[1].device = "/dev/xvda"
        #expect(code { try state.addImage(new) } == .invalid)
        new = image(account)
        new.disks[0].path = "relative"
        #expect(code { try state.addImage(new) } == .invalid)
        new = image(account)
        new.regionID = "absent"
        #expect(code { try state.addImage(new) } == .notFound)
        new = image("9999999999999999")
        #expect(code { try state.addImage(new) } == .notFound)
        new = image(account)
        new.id = "m-1"
        try state.addImage(new)
        #expect(code { try state.addImage(new) } == .exists)
    }

    @Test func aBucketIsOneAccountsInOneRegion() throws {
        let account = try fixture.account()
        let other = try state.makeAccount(name: "other").id
        let bucket = try state.addBucket("disks", ofAccount: account, in: "cn-hangzhou")
        #expect(try state.bucket("disks") == bucket)
        #expect(code { try state.addBucket("disks", ofAccount: other, in: "cn-hangzhou") } == .exists)
        #expect(code { try state.addBucket("Disks", ofAccount: other, in: "cn-hangzhou") } == .invalid)
        #expect(code { try state.addBucket("more", ofAccount: other, in: "absent") } == .notFound)
        #expect(try state.buckets(ofAccount: other).isEmpty)
        #expect(code { try state.removeRegion("cn-hangzhou") } == .inUse)
        try state.removeBucket("disks")
        #expect(code { try state.removeBucket("disks") } == .notFound)
        try state.removeRegion("cn-hangzhou")
        #expect(try state.regions().isEmpty)
    }

    @Test func anAccountGoesWithAllThatIsItsButNoImage() throws {
        let account = try fixture.account()
        let key = try state.makeKey(ofAccount: account)
        try state.setRole("r", ofAccount: account)
        try state.attachPolicy(SystemPolicies.exportPolicy, toRole: "r", ofAccount: account)
        try state.addBucket("disks", ofAccount: account, in: "cn-hangzhou")
        let image = try state.addImage(image(account))
        #expect(code { try state.removeAccount(account) } == .inUse)
        try state.removeImage(image.image.id)
        try state.removeAccount(account)
        #expect(try state.signingKey(key.id) == nil)
        #expect(try state.roles().isEmpty && state.policies().isEmpty && state.buckets().isEmpty)
        #expect(try state.integrityFindings() == [])
    }

    @Test func anAccountIsNamedByIDOrName() throws {
        #expect(code { _ = try state.account(named: nil) } == .notFound)
        let first = try state.makeAccount(name: "first", id: "1234567890123456")
        #expect(try state.account(named: nil) == first)
        let second = try state.makeAccount(name: "second")
        #expect(code { _ = try state.account(named: nil) } == .invalid)
        #expect(try state.account(named: "second") == second)
        #expect(try state.account(named: "1234567890123456") == first)
        #expect(code { try state.makeAccount(name: "first") } == .exists)
        #expect(code { try state.makeAccount(name: "third", id: "1234567890123456") } == .exists)
        #expect(code { try state.makeAccount(name: "1234") } == .invalid)
        #expect(code { try state.set(AccountSettings(concurrentExports: -1), ofAccount: first.id) } == .invalid)
        #expect(try state.set(AccountSettings(weeklyExports: 7), ofAccount: first.id).weeklyExports == 7)
    }

    @Test func aFirstStartMakesWhatAnExportNeedsOnce() throws {
        let setup = try #require(try state.setUp())
        #expect(try state.setUp() == nil)
        #expect(try state.accounts().map(\.id) == [setup.accountID])
        #expect(try state.signingKey(setup.accessKeyID)?.secret == setup.accessKeySecret)
        let bucket = try #require(setup.bucket)
        #expect(try state.bucket(bucket)?.regionID == setup.regionID)
        #expect(try state.region("cn-hangzhou")?.supportsExport == true)
        #expect(try state.regions().count == 10)
        let examples = ClientExamples(setup, endpoint: "127.0.0.1:8080")
        for text in [examples.firstPythonSDK, examples.secondPythonSDK] {
            for part in [setup.accessKeyID, setup.accessKeySecret, bucket, "127.0.0.1:8080"] {
                #expect(text.contains(part))
            }
        }
    }

    @Test func aFirstStartMakesNoBucketInSomebodyElsesStore() throws {
        let setup = try #require(try state.setUp(hasBucket: false))
        #expect(setup.bucket == nil)
        #expect(try state.buckets().isEmpty)
        #expect(ClientExamples(setup, endpoint: "127.0.0.1:8080").firstPythonSDK.contains("set_OSSBucket('BUCKET')"))
    }
}
