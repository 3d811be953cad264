import ECSWire
import Foundation
import ImageModel
import LatheTestSupport
import ObjectStorage
import Testing

@testable import ExportService
@testable import LatheCommands

/// Lists, their filters and pages; imports; verifications.
@Suite struct DescribeTests {
    private static let small = ErrorCodeTests.small

    // MARK: Lists

    @Test func tasksAreFilteredAndPaged() throws {
        let harness = try ServiceHarness()
        let service = harness.service()
        var tasks: [String] = []
        var images: [String] = []
        try harness.state.set(AccountSettings(concurrentExports: 100), ofAccount: harness.account.id)
        for _ in 0..<5 {
            images.append(try harness.addImage([Self.small]))
            tasks.append(try service.export(try #require(images.last), by: harness.principal))
            harness.clock.advance(60)
        }
        try service.ask("CancelTask", ["TaskId": tasks[0]], by: harness.principal)
        func found(_ parameters: [String: String]) throws -> (ids: [String?], total: Int?) {
            let answer = try service.ask("DescribeTasks", parameters, by: harness.principal)
            return (answer.items("TaskSet").map { $0.string("TaskId") }, answer.number("TotalCount"))
        }
        let newest = Array(tasks.reversed())
        #expect(try found([:]).ids == newest)
        #expect(try found(["PageSize": "2", "PageNumber": "2"]).ids == Array(newest[2...3]))
        #expect(try found(["PageSize": "2", "PageNumber": "3"]).total == 5)
        #expect(try found(["TaskIds": "\(tasks[1]),\(tasks[3])"]).ids == [tasks[3], tasks[1]])
        #expect(try found(["TaskStatus": "Deleted"]).ids == [tasks[0]])
        #expect(try found(["TaskStatus": "Waiting"]).ids == Array(newest.prefix(4)))
        #expect(try found(["TaskStatus": "Paused"]).total == 5, "other words are passed over")
        #expect(try found(["TaskAction": "ImportImage"]).total == 0)
        #expect(try found(["TaskAction": "ArchiveSnapshot"]).total == 0)
        #expect(try found(["TaskGroupId": "tg-1"]).total == 0)
        #expect(try found(["ResourceIds.1": images[2], "ResourceIds.2": images[4]]).ids == [tasks[4], tasks[2]])
        let start = APITime.format(1_700_000_000 + 120)
        #expect(try found(["StartTime": start]).ids == Array(newest.prefix(3)))
        #expect(try found(["EndTime": start]).ids == Array(newest.suffix(3)))
        let first = try service.ask("DescribeTasks", ["TaskIds": tasks[1]], by: harness.principal).items("TaskSet")[0]
        #expect(first.string("CreationTime") == "2023-11-14T22:14Z" && first.string("SupportCancel") == "true")
        let other = try service.ask("DescribeTasks", ["RegionId": "cn-hangzhou"], by: harness.principal)
        #expect(other.string("RegionId") == "cn-hangzhou")
    }

    @Test func imagesAreFilteredByNameStatusAndID() throws {
        let harness = try ServiceHarness()
        let service = harness.service()
        let web = try harness.addImage([Self.small], name: "web-1")
        harness.clock.advance(1)
        let underscore = try harness.addImage([Self.small], name: "web_1")
        harness.clock.advance(1)
        let gone = try harness.addImage([Self.small, Self.small], name: "db") { $0.status = .deprecated }
        func found(_ parameters: [String: String]) throws -> [String?] {
            try service.ask("DescribeImages", parameters, by: harness.principal).items("Images").map {
                $0.string("ImageId")
            }
        }
        #expect(try found([:]) == [underscore, web])
        #expect(try found(["ImageName": "web*"]) == [underscore, web])
        #expect(try found(["ImageName": "web_1"]) == [underscore])
        #expect(try found(["ImageName": "%"]).isEmpty)
        #expect(try found(["Status": "Deprecated,Available"]) == [gone, underscore, web])
        #expect(try found(["ImageId": "\(web),m-none"]) == [web])
        #expect(try found(["ImageOwnerAlias": "system"]).isEmpty)
        let answer = try service.ask("DescribeImages", ["Status": "Deprecated"], by: harness.principal)
        let disks = answer.items("Images")[0].items("DiskDeviceMappings")
        #expect(disks.map { $0.string("Device") } == ["/dev/xvda", "/dev/xvdb"])
        #expect(disks.map { $0.string("Type") } == ["system", "data"] && disks[0].string("Size") == "1")
    }

    @Test func regionsNameTheirEndpoints() throws {
        let harness = try ServiceHarness()
        try harness.state.setRegion("eu-central-1", localName: "Germany", endpoint: "ecs.example.com")
        let service = harness.service()
        service.announce(endpoint: "127.0.0.1:8088")
        let regions = try service.ask("DescribeRegions", ["RegionId": "-"], by: harness.principal).items("Regions")
        #expect(regions.map { $0.string("RegionId") } == ["cn-hangzhou", "eu-central-1"])
        #expect(regions.map { $0.string("RegionEndpoint") } == ["127.0.0.1:8088", "ecs.example.com"])
    }

    // MARK: Verifications

    @Test func aVerificationReadsTheObjectWhole() throws {
        let harness = try ServiceHarness()
        let content = SampleDisk.mixed(length: 400 << 10, seed: 2)
        let image = try harness.addImage([content])
        let service = harness.service(packagesRaw: false)
        try service.whileRunning {
            let task = try service.export(image, by: harness.principal)
            _ = try service.end(of: task)
            let key = "\(image)_system.raw"
            let parameters = ["TaskId": task, "OSSObject": key]
            func outcome(_ more: [String: String] = [:]) throws -> AnswerObject {
                var answer = try service.ask(
                    "VerifyExportedObject", parameters.merging(more) { $1 }, by: harness.principal)
                try eventually("the verification is over") {
                    answer = try service.ask("VerifyExportedObject", parameters, by: harness.principal)
                    return answer.string("Status") != "Verifying"
                }
                return answer
            }
            let right = try outcome()
            #expect(right.string("Status") == "Verified")
            #expect(right.string("Fingerprint") == "\(ObjectBody(content).crc64)")
            var damaged = content
            damaged[200_000] ^= 1
            _ = try harness.bucketOfExports.put(ObjectBody(damaged), to: ObjectKey(key), .init(), replacing: true)
            #expect(try outcome().string("Status") == "Verified", "it is not asked for anew")
            let wrong = try outcome(["Restart": "true"])
            #expect(wrong.string("Status") == "Failed" && wrong.string("Message")?.contains("manifest") == true)
            #expect(wrong.string("Message")?.contains(harness.directory.path) == false)
            let other = #expect(throws: APIError.self) {
                try service.ask("VerifyExportedObject", ["TaskId": task, "OSSObject": "x"], by: harness.principal)
            }
            #expect(other?.code == "InvalidOSSObject.NotFound")
        }
    }

    // MARK: Imports

    private static func mapping(_ key: String, _ more: [String: String] = [:]) -> [String: String] {
        ["DiskDeviceMapping.1.OSSBucket": ServiceHarness.bucket, "DiskDeviceMapping.1.OSSObject": key]
            .merging(more) { $1 }
    }

    @Test(arguments: ["raw", "qcow2", "vhd"]) func anExportBecomesAnImageAgain(format: String) throws {
        let harness = try ServiceHarness()
        let content = SampleDisk.mixed(length: 300 << 10, seed: 9)
        let image = try harness.addImage([content])
        let service = harness.service()
        try service.whileRunning {
            _ = try service.end(
                of: try service.export(image, ["ImageFormat": format], by: harness.principal))
            let key = try #require(try harness.keys().first)
            let answer = try service.ask(
                "ImportImage", Self.mapping(key, ["ImageName": "again", "DiskDeviceMapping.1.DiskImageSize": "1"]),
                by: harness.principal)
            let task = try #require(answer.string("TaskId"))
            let imported = try #require(answer.string("ImageId"))
            #expect(try service.end(of: task).status == .finished)
            let found = try #require(try harness.state.image(imported))
            #expect(found.image.status == .available && found.image.name == "again")
            #expect(found.disks[0].format == (format == "raw" ? "raw.tar.gz" : format))
            // The image goes out again with the same content.
            _ = try service.end(
                of: try service.export(imported, ["ImageFormat": "qcow2"], by: harness.principal))
            let listed = try service.ask("DescribeExportedObjects", by: harness.principal).items("Objects")
            let prints = Set(listed.compactMap { $0.string("Fingerprint") })
            // A vhd's disk is longer than the source, by zeros.
            #expect(prints.count == 1 && listed.count == 2)
        }
    }

    @Test func anImportThatFailsLeavesNothing() throws {
        let harness = try ServiceHarness()
        let service = harness.service()
        try service.whileRunning {
            for (key, more, code) in [
                ("missing", [:], "OSSAccessFailed"),
                ("text", ["DiskDeviceMapping.1.Format": "QCOW2"], "InvalidImageFile"),
                (
                    "large", ["DiskDeviceMapping.1.Format": "RAW", "DiskDeviceMapping.1.DiskImSize": "1"],
                    "InvalidDiskImageSize"
                ),
            ] {
                if key == "text" {
                    _ = try harness.bucketOfExports.put(
                        ObjectBody(Array("no image\n".utf8)), to: ObjectKey(key), .init(), replacing: true)
                } else if key == "large" {
                    let path = harness.state.objectsPath + "/\(ServiceHarness.bucket)/large"
                    try Data().write(to: URL(filePath: path))
                    try FileHandle(forWritingTo: URL(filePath: path)).truncate(atOffset: 1 << 30 + 512)
                }
                let answer = try service.ask("ImportImage", Self.mapping(key, more), by: harness.principal)
                let record = try service.end(of: try #require(answer.string("TaskId")))
                #expect(record.status == .failed && record.errorCode == code, "\(record)")
                #expect(try harness.state.image(try #require(answer.string("ImageId"))) == nil)
                #expect(try FileManager.default.contentsOfDirectory(atPath: harness.state.importsPath).isEmpty)
            }
        }
    }

    @Test func anImportThatWaitsIsTakenBack() throws {
        let harness = try ServiceHarness()
        let service = harness.service()
        let answer = try service.ask("ImportImage", Self.mapping("k"), by: harness.principal)
        let task = try #require(answer.string("TaskId"))
        try service.ask("CancelTask", ["TaskId": task], by: harness.principal)
        let record = try service.whileRunning { try service.end(of: task) }
        #expect(record.status == .deleted)
        #expect(try harness.state.images().isEmpty)
    }
}
