import Foundation
import Glibc
import LatheTestSupport
import OSSWire
import ObjectStorage
import Testing

@testable import OSSServer

/// What can't be asked of the vendor's clients.
@Suite struct ObjectTests {
    /// Every version of the object is one byte many times, so a mixture shows.
    @Test func whoReadsWhileOthersWriteSeesOneVersion() async throws {
        try await withServer { own in
            _ = try await own.send("PUT", "x", body: [UInt8](repeating: 0, count: 700_000))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 1...4 {
                    group.addTask {
                        for round in 0..<8 {
                            let body = [UInt8](repeating: UInt8(writer * 16 + round), count: 700_000 + writer)
                            let answer = try await own.send("PUT", "x", body: body)
                            #expect(answer.status == 200)
                        }
                    }
                }
                for _ in 0..<4 {
                    group.addTask {
                        for _ in 0..<16 {
                            let answer = try await own.send("GET", "x")
                            let first = answer.body.first ?? 0
                            #expect(answer.status == 200 && answer.body.count == 700_000 + Int(first >> 4))
                            #expect(answer.body.allSatisfy { $0 == first })
                            #expect(answer.header("x-oss-hash-crc64ecma") == "\(ObjectBody(answer.body).crc64)")
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try own.leftovers().isEmpty)
        }
    }

    /// Of many that may not overwrite, one is first.
    @Test func oneOfManyIsFirst() async throws {
        try await withServer { own in
            let forbid = [HeaderField("x-oss-forbid-overwrite", "true")]
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for writer in 0..<8 {
                    group.addTask {
                        try await own.send("PUT", "x", headers: forbid, body: [UInt8(writer)]).status
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(statuses.sorted() == [200] + [Int](repeating: 409, count: 7))
        }
    }

    /// oss2 sends the markers that it has not: `part-number-marker=` and `continuation-token=` once were errors, or hid
    /// `start-after`.
    @Test func anEmptyMarkerIsNone() async throws {
        try await withServer { own in
            for key in ["a", "b"] { _ = try await own.send("PUT", key, body: [1]) }
            let upload = try own.bucket.initiate(ObjectKey("c"), .init(), partLength: 0, replacing: true)
            let parts = try await own.send(
                "GET", "c", query: [QueryItem("uploadId", upload.id), QueryItem("part-number-marker", "")])
            #expect(parts.status == 200, "\(parts.testDescription)")
            let list = try await own.send(
                "GET",
                query: [
                    QueryItem("list-type", "2"), QueryItem("start-after", "a"), QueryItem("continuation-token", ""),
                ])
            #expect(list.text.contains("<Key>b</Key>") && !list.text.contains("<Key>a</Key>"))
        }
    }

    @Test func aFileThatSomebodyPutThereIsServed() async throws {
        try await withServer { own in
            try Data("handmade".utf8).write(to: URL(filePath: own.directory.file("store/disks/made.txt")))
            let get = try await own.send("GET", "made.txt")
            #expect(get.status == 200 && get.text == "handmade")
            let head = try await own.send("HEAD", "made.txt")
            #expect(head.header("x-oss-hash-crc64ecma") == "\(ObjectBody(Array("handmade".utf8)).crc64)")
        }
    }

    @Test func keysThatClimbStayInTheBucket() async throws {
        try await withServer { own in
            let secret = own.directory.file("secret")
            try Data("secret".utf8).write(to: URL(filePath: secret))
            for key in ["../../secret", "../secret", "a/../../../secret", "./../../secret", "..%2f..%2fsecret"] {
                #expect(try await own.send("GET", key).code == "NoSuchKey")
                #expect(try await own.send("PUT", key, body: [1]).status == 200)
            }
            #expect(try String(contentsOfFile: secret, encoding: .utf8) == "secret")
            #expect(try own.directory.contents == ["secret", "store"])
            #expect(try FileManager.default.contentsOfDirectory(atPath: own.directory.file("store")) == ["disks"])
        }
    }

    @Test func aKeyThatADirectoryCanNotKeepTellsNoPath() async throws {
        try await withServer { own in
            #expect(try await own.send("PUT", "a", body: [1]).status == 200)
            for key in ["a/b", String(repeating: "x", count: 256)] {
                let answer = try await own.send("PUT", key, body: [1])
                #expect(answer.status == 501 && answer.code == "NotImplemented")
                #expect(!answer.text.contains(own.directory.path))
            }
        }
    }

    @Test(.enabled(if: geteuid() == 0, "only root mounts file systems"))
    func aFullDiskIsSaidAndLeavesNothing() async throws {
        let directory = try TemporaryDirectory()
        let disk = directory.file("disk")
        try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: false)
        try #require(unsafe mount("tmpfs", disk, "tmpfs", 0, "size=4m") == 0, "mount: errno \(errno)")
        defer { unsafe umount2(disk, Int32(MNT_DETACH)) }
        try await withServer(at: disk) { own in
            let body = SampleDisk.full(length: 6 << 20, seed: 5)
            let answer = try await own.send("PUT", "x", body: body)
            #expect(answer.status == 507 && answer.code == "InsufficientStorage", "\(answer.testDescription)")
            #expect(try await own.send("GET", "x").status == 404)
            let upload = try own.bucket.initiate(ObjectKey("y"), .init(), partLength: 0, replacing: true)
            let query = [QueryItem("partNumber", "1"), QueryItem("uploadId", upload.id)]
            #expect(try await own.send("PUT", "y", query: query, body: body).status == 507)
            #expect(try own.bucket.parts(of: upload).isEmpty)
            try own.bucket.abort(upload)
            // All that the failures took is free again.
            let again = try await own.send("PUT", "x", body: Array(body.prefix(3 << 20)))
            let left = try own.leftovers()
            #expect(again.status == 200, "\(again.testDescription) \(left)")
        }
    }

    @Test func aFailureOfTheServerTellsItsOperatorAndNoPath() async throws {
        let records = Records()
        try await withServer(anonymous: true, { $0.observer = { records.add($0) } }) { own in
            let temporary = own.directory.file("store/disks/.lathe/temporary")
            try FileManager.default.removeItem(atPath: temporary)
            try Data().write(to: URL(filePath: temporary))
            let answer = try await own.exchange(
                "PUT /disks/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n1")
            #expect(answer.status == 500 && answer.code == "InternalError", "\(answer.testDescription)")
            #expect(!answer.text.contains(own.directory.path))
        }
        let failed = try #require(records.all.first { $0.status == 500 })
        #expect(failed.line.hasPrefix("PUT /disks/x 500 InternalError"))
        #expect(failed.cause?.isEmpty == false)
    }
}

/// Records that an observer saw.
final class Records: Sendable {
    private let records = NSLock()
    nonisolated(unsafe) private var seen: [RequestRecord] = []

    func add(_ record: RequestRecord) { records.withLock { unsafe seen.append(record) } }

    var all: [RequestRecord] { records.withLock { unsafe seen } }
}
