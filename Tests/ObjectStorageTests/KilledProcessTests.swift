import Foundation
import Glibc
import LatheTestSupport
import ObjectStorage
import ObjectStoreConformance
import Testing

/// What processes leave that end without a word, and what becomes of it.
@Suite struct KilledProcessTests {
    private static func writer(_ path: String, seed: UInt64) throws -> Process {
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let process = Process()
        process.executableURL = URL(filePath: tests).deletingLastPathComponent().appending(path: "StoreWriter")
        process.arguments = [path, String(seed)]
        process.standardInput = FileHandle.nullDevice
        try process.run()
        return process
    }

    /// Reads every object and holds it against what is said of it.
    private func expectWhole(_ bucket: DirectoryBucket, _ what: String) throws {
        for entry in try bucket.list(prefix: "", after: nil, count: 100).entries {
            let reader: ObjectReader
            do throws(StoreError) { reader = try bucket.open(ObjectKey(entry.key)) } catch {
                #expect(error.code == .noSuchObject, "\(what): \(error)")
                continue
            }
            let bytes = try reader.read(0..<reader.summary.length)
            #expect(reader.summary.crc64 == ObjectBody(bytes).crc64, "\(what): \(entry.key)")
            let number = reader.summary.attributes.userMetadata["number"].flatMap(UInt64.init)
            var isOne = bytes.count % 8 == 0
            for index in bytes.indices where isOne {
                isOne = bytes[index] == number.map { UInt8(truncatingIfNeeded: $0 >> UInt64(index % 8 * 8)) }
            }
            #expect(isOne, "\(what): \(entry.key) is not of one piece, or not what is said of it")
        }
    }

    @Test func objectsAreWholeWheneverTheirWritersAreKilled() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("store")
        let bucket = try DirectoryStore(path: path).ensureBucket(BucketName("disks"))
        let seed: UInt64 = 1
        var generator = SeededGenerator(seed: seed)
        for round in 0..<25 {
            let writers = try (0..<2).map { try Self.writer(path, seed: seed &+ UInt64(2 * round + $0)) }
            usleep(UInt32.random(in: 20_000..<150_000, using: &generator))
            try expectWhole(bucket, "round \(round), seed \(seed)")
            for writer in writers {
                #expect(writer.isRunning, "a writer gave up")
                kill(writer.processIdentifier, SIGKILL)
                writer.waitUntilExit()
                usleep(UInt32.random(in: 0..<5000, using: &generator))
            }
            try expectWhole(bucket, "round \(round), seed \(seed)")
            if round % 5 == 0 { try bucket.sweep(olderThan: 0) }
            try expectWhole(bucket, "swept, round \(round), seed \(seed)")
        }
        // Uploads that were begun stay until somebody ends them; all else goes.
        try bucket.sweep(olderThan: 0)
        for upload in try bucket.uploads(prefix: "") { try bucket.abort(upload) }
        for entry in try bucket.list(prefix: "", after: nil, count: 100).entries {
            try bucket.delete(ObjectKey(entry.key))
        }
        #expect(try filesBelow(path) == ["disks/.lathe/bucket.json"])
    }

    // MARK: Single states

    private func fullUpload(_ own: OwnStore) throws -> (MultipartUpload, [StoredPart], [UInt8]) {
        let upload = try own.bucket.initiate(ObjectKey("x"), .init(), partLength: 1000, replacing: true)
        let bytes = SampleDisk.full(length: 1500, seed: 3)
        let parts = [
            try own.bucket.upload(ObjectBody(Array(bytes[..<1000])), asPart: 1, of: upload),
            try own.bucket.upload(ObjectBody(Array(bytes[1000...])), asPart: 2, of: upload),
        ]
        return (upload, parts, bytes)
    }

    @Test func killedBehindTheLastStepOfCompleting() throws {
        let own = try OwnStore()
        let (upload, parts, bytes) = try fullUpload(own)
        let room = own.file(".lathe/uploads/\(upload.id)")
        try write(Array("data".utf8), to: "\(room)/completing")
        try FileManager.default.moveItem(atPath: "\(room)/data", toPath: own.file("x"))
        #expect(try own.bytes(of: "x") == bytes)
        // It is over for everybody, and gone once somebody asks.
        #expect(try own.bucket.uploads(prefix: "").isEmpty)
        let look = #expect(throws: StoreError.self) { try own.bucket.parts(of: upload) }
        #expect(look?.code == .noSuchUpload)
        let again = #expect(throws: StoreError.self) { try own.bucket.complete(upload, parts: parts, replacing: true) }
        #expect(again?.code == .noSuchUpload)
        #expect(!FileManager.default.fileExists(atPath: room))
        #expect(try own.bytes(of: "x") == bytes)
    }

    @Test func killedBeforeTheObjectTookItsPlace() throws {
        let own = try OwnStore()
        let (upload, parts, bytes) = try fullUpload(own)
        let room = own.file(".lathe/uploads/\(upload.id)")
        try write(Array("assembled".utf8), to: "\(room)/completing")
        try write([1, 2, 3], to: "\(room)/assembled")
        #expect(try own.bucket.uploads(prefix: "").map(\.id) == [upload.id])
        #expect(try own.bucket.parts(of: upload) == parts)
        _ = try own.bucket.complete(upload, parts: parts, replacing: true)
        #expect(try own.bytes(of: "x") == bytes)
    }

    @Test func killedWhileTheUploadWasRemoved() throws {
        let own = try OwnStore()
        let (upload, _, _) = try fullUpload(own)
        try FileManager.default.removeItem(atPath: own.file(".lathe/uploads/\(upload.id)/upload.json"))
        #expect(try own.bucket.uploads(prefix: "").isEmpty)
        #expect(try own.store.sweep(olderThan: 3600) == 0)
        #expect(try own.store.sweep(olderThan: 0) == 1)
        #expect(try filesBelow(own.path) == [".lathe/bucket.json"])
    }

    @Test func whatIsLeftIsSweptAndWhatIsInUseStays() throws {
        let own = try OwnStore()
        try own.put([1], "kept")
        let record = try #require(try filesBelow(own.file(".lathe/objects")).first)
        let (upload, parts, bytes) = try fullUpload(own)
        let room = own.file(".lathe/uploads/\(upload.id)")
        // A part that somebody writes right now, in a file of its own.
        let writer = try own.bucket.beginPart(1, of: upload, length: 1000)
        try writer.write(SampleDisk.full(length: 1000, seed: 9).span)
        // What killed processes left: a file without a place, an upload that never began, a part, a record without an object.
        try write([1], to: own.file(".lathe/temporary/LEFT"))
        try FileManager.default.createDirectory(
            atPath: own.file(".lathe/temporary/BEGUN"), withIntermediateDirectories: false)
        try write([1], to: own.file(".lathe/temporary/BEGUN/data"))
        try write([1], to: "\(room)/own-2-LEFT")
        let orphan = record.replacing(record.suffix(3), with: "fff")
        try FileManager.default.copyItem(
            atPath: own.file(".lathe/objects/\(record)"), toPath: own.file(".lathe/objects/\(orphan)"))
        try write([1], to: own.file(".lathe/objects/" + String(record.prefix(2)) + "/garbage"))
        #expect(try own.store.sweep(olderThan: 3600) == 0)
        #expect(try own.store.sweep(olderThan: 0) == 5)
        #expect(try own.store.sweep(olderThan: 0) == 0)
        let second = try writer.commit(tag: nil)
        _ = try own.bucket.complete(upload, parts: [second, parts[1]], replacing: true)
        #expect(try own.bytes(of: "x") == SampleDisk.full(length: 1000, seed: 9) + bytes[1000...])
        #expect(try own.bucket.head(ObjectKey("kept")).crc64 == ObjectBody([1]).crc64)
        try own.bucket.delete(ObjectKey("x"))
        try own.bucket.delete(ObjectKey("kept"))
        #expect(try filesBelow(own.path) == [".lathe/bucket.json"])
    }

    @Test func aPartOfAKilledProcessHidesNothing() throws {
        let own = try OwnStore()
        let upload = try own.bucket.initiate(ObjectKey("x"), .init(), partLength: 10_000, replacing: true)
        // Bytes without a record: whoever wrote them was killed. Zeros must not leave them standing.
        try write(SampleDisk.full(length: 20_000, seed: 4), to: own.file(".lathe/uploads/\(upload.id)/data"))
        for number in 1...2 { _ = try own.bucket.upload(ObjectBody(zeros: 10_000), asPart: number, of: upload) }
        _ = try own.bucket.complete(upload, parts: own.bucket.parts(of: upload), replacing: true)
        #expect(try own.bytes(of: "x") == [UInt8](repeating: 0, count: 20_000))
    }

    @Test func aRecordThatIsDamagedIsNone() throws {
        let own = try OwnStore()
        _ = try own.bucket.put(
            ObjectBody([1, 2]), to: ObjectKey("x"), ObjectAttributes(contentType: "a/b"), replacing: true)
        let record = try #require(try filesBelow(own.file(".lathe/objects")).first)
        for damage in [[], Array("{".utf8), Array("{\"key\":\"y\",\"tag\":\"t\",\"attributes\":{}}".utf8)] as [[UInt8]]
        {
            try write(damage, to: own.file(".lathe/objects/\(record)"))
            let head = try own.bucket.head(ObjectKey("x"))
            #expect(head.crc64 == ObjectBody([1, 2]).crc64 && head.attributes == ObjectAttributes())
        }
    }
}
