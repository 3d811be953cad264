import ECSWire
import Foundation
import ImageModel
import LatheTestSupport
import ObjectStorage
import Testing

@testable import ExportService
@testable import LatheCommands

/// Every error code of the page (export-image-api.txt), each from a state that really is so.
@Suite struct ErrorCodeTests {
    /// One refusal: what leads to it, and what is asked.
    struct Refusal: Sendable, CustomTestStringConvertible {
        var name: String
        var status: Int
        var code: String
        var message: String
        var action = "ExportImage"
        var parameters: [String: String] = [:]
        /// Makes the state; answers what of the parameters is only known then.
        var prepare: @Sendable (ServiceHarness) throws -> [String: String] = { harness in
            ["ImageId": try harness.addImage()]
        }
        var buckets: (@Sendable (ServiceHarness) -> any BucketProvider)?

        var testDescription: String { name }
    }

    static let small = [UInt8](repeating: 1, count: 4096)

    private static func image(_ change: @escaping @Sendable (inout NewImage) -> Void)
        -> @Sendable (ServiceHarness) throws -> [String: String]
    {
        { harness in ["ImageId": try harness.addImage([small], change)] }
    }

    private static func settings(_ settings: AccountSettings, disks: Int = 1)
        -> @Sendable (ServiceHarness) throws -> [String: String]
    {
        { harness in
            try harness.state.set(settings, ofAccount: harness.account.id)
            return ["ImageId": try harness.addImage(Array(repeating: small, count: disks))]
        }
    }

    private static func facts(_ facts: BucketFacts?) -> @Sendable (ServiceHarness) -> any BucketProvider {
        { harness in
            OneBucket(
                store: DirectoryStoreStub.bucket(harness), facts: { () throws(StoreError) in facts })
        }
    }

    static let refusals: [Refusal] = [
        Refusal(
            name: "a name of an image that begins with a digit", status: 400, code: "InvalidImageName.Malformed",
            message: "The specified Image name is wrongly formed.", action: "ImportImage",
            parameters: [
                "ImageName": "1st", "DiskDeviceMapping.1.OSSBucket": "exports", "DiskDeviceMapping.1.OSSObject": "k",
            ]),
        Refusal(
            name: "a prefix with a slash", status: 400, code: "InvalidOSSPrefix.Malformed",
            message: "The specified OSSPrefix format is wrongly formed.", parameters: ["OSSPrefix": "../x"]),
        Refusal(
            name: "a prefix of 31 letters", status: 400, code: "InvalidOSSPrefix.Malformed",
            message: "The specified OSSPrefix format is wrongly formed.",
            parameters: ["OSSPrefix": String(repeating: "a", count: 31)]),
        Refusal(
            name: "no such region", status: 400, code: "InvalidRegionId.NotFound",
            message: "The specified RegionId does not exist.", parameters: ["RegionId": "cn-nowhere"]),
        Refusal(
            name: "a region without exports", status: 400, code: "InvalidRegion.NotSupport",
            message: "The specified region does not support image import or export.",
            prepare: { harness in
                try harness.state.setRegion(ServiceHarness.region, supportsExport: false)
                return ["ImageId": try harness.addImage()]
            }),
        Refusal(
            name: "an image that is being made", status: 400, code: "IncorrectImageStatus",
            message: "The specified Image is not available.", prepare: image { $0.status = .creating }),
        Refusal(
            name: "a format that is none", status: 400, code: "InvalidImageFormat.Malformed",
            message: "The specified Image Format is wrongly formed.", parameters: ["ImageFormat": "vhdx"]),
        Refusal(
            name: "no such bucket", status: 400, code: "InvalidOSSBucket.NotFound",
            message: "The specified OSS bucket does not exist in this region.", parameters: ["OSSBucket": "not-there"]),
        Refusal(
            name: "a bucket of another region", status: 400, code: "InvalidOSSBucket.NotFound",
            message: "The specified OSS bucket does not exist in this region.", parameters: ["OSSBucket": "elsewhere"],
            prepare: { harness in
                try harness.state.setRegion("eu-central-1")
                try harness.addBucket("elsewhere", in: "eu-central-1")
                return ["ImageId": try harness.addImage()]
            }),
        Refusal(
            name: "a bucket that its store has lost", status: 400, code: "InvalidOSSBucket.NotFound",
            message: "The specified OSS bucket does not exist in this region.",
            prepare: { harness in
                try harness.store.deleteBucket(BucketName(ServiceHarness.bucket))
                return ["ImageId": try harness.addImage()]
            }),
        Refusal(
            name: "data disks that are not exported", status: 400, code: "OperationDenied",
            message: "The specified image contains the snapshot of the data disk,does not support this operation.",
            prepare: settings(AccountSettings(exportsDataDisks: false), disks: 2)),
        Refusal(
            name: "five data disks", status: 400, code: "InvalidImage.DiskAmountOrSize",
            message: "The specified image contains 5 data disks, and at most 4 can be exported.",
            prepare: settings(AccountSettings(), disks: 6)),
        Refusal(
            name: "a data disk of more than 500 GiB", status: 400, code: "InvalidImage.DiskAmountOrSize",
            message: "The data disk /dev/xvdb of the specified image has 501 GiB, and at most 500 GiB can be exported.",
            prepare: { harness in
                let path = harness.directory.file("large.raw")
                try Data().write(to: URL(filePath: path))
                let file = try FileHandle(forWritingTo: URL(filePath: path))
                try file.truncate(atOffset: 500 << 30 + 512)
                return [
                    "ImageId": try harness.addImage([small]) {
                        $0.disks.append(
                            .init(path: path, facts: DiskFacts(format: "raw", virtualSize: 500 << 30 + 512)))
                    }
                ]
            }),
        Refusal(
            name: "a system disk of more than 500 GiB", status: 400, code: "InvalidImage.DiskAmountOrSize",
            message:
                "The system disk /dev/xvda of the specified image has 1024 GiB, and at most 500 GiB can be exported.",
            prepare: image { $0.disks[0].facts.virtualSize = 1 << 40 }),
        Refusal(
            name: "an encrypted disk", status: 400, code: "ImageNotSupported",
            message: "The specified Image contains encrypted snapshots, do not support export.",
            prepare: image { $0.disks[0].isEncrypted = true }),
        Refusal(
            name: "a bucket of the class Archive", status: 400, code: "InvalidOSSBucket.NotMatched",
            message:
                "The specified OSS bucket is incorrect, its storage class is Archive, and what is in it can't be read at once.",
            buckets: facts(BucketFacts(storageClass: "Archive"))),
        Refusal(
            name: "a bucket's name that is none", status: 400, code: "InvalidOSSBucket.NotMatched",
            message: "The specified OSS bucket is incorrect, its name is not one that a bucket can have.",
            parameters: ["OSSBucket": "../etc"]),
        Refusal(
            name: "an image of the market", status: 403, code: "ImageNotSupported",
            message: "The specified image from the image market, do not support export image.",
            prepare: image { $0.productCode = "cmjj000001" }),
        Refusal(
            name: "an image that is exported", status: 403, code: "ImageIsExporting",
            message: "The specified Image is exporting.",
            prepare: { harness in
                let image = try harness.addImage()
                _ = try harness.service().export(image, by: harness.principal)
                return ["ImageId": image]
            }),
        Refusal(
            name: "an image whose file is gone", status: 403, code: "ExportImageFailed",
            message: "Exporting image is failed, Please contact the administrator.",
            prepare: { harness in
                let image = try harness.addImage()
                let path = try #require(try harness.state.image(image)).disks[0].path
                try FileManager.default.removeItem(atPath: path)
                return ["ImageId": image]
            }),
        Refusal(
            name: "an account that is not on the white list", status: 403, code: "UserNotInTheWhiteList",
            message: "The user is not in the white list of exporting image.",
            prepare: settings(AccountSettings(mayExport: false))),
        Refusal(
            name: "no such role", status: 403, code: "NoSetRoletoECSServiceAcount", message: noRole,
            parameters: ["RoleName": "none"]),
        Refusal(
            name: "a role that trusts somebody else", status: 403, code: "NoSetRoletoECSServiceAcount", message: noRole,
            prepare: { harness in
                try harness.state.setRole(
                    SystemPolicies.exportRole, ofAccount: harness.account.id,
                    trustPolicy: SystemPolicies.trustOfECS.replacing("ecs.aliyuncs.com", with: "fc.aliyuncs.com"))
                return ["ImageId": try harness.addImage()]
            }),
        Refusal(
            name: "a role that may not put", status: 403, code: "NoSetRoletoECSServiceAcount", message: noRole,
            prepare: { harness in
                try harness.state.setPolicy(
                    "deny", ofAccount: harness.account.id,
                    document: """
                        {"Version":"1","Statement":[{"Effect":"Deny","Action":"oss:PutObject","Resource":"acs:oss:*:*:exports/*"}]}
                        """)
                try harness.state.attachPolicy(
                    "deny", toRole: SystemPolicies.exportRole, ofAccount: harness.account.id)
                return ["ImageId": try harness.addImage()]
            }),
        Refusal(
            name: "too many exports at a time", status: 403, code: "ConcurrentQuotaExceed.ExportImage",
            message: "The account has 1 exports that wait or run, and may have 1 at a time.",
            prepare: { harness in
                _ = try harness.service().export(try harness.addImage(), by: harness.principal)
                try harness.state.set(AccountSettings(concurrentExports: 1), ofAccount: harness.account.id)
                return ["ImageId": try harness.addImage()]
            }),
        Refusal(
            name: "too many exports in a week", status: 403, code: "WeeklyQuotaExceed.ExportImage",
            message: "The account has begun 1 exports within seven days, and may begin 1.",
            prepare: { harness in
                let service = harness.service()
                let task = try service.export(try harness.addImage(), by: harness.principal)
                try service.ask("CancelTask", ["TaskId": task], by: harness.principal)
                try harness.state.set(AccountSettings(weeklyExports: 1), ofAccount: harness.account.id)
                return ["ImageId": try harness.addImage()]
            }),
        Refusal(
            name: "a licence that says no", status: 403, code: "InvalidImageLicense.NotSupported",
            message: "Windows images stay where they are.",
            prepare: image { $0.licenseRestriction = "Windows images stay where they are." }),
        Refusal(
            name: "a bucket that encrypts", status: 403, code: "InvalidOSSBucket.EncryptUnsupported",
            message: "Accessing objects from encrypted OSS bucket is not supported.",
            prepare: { harness in
                try harness.bucketOfExports.setSettings(["encryption": "KMS"])
                return ["ImageId": try harness.addImage()]
            }),
        Refusal(
            name: "no such image", status: 404, code: "InvalidImageId.NotFound",
            message: "The specified ImageId does not exist.", prepare: { _ in ["ImageId": "m-nothere"] }),
    ]

    static let noRole =
        "ECS service account Have no right to access your OSS.please attach a role of access your oss to ECS service account."

    @Test(arguments: refusals) func everyCodeComesFromAStateThatIsSo(refusal: Refusal) throws {
        let harness = try ServiceHarness()
        let known = try refusal.prepare(harness)
        let service = harness.service(buckets: refusal.buckets?(harness))
        let tasks = try harness.state.taskCounts()
        let parameters = ["OSSBucket": ServiceHarness.bucket].merging(known) { $1 }.merging(refusal.parameters) { $1 }
        for dryRun in ["false", "True"] {
            let error = #expect(throws: APIError.self) {
                try service.ask(
                    refusal.action, parameters.merging(["DryRun": dryRun]) { $1 }, by: harness.principal)
            }
            #expect(error?.code == refusal.code)
            #expect(error?.status == refusal.status)
            #expect(error?.message == refusal.message)
        }
        #expect(try harness.state.taskCounts() == tasks, "a refusal leaves no task")
    }

    @Test func theTableHasEveryCodeOfThePage() {
        let codes = Set(Self.refusals.map { "\($0.status) \($0.code)" })
        #expect(codes.count == 21)
    }

    @Test func aDryRunThatPassesSaysSoAndDoesNothing() throws {
        let harness = try ServiceHarness()
        let image = try harness.addImage()
        let error = #expect(throws: APIError.self) {
            try harness.service().export(image, ["DryRun": "True"], by: harness.principal)
        }
        #expect(error == APIError(400, "DryRunOperation", "Request validation has been passed with DryRun flag set."))
        #expect(try harness.state.taskCounts()[.waiting] == 0)
    }

    @Test(arguments: ["RegionId", "ImageId", "OSSBucket"]) func aMissingParameterIsNamed(name: String) throws {
        let harness = try ServiceHarness()
        let image = try harness.addImage()
        let error = #expect(throws: APIError.self) {
            try harness.service().export(image, [name: "-"], by: harness.principal)
        }
        #expect(error?.code == "MissingParameter" && error?.status == 400)
        #expect(error?.message.contains("\"\(name)\"") == true)
    }

    @Test(arguments: [
        ("ExportImage", ["DryRun": "maybe"], "DryRun"), ("DescribeTasks", ["PageSize": "101"], "PageSize"),
        ("DescribeTasks", ["PageNumber": "0"], "PageNumber"),
        ("DescribeTasks", ["StartTime": "yesterday"], "StartTime"),
        ("DescribeTasks", ["PageSize": "-1"], "PageSize"), ("DescribeImages", ["Status": "Lost"], "Status"),
        ("ImportImage", ["DiskDeviceMapping.1.OSSBucket": "b", "DiskDeviceMapping.1.OSSObject": "/k"], "OSSObject"),
    ]) func aParameterThatIsWrongIsNamed(action: String, parameters: [String: String], name: String) throws {
        let harness = try ServiceHarness()
        let error = #expect(throws: APIError.self) {
            try harness.service().ask(
                action,
                ["ImageId": "m-1", "OSSBucket": "b"].merging(parameters) { $1 }.filter {
                    action != "DescribeImages" || $0.key != "ImageId"
                }, by: harness.principal)
        }
        #expect(error?.code == "InvalidParameter" && error?.message.contains(name) == true, "\(error?.message ?? "")")
    }

    @Test(arguments: [("2014-05-26", "RunInstances"), ("2015-04-01", "ExportImage"), ("", "")])
    func whatIsNotServedIsNotFound(version: String, action: String) throws {
        let harness = try ServiceHarness()
        let error = #expect(throws: APIError.self) {
            try harness.service().ask(action, by: harness.principal, version: version)
        }
        #expect(error?.code == "InvalidAction.NotFound" && error?.status == 404)
    }
}

/// The bucket of a harness, where a test says what is told of it.
enum DirectoryStoreStub {
    static func bucket(_ harness: ServiceHarness) -> any ObjectStore {
        do { return try harness.bucketOfExports } catch { preconditionFailure("\(error)") }
    }
}
