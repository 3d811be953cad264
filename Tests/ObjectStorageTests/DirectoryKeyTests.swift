import Foundation
import Glibc
import LatheTestSupport
import ObjectStorage
import Testing

/// Keys become paths, and nothing that a key can say leads out of the bucket or into what is the store's own.
@Suite struct DirectoryKeyTests {
    static let hostile = [
        "../x", "../../x", "a/../../b", "a/../b", "./a", "a/./c", "a//b", "a///b", "b//", "c/..", "c/.lathe",
        ".lathe/bucket.json", ".lathe/objects/00/x", "%", "%2E", "%2E%2E/x", "%25", "%%", "%2", "%zz", "~root", "-rf",
        "* ?",
        "$(id)", "a\\..\\b", "c/%2F..", "..%2Fx", "....", "...", ".. ", " ..", "d/.", "d/..", "e.", "e..",
    ]

    @Test func hostileKeysStayInTheBucketAndDoNotMeet() throws {
        let own = try OwnStore()
        for key in Self.hostile { try own.put(Array("bytes of \(key)".utf8), key) }
        for key in Self.hostile { #expect(try own.bytes(of: key) == Array("bytes of \(key)".utf8), "\(key)") }
        #expect(try own.directory.contents == ["store"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: own.directory.file("store")) == ["disks"])
        let objects = try filesBelow(own.path).filter { !$0.hasPrefix(".lathe/") }
        #expect(objects.count == Self.hostile.count)
        #expect(try own.store.buckets().map(\.name.description) == ["disks"])
        let listed = try own.bucket.list(prefix: "", after: nil, count: 1000).entries.map(\.key)
        #expect(listed == Self.hostile.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
        for key in Self.hostile { try own.bucket.delete(ObjectKey(key)) }
        #expect(try filesBelow(own.path) == [".lathe/bucket.json"])
    }

    @Test(arguments: [".", "..", "...", ".lathe", "a/.", "%", "*"]) func keysThatAreNamesOfSomethingElse(key: String)
        throws
    {
        let own = try OwnStore()
        try own.put([5], key)
        #expect(try own.bytes(of: key) == [5])
        #expect(try own.bucket.list(prefix: key, after: nil, count: 2).entries.map(\.key) == [key])
        #expect(try own.directory.contents == ["store"])
        try own.bucket.delete(ObjectKey(key))
        #expect(try filesBelow(own.directory.path) == ["store/disks/.lathe/bucket.json"])
    }

    @Test func aPersonFindsObjectsUnderTheirKeys() throws {
        let own = try OwnStore()
        try own.put([1], "images/debian 12.qcow2")
        try own.put([2], "100%.raw")
        try own.put([3], ".hidden/x//y/")
        #expect(try contents(of: own.file("images/debian 12.qcow2")) == [1])
        #expect(try contents(of: own.file("100%25.raw")) == [2])
        #expect(try contents(of: own.file("%2Ehidden/x/%/y/%")) == [3])
    }

    @Test func keysOfAnyBytesComeBack() throws {
        let own = try OwnStore()
        let seed: UInt64 = 41
        var generator = SeededGenerator(seed: seed)
        let letters = Array("%.//2E5ab é-\\")
        var keys: [String: [UInt8]] = [:]
        for _ in 0..<300 {
            let key = String(
                (0..<Int.random(in: 1...9, using: &generator)).map { _ in
                    letters.randomElement(using: &generator) ?? "a"
                })
            let bytes = Array("\(key)!".utf8)
            guard (try? ObjectKey(key)) != nil else { continue }
            do { try own.put(bytes, key) } catch let error as StoreError {
                // Some other key is a folder of it, or it of another.
                #expect(error.code == .unsupported && !error.isTransient, "\(error)")
                continue
            }
            keys[key] = bytes
        }
        #expect(keys.count > 100, "seed \(seed)")
        for (key, bytes) in keys { #expect(try own.bytes(of: key) == bytes, "\(key), seed \(seed)") }
        let listed = try own.bucket.list(prefix: "", after: nil, count: 1000).entries.map(\.key)
        #expect(listed == keys.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }, "seed \(seed)")
    }

    @Test func aNameThatNoFileCanHaveIsRefused() throws {
        let own = try OwnStore()
        try own.put([1], String(repeating: "x", count: 255))
        let error = #expect(throws: StoreError.self) { try own.put([1], "a/" + String(repeating: "x", count: 256)) }
        #expect(error?.code == .unsupported && error?.message.contains("255") == true)
        // 128 letters of two bytes, and one that is escaped.
        #expect(throws: StoreError.self) { try own.put([1], String(repeating: "é", count: 128)) }
        #expect(throws: StoreError.self) { try own.put([1], "%" + String(repeating: "x", count: 253)) }
        try own.put([2], "%" + String(repeating: "x", count: 252))
    }

    @Test func keysAsDeepAsKeysCanBe() throws {
        let own = try OwnStore()
        let key = String(repeating: "d/", count: 511) + "x"
        try own.put([7], key)
        #expect(try own.bytes(of: key) == [7])
        #expect(try own.bucket.list(prefix: "d/d", after: nil, count: 3).entries.map(\.key) == [key])
        try own.bucket.delete(ObjectKey(key))
        #expect(try filesBelow(own.path) == [".lathe/bucket.json"])
    }

    @Test func anObjectIsNoFolder() throws {
        let own = try OwnStore()
        try own.put([1], "a")
        let below = #expect(throws: StoreError.self) { try own.put([2], "a/b") }
        #expect(below?.code == .unsupported && below?.isTransient == false)
        #expect(below?.message.contains("an object stands at") == true)
        #expect(throws: StoreError.self) { try own.bucket.head(ObjectKey("a/b")) }
        try own.bucket.delete(ObjectKey("a/b"))
        #expect(try own.bytes(of: "a") == [1])
        try own.bucket.delete(ObjectKey("a"))
        try own.put([2], "a/b/c")
        let above = #expect(throws: StoreError.self) { try own.put([1], "a/b") }
        #expect(above?.code == .unsupported && above?.message.contains("other objects in it") == true)
        #expect(throws: StoreError.self) { try own.bucket.get(ObjectKey("a"), range: 0..<1, tag: nil) }
        try own.bucket.delete(ObjectKey("a/b"))
        #expect(try own.bytes(of: "a/b/c") == [2])
    }

    @Test func anEmptyDirectoryIsNothing() throws {
        let own = try OwnStore()
        try FileManager.default.createDirectory(atPath: own.file("a/b/c"), withIntermediateDirectories: true)
        #expect(try own.bucket.list(prefix: "", after: nil, count: 10) == ObjectPage(entries: [], isTruncated: false))
        try own.put([1], "a")
        #expect(try own.bytes(of: "a") == [1])
    }

    // MARK: Links

    @Test func linksAreNeitherFollowedNorReplaced() throws {
        let own = try OwnStore()
        let outside = own.directory.file("outside")
        try FileManager.default.createDirectory(atPath: outside, withIntermediateDirectories: false)
        try write([9, 9], to: "\(outside)/secret")
        for (name, target) in [
            ("file", "\(outside)/secret"), ("folder", outside), ("nothing", "\(outside)/new"), ("up", ".."),
        ] {
            try FileManager.default.createSymbolicLink(atPath: own.file(name), withDestinationPath: target)
        }
        for key in ["file", "folder", "folder/secret", "nothing", "up", "up/disks/file"] {
            let error = #expect(throws: StoreError.self) { try own.bucket.head(ObjectKey(key)) }
            #expect(error?.code == .noSuchObject, "\(key)")
            let put = #expect(throws: StoreError.self) { try own.put([1], key) }
            #expect(put?.code == .unsupported, "\(key): \(put.map { "\($0)" } ?? "")")
            try own.bucket.delete(ObjectKey(key))
        }
        let upload = try own.bucket.initiate(ObjectKey("folder/x"), .init(), partLength: 10, replacing: true)
        let part = try own.bucket.upload(ObjectBody([1]), asPart: 1, of: upload)
        #expect(throws: StoreError.self) { try own.bucket.complete(upload, parts: [part], replacing: true) }
        #expect(try own.bucket.list(prefix: "", after: nil, count: 10).entries.isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: outside) == ["secret"])
        #expect(try contents(of: "\(outside)/secret") == [9, 9])
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: own.file("file")) == "\(outside)/secret")
    }

    @Test func theStoresOwnDirectoriesMayNotBeLinks() throws {
        let own = try OwnStore()
        let outside = own.directory.file("outside")
        try FileManager.default.createDirectory(atPath: outside, withIntermediateDirectories: false)
        for name in [".lathe", ".lathe/objects", ".lathe/uploads", ".lathe/temporary"] {
            let kept = own.directory.file("kept")
            try FileManager.default.moveItem(atPath: own.file(name), toPath: kept)
            try FileManager.default.createSymbolicLink(atPath: own.file(name), withDestinationPath: outside)
            let error = #expect(throws: StoreError.self) { try own.reopened() }
            #expect(error?.code == .inputOutput && error?.message.contains("something else") == true)
            try FileManager.default.removeItem(atPath: own.file(name))
            try FileManager.default.moveItem(atPath: kept, toPath: own.file(name))
        }
        try FileManager.default.createSymbolicLink(
            atPath: own.directory.file("store/linked"), withDestinationPath: outside)
        #expect(try own.store.buckets().count == 1)
        let error = #expect(throws: StoreError.self) { try own.store.bucket(BucketName("linked")) }
        #expect(error?.code == .noSuchBucket)
        #expect(throws: StoreError.self) { try own.store.ensureBucket(BucketName("linked")) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: outside).isEmpty)
    }

    @Test func uploadsAreNotFoundByHostileNames() throws {
        let own = try OwnStore()
        let key = try ObjectKey("x")
        for id in [
            "", ".", "..", "../..", "../temporary", "a/b", String(repeating: "A", count: 32),
            String(repeating: "é", count: 16),
        ] {
            let upload = MultipartUpload(key: key, id: id)
            let error = #expect(throws: StoreError.self) { try own.bucket.abort(upload) }
            #expect(error?.code == .noSuchUpload, "\(id)")
            #expect(throws: StoreError.self) { try own.bucket.parts(of: upload) }
        }
        let upload = try own.bucket.initiate(key, .init(), partLength: 10, replacing: true)
        let other = MultipartUpload(key: try ObjectKey("y"), id: upload.id)
        let error = #expect(throws: StoreError.self) { try own.bucket.abort(other) }
        #expect(error?.code == .noSuchUpload)
    }

    @Test func pipesAndTheLikeAreNoObjects() throws {
        let own = try OwnStore()
        #expect(unsafe mkfifo(own.file("pipe"), 0o600) == 0)
        let error = #expect(throws: StoreError.self) { try own.bucket.head(ObjectKey("pipe")) }
        #expect(error?.code == .noSuchObject)
        #expect(try own.bucket.list(prefix: "", after: nil, count: 10).entries.isEmpty)
    }
}
