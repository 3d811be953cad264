import Foundation
import LatheTestSupport
import ObjectStorage
import ObjectStoreConformance
import Testing

@Suite struct DirectoryBucketTests {
    @Test func bucketsAreMadeAndListedAndDeleted() throws {
        let directory = try TemporaryDirectory()
        let store = try DirectoryStore(path: directory.file("store"))
        for name in ["zebra", "abc", "m-1"] { try store.createBucket(BucketName(name)) }
        try write([1], to: directory.file("store/file"))
        try FileManager.default.createDirectory(
            atPath: directory.file("store/No_Bucket"), withIntermediateDirectories: false)
        let buckets = try store.buckets()
        #expect(buckets.map(\.name.description) == ["abc", "m-1", "zebra"])
        #expect(buckets.allSatisfy { $0.created > 1_500_000_000 })
        let again = #expect(throws: StoreError.self) { try store.createBucket(BucketName("abc")) }
        #expect(again?.code == .bucketExists)
        try store.deleteBucket(BucketName("abc"))
        #expect(try store.buckets().count == 2)
        let gone = #expect(throws: StoreError.self) { try store.bucket(BucketName("abc")) }
        #expect(gone?.code == .noSuchBucket)
        #expect(throws: StoreError.self) { try store.deleteBucket(BucketName("abc")) }
        try store.createBucket(BucketName("abc"))
    }

    @Test func aBucketWithSomethingInItStays() throws {
        let own = try OwnStore()
        let name = try BucketName("disks")
        func expectStays() throws {
            let error = #expect(throws: StoreError.self) { try own.store.deleteBucket(name) }
            #expect(error?.code == .bucketNotEmpty)
            #expect(try own.store.buckets().count == 1)
        }
        try own.put([1], "a/b")
        try expectStays()
        try own.bucket.delete(ObjectKey("a/b"))
        let upload = try own.bucket.initiate(ObjectKey("x"), .init(), partLength: 1, replacing: true)
        try expectStays()
        try own.bucket.abort(upload)
        try write([1], to: own.file(".strange"))
        let strange = #expect(throws: StoreError.self) { try own.store.deleteBucket(name) }
        #expect(strange?.code == .bucketNotEmpty)
        #expect(try contents(of: own.file(".strange")) == [1])
        try FileManager.default.removeItem(atPath: own.file(".strange"))
        try own.store.deleteBucket(name)
        #expect(try FileManager.default.contentsOfDirectory(atPath: own.directory.file("store")).isEmpty)
    }

    @Test func whoStillHoldsADeletedBucketIsToldSo() throws {
        let own = try OwnStore()
        let writer = try own.bucket.beginObject(ObjectKey("x"))
        try writer.write([1].span)
        try own.store.deleteBucket(BucketName("disks"))
        let calls: [() throws -> Void] = [
            { _ = try writer.commit(tag: nil, .init(), replacing: true) },
            { try own.put([1], "y") },
            { _ = try own.bucket.initiate(ObjectKey("y"), .init(), partLength: 1, replacing: true) },
            { try own.bucket.setSettings(["a": "b"]) },
            { _ = try own.bucket.summary() },
        ]
        for (number, call) in calls.enumerated() {
            let error = #expect(throws: StoreError.self) { try call() }
            #expect(error?.code == .noSuchBucket, "call \(number): \(error.map { "\($0)" } ?? "")")
        }
        #expect(try own.store.buckets().isEmpty)
    }

    @Test func bucketsAreDeletedWhileOthersWrite() throws {
        let own = try OwnStore()
        let name = try BucketName("disks")
        let failures = inThreads(4) { thread in
            for round in 0..<60 {
                do {
                    if thread == 0 {
                        try own.store.deleteBucket(name)
                    } else {
                        let bucket = try own.store.ensureBucket(name)
                        let key = try ObjectKey("\(thread)/\(round)")
                        let summary = try bucket.put(ObjectBody([1]), to: key, .init(), replacing: false)
                        // What was stored is there as long as nobody deletes it.
                        let tag = try own.store.bucket(name).head(key).tag
                        try insist(tag == summary.tag, "\(key) has the tag \(tag)")
                        try bucket.delete(key)
                    }
                } catch let error as StoreError {
                    try insist([.noSuchBucket, .bucketNotEmpty, .inputOutput].contains(error.code), "\(error)")
                }
            }
        }
        #expect(failures.isEmpty, "\(failures)")
    }

    @Test func anyDirectoryCanBeABucket() throws {
        let directory = try TemporaryDirectory()
        try FileManager.default.createDirectory(atPath: directory.file("images"), withIntermediateDirectories: false)
        try write([1, 2], to: directory.file("images/disk.raw"))
        let store = try DirectoryStore(path: directory.path)
        #expect(try store.buckets().map(\.name.description) == ["images"])
        #expect(try store.sweep(olderThan: 0) == 0)
        // Nobody has opened it yet, and to look from outside makes nothing in it.
        #expect(try filesBelow(directory.path) == ["images/disk.raw"])
        let bucket = try store.bucket(BucketName("images"))
        #expect(try bucket.head(ObjectKey("disk.raw")).crc64 == ObjectBody([1, 2]).crc64)
        #expect(try bucket.summary().name.description == "images")
    }

    @Test func settingsAreKept() throws {
        let own = try OwnStore()
        #expect(try own.bucket.settings().isEmpty)
        try own.bucket.setSettings(["acl": "private", "encryption": "AES256", "quote": "\"\\\u{1F642}"])
        #expect(try own.reopened().settings() == ["acl": "private", "encryption": "AES256", "quote": "\"\\\u{1F642}"])
        try own.bucket.setSettings([:])
        #expect(try own.bucket.settings().isEmpty)
    }

    @Test(arguments: ["abc", "a-b", "0ab", String(repeating: "a", count: 63)]) func namesOfBuckets(name: String) throws
    {
        #expect(try BucketName(name).description == name)
    }

    @Test(arguments: [
        "ab", "-ab", "ab-", "aBc", "a.b", "a_b", "a/b", "..", "", "été", "a\0b", String(repeating: "a", count: 64),
    ])
    func namesOfNoBucket(name: String) {
        let error = #expect(throws: StoreError.self) { try BucketName(name) }
        #expect(error?.code == .invalidRequest)
    }

    @Test func aStoreNeedsADirectory() throws {
        let directory = try TemporaryDirectory()
        try write([1], to: directory.file("file"))
        for path in [directory.file("file"), directory.file("a/b"), ""] {
            let error = #expect(throws: StoreError.self) { try DirectoryStore(path: path) }
            #expect(error?.code == .inputOutput)
        }
    }
}
