import Foundation
import Glibc
import LatheTestSupport
import ObjectStorage
import ObjectStoreConformance
import Synchronization
import Testing

@Suite struct DirectoryObjectTests {
    // MARK: Files that somebody put there

    private func setAge(_ seconds: Int, of path: String) throws {
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSinceNow: -Double(seconds))], ofItemAtPath: path)
    }

    @Test func aFileThatSomebodyPutThereIsAnObject() throws {
        let own = try OwnStore()
        let bytes = SampleDisk.full(length: 3_000_000, seed: 5)
        try FileManager.default.createDirectory(atPath: own.file("by"), withIntermediateDirectories: false)
        try write(bytes, to: own.file("by/hand.raw"))
        try setAge(100, of: own.file("by/hand.raw"))
        let key = try ObjectKey("by/hand.raw")
        let reader = try own.bucket.open(key)
        #expect(reader.summary.crc64 == nil && reader.summary.length == 3_000_000)
        let listed = try own.bucket.list(prefix: "by/", after: nil, count: 1).entries
        let head = try own.bucket.head(key)
        #expect(head.crc64 == ObjectBody(bytes).crc64)
        #expect(listed.map(\.tag) == [head.tag] && reader.summary.tag == head.tag)
        // It was kept: another look takes no other pass.
        #expect(try own.reopened().open(key).summary == head)
        try own.bucket.setAttributes(ObjectAttributes(contentType: "text/plain"), of: key, tag: head.tag)
        #expect(try own.bucket.head(key).attributes.contentType == "text/plain")
        #expect(try own.bucket.head(key).crc64 == head.crc64)
        try own.bucket.delete(key)
        #expect(try filesBelow(own.path) == [".lathe/bucket.json"])
    }

    @Test func whatIsNotOldEnoughToBeSureIsNotKept() throws {
        let own = try OwnStore()
        try write([1, 2, 3], to: own.file("new"))
        #expect(try own.bucket.head(ObjectKey("new")).crc64 == ObjectBody([1, 2, 3]).crc64)
        #expect(try own.bucket.open(ObjectKey("new")).summary.crc64 == nil)
    }

    @Test func anObjectThatIsReplacedKeepsItsAccess() throws {
        let own = try OwnStore()
        let key = try ObjectKey("private.raw")
        _ = try own.bucket.put(ObjectBody([1]), to: key, ObjectAttributes(), replacing: false)
        #expect(unsafe chmod(own.file("private.raw"), 0o600) == 0)
        _ = try own.bucket.put(ObjectBody([2]), to: key, ObjectAttributes(), replacing: true)
        let upload = try own.bucket.initiate(key, ObjectAttributes(), partLength: 1, replacing: true)
        let part = try own.bucket.upload(ObjectBody([3]), asPart: 1, of: upload)
        var status = stat()
        #expect(unsafe stat(own.file("private.raw"), &status) == 0 && status.st_mode & 0o777 == 0o600)
        _ = try own.bucket.complete(upload, parts: [part], replacing: true)
        #expect(unsafe stat(own.file("private.raw"), &status) == 0 && status.st_mode & 0o777 == 0o600)
        #expect(try own.bucket.get(key, range: 0..<1, tag: nil) == [3])
    }

    @Test func anObjectThatSomebodyWroteToIsAnother() throws {
        let own = try OwnStore()
        let attributes = ObjectAttributes(userMetadata: ["of": "the old bytes"])
        let old = try own.bucket.put(ObjectBody([1, 2, 3]), to: ObjectKey("x"), attributes, replacing: true)
        let handle = try #require(FileHandle(forWritingAtPath: own.file("x")))
        try handle.write(contentsOf: [4, 5, 6])
        try handle.close()
        try setAge(50, of: own.file("x"))
        let head = try own.bucket.head(ObjectKey("x"))
        #expect(head.tag != old.tag && head.crc64 == ObjectBody([4, 5, 6]).crc64)
        #expect(head.attributes.userMetadata.isEmpty)
        let error = #expect(throws: StoreError.self) { try own.bucket.get(ObjectKey("x"), range: 0..<1, tag: old.tag) }
        #expect(error?.code == .preconditionFailed)
    }

    @Test func namesThatStandForNoKeyAreNotListed() throws {
        let own = try OwnStore()
        for name in [".hidden", "100%", "%2F", "%41", "tab\there", "%2e"] { try write([1], to: own.file(name)) }
        #expect(try own.bucket.list(prefix: "", after: nil, count: 10).entries.isEmpty)
    }

    // MARK: Readers and writers

    @Test func aReaderGoesOnWithTheSameBytes() throws {
        let own = try OwnStore()
        try own.put(SampleDisk.full(length: 100_000, seed: 1), "x")
        let reader = try own.bucket.open(ObjectKey("x"))
        try own.put([1, 2, 3], "x")
        #expect(try reader.read(0..<100_000) == SampleDisk.full(length: 100_000, seed: 1))
        try own.bucket.delete(ObjectKey("x"))
        #expect(try reader.read(50_000..<100_000) == Array(SampleDisk.full(length: 100_000, seed: 1)[50_000...]))
        let error = #expect(throws: StoreError.self) { try reader.read(99_999..<100_001) }
        #expect(error?.code == .invalidRange)
    }

    @Test func whatIsNotCommittedLeavesNothing() throws {
        let own = try OwnStore()
        do {
            let writer = try own.bucket.beginObject(ObjectKey("x"))
            try writer.write([UInt8](repeating: 7, count: 1 << 20).span)
            #expect(writer.length == 1 << 20 && writer.crc64 == ObjectBody([UInt8](repeating: 7, count: 1 << 20)).crc64)
        }
        #expect(try filesBelow(own.path) == [".lathe/bucket.json"])
    }

    @Test func anObjectIsCommittedOnce() throws {
        let own = try OwnStore()
        let writer = try own.bucket.beginObject(ObjectKey("x"))
        try writer.write([1, 2].span)
        let summary = try writer.commit(tag: "5EB63BBBE01EEED093CB22BB8F5ACDC3", .init(), replacing: false)
        #expect(summary.tag == "5EB63BBBE01EEED093CB22BB8F5ACDC3" && summary.length == 2)
        #expect(throws: StoreError.self) { try writer.write([3].span) }
        #expect(throws: StoreError.self) { try writer.commit(tag: nil, .init(), replacing: true) }
        #expect(try own.bucket.head(ObjectKey("x")) == summary)
        #expect(try own.bytes(of: "x") == [1, 2])
    }

    @Test func zerosTakeNoRoom() throws {
        let own = try OwnStore()
        let summary = try own.bucket.put(ObjectBody(zeros: 64 << 20), to: ObjectKey("zeros"), .init(), replacing: true)
        #expect(summary.crc64 == ObjectBody(zeros: 64 << 20).crc64)
        var status = stat()
        #expect(unsafe stat(own.file("zeros"), &status) == 0)
        #expect(status.st_size == 64 << 20 && status.st_blocks == 0)
    }

    @Test func encryptionIsNotPromised() throws {
        let own = try OwnStore()
        let attributes = ObjectAttributes(encryption: ServerSideEncryption(algorithm: "AES256"))
        let key = try ObjectKey("x")
        for attempt in 0..<2 {
            let error = #expect(throws: StoreError.self) {
                if attempt == 0 {
                    _ = try own.bucket.put(ObjectBody([1]), to: key, attributes, replacing: true)
                } else {
                    _ = try own.bucket.initiate(key, attributes, partLength: 1, replacing: true)
                }
            }
            #expect(error?.code == .unsupported && error?.message.contains("encrypt") == true)
        }
        #expect(try filesBelow(own.path) == [".lathe/bucket.json"])
    }

    // MARK: Races

    @Test func ofManyWhoMayNotReplaceOneWins() throws {
        let own = try OwnStore()
        for round in 0..<20 {
            let wins = Mutex<[UInt8]>([])
            let failures = inThreads(6) { thread in
                let bucket = try own.reopened()
                _ = try bucket.put(
                    ObjectBody([UInt8(thread)]), to: ObjectKey("folder/\(round)"), .init(), replacing: false)
                wins.withLock { $0.append(UInt8(thread)) }
            }
            #expect(failures.count == 5)
            #expect(failures.allSatisfy { ($0 as? StoreError)?.code == .objectExists }, "\(failures)")
            #expect(try own.bytes(of: "folder/\(round)") == wins.withLock { $0 })
        }
    }

    @Test func whoeverReadsWhileOthersReplaceSeesOneOfThem() throws {
        let own = try OwnStore()
        let key = try ObjectKey("a/b/c")
        let failures = inThreads(6) { thread in
            let bucket = try own.reopened()
            for round in 0..<150 {
                let number = UInt8(1 + (thread * 40 + round) % 200)
                switch thread {
                case 0, 1, 2:
                    let body = ObjectBody([UInt8](repeating: number, count: 100 * Int(number)))
                    _ = try bucket.put(
                        body, to: key, ObjectAttributes(userMetadata: ["n": "\(number)"]), replacing: true)
                case 3 where round % 5 == 0: try bucket.delete(key)
                default:
                    do {
                        let reader = try bucket.open(key)
                        let summary = reader.summary
                        let bytes = try reader.read(0..<summary.length)
                        try insist(summary.crc64 == ObjectBody(bytes).crc64, "checksum of \(summary)")
                        try insist(summary.attributes.userMetadata["n"] == "\(bytes[0])", "attributes of \(summary)")
                        let listed = try bucket.list(prefix: "a/", after: nil, count: 10).entries
                        let tagsFit = listed.allSatisfy {
                            $0.tag.hasSuffix(String($0.length, radix: 16, uppercase: true))
                        }
                        try insist(tagsFit, "tags of \(listed)")
                    } catch let error as StoreError where error.code == .noSuchObject {
                        continue
                    }
                }
            }
        }
        #expect(failures.isEmpty, "\(failures)")
        try own.bucket.delete(key)
        #expect(try filesBelow(own.path) == [".lathe/bucket.json"])
    }

    // MARK: Listings

    @Test func aLongDirectoryIsListedInPages() throws {
        let own = try OwnStore()
        var keys: [String] = []
        for number in 0..<900 {
            let name = String(number, radix: 3)
            switch number % 4 {
            // Empty directories take a place among the names, and none among the keys.
            case 0:
                try FileManager.default.createDirectory(
                    atPath: own.file("d/\(name)-"), withIntermediateDirectories: true)
            case 1: keys.append("d/\(name)/x")
            default: keys.append("d/\(name).")
            }
        }
        for key in keys { try own.put([1], key) }
        keys.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        for count in [1, 3, 100, 1000] {
            var listed: [String] = []
            var after: String?
            repeat {
                let page = try own.bucket.list(prefix: "d/", after: after, count: count)
                listed += page.entries.map(\.key)
                after = page.isTruncated ? page.entries.last?.key : nil
            } while after != nil && listed.count < (count < 10 ? 40 : 1000)
            let isSame = listed == Array(keys.prefix(listed.count)) && (count < 10 || listed.count == keys.count)
            #expect(isSame, "pages of \(count)")
        }
        for count in [0, -1, 1001] {
            #expect(throws: StoreError.self) { try own.bucket.list(prefix: "", after: nil, count: count) }
        }
    }
}
