import Foundation
import Glibc
import LatheTestSupport
import ObjectStorage
import ObjectStoreConformance
import Synchronization
import Testing

@Suite struct DirectoryUploadTests {
    private func inode(_ path: String) throws -> UInt64 {
        let number = try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber]
        return try #require(number as? UInt64)
    }

    private func data(_ own: OwnStore, _ upload: MultipartUpload) -> String {
        own.file(".lathe/uploads/\(upload.id)/data")
    }

    private func full(_ length: Int, _ seed: UInt64) -> [UInt8] { SampleDisk.full(length: length, seed: seed) }

    // MARK: Where parts stand

    @Test(arguments: [128 << 10, 10_007]) func completingMovesNoByteOfPartsOfTheUsualLength(partLength: Int) throws {
        let own = try OwnStore()
        let upload = try own.bucket.initiate(ObjectKey("x"), .init(), partLength: UInt64(partLength), replacing: true)
        let pieces = (1...5).map { full($0 == 5 ? 777 : partLength, UInt64($0)) }
        for number in [5, 3, 1, 2, 4] {
            _ = try own.bucket.upload(ObjectBody(pieces[number - 1]), asPart: number, of: upload)
        }
        let files = try FileManager.default.contentsOfDirectory(atPath: own.file(".lathe/uploads/\(upload.id)"))
        #expect(!files.contains { $0.hasPrefix("own-") })
        let written = try inode(data(own, upload))
        let summary = try own.bucket.complete(upload, parts: own.bucket.parts(of: upload), replacing: true)
        #expect(try inode(own.file("x")) == written)
        #expect(try own.bytes(of: "x") == pieces.flatMap { $0 })
        #expect(summary.tag.hasSuffix("-5") && summary.crc64 == ObjectBody(pieces.flatMap { $0 }).crc64)
    }

    @Test func partsOfALengthThatNobodyAnnouncedFindTheirPlace() throws {
        let own = try OwnStore()
        let upload = try own.bucket.initiate(ObjectKey("x"), .init(), partLength: 0, replacing: true)
        let pieces = [full(5000, 1), full(5000, 2), full(5000, 3), full(12, 4)]
        for number in [2, 4, 1, 3] {
            _ = try own.bucket.upload(ObjectBody(pieces[number - 1]), asPart: number, of: upload)
        }
        let written = try inode(data(own, upload))
        _ = try own.bucket.complete(upload, parts: own.bucket.parts(of: upload), replacing: true)
        #expect(try inode(own.file("x")) == written)
        #expect(try own.bytes(of: "x") == pieces.flatMap { $0 })
    }

    @Test func partsOfAllLengthsBecomeAnObject() throws {
        let own = try OwnStore()
        let seed: UInt64 = 77
        var generator = SeededGenerator(seed: seed)
        for round in 0..<40 {
            let announced = [0, 1, 4096, 9000].randomElement(using: &generator) ?? 0
            let upload = try own.bucket.initiate(
                ObjectKey("x"), .init(), partLength: UInt64(announced), replacing: true)
            var pieces: [Int: [UInt8]] = [:]
            for _ in 0..<Int.random(in: 1...12, using: &generator) {
                let number = Int.random(in: 1...6, using: &generator)
                let length = [0, 1, 100, 4096, 9000, 9001].randomElement(using: &generator) ?? 0
                // Zeros over what was not zero show what a hole hides.
                let piece =
                    Bool.random(using: &generator)
                    ? [UInt8](repeating: 0, count: length) : full(length, generator.next())
                if Int.random(in: 0..<4, using: &generator) == 0 {
                    let writer = try own.bucket.beginPart(number, of: upload, length: UInt64(length))
                    try writer.write(full(length, 9).span)
                } else if Bool.random(using: &generator) {
                    _ = try own.bucket.upload(ObjectBody(piece), asPart: number, of: upload)
                    pieces[number] = piece
                } else {
                    let writer = try own.bucket.beginPart(number, of: upload, length: nil)
                    try writer.write(piece.span.extracting(0..<length / 3))
                    try writer.write(piece.span.extracting(length / 3..<length))
                    #expect(try writer.commit(tag: nil).crc64 == ObjectBody(piece).crc64)
                    pieces[number] = piece
                }
            }
            let parts = try own.bucket.parts(of: upload).filter { _ in Int.random(in: 0..<5, using: &generator) > 0 }
            guard !parts.isEmpty else {
                try own.bucket.abort(upload)
                continue
            }
            let expected = parts.flatMap { pieces[$0.number] ?? [] }
            let summary = try own.bucket.complete(upload, parts: parts, replacing: true, leastPartLength: 0)
            let isSame = try own.bytes(of: "x") == expected && summary.crc64 == ObjectBody(expected).crc64
            #expect(isSame, "round \(round), seed \(seed)")
        }
        try own.bucket.delete(ObjectKey("x"))
        #expect(try filesBelow(own.path) == [".lathe/bucket.json"])
    }

    @Test func partsOfZerosTakeNoRoom() throws {
        let own = try OwnStore()
        let upload = try own.bucket.initiate(ObjectKey("x"), .init(), partLength: 8 << 20, replacing: true)
        for number in 1...4 { _ = try own.bucket.upload(ObjectBody(zeros: 8 << 20), asPart: number, of: upload) }
        // One more that must be copied, and stays as it is there too.
        _ = try own.bucket.upload(ObjectBody(zeros: 8 << 20), asPart: 4, of: upload)
        _ = try own.bucket.complete(upload, parts: own.bucket.parts(of: upload), replacing: true)
        var status = stat()
        #expect(unsafe stat(own.file("x"), &status) == 0)
        #expect(status.st_size == 32 << 20 && status.st_blocks == 0)
    }

    // MARK: Parts that fail

    @Test func aPartThatFailsLeavesTheOneThatWasThere() throws {
        let own = try OwnStore()
        let upload = try own.bucket.initiate(ObjectKey("x"), .init(), partLength: 50_000, replacing: true)
        let good = full(50_000, 1)
        let part = try own.bucket.upload(ObjectBody(good), asPart: 1, of: upload)
        for _ in 0..<3 {
            let broken = ObjectBody(full(50_000, 2)).paced { (bytes) throws(StoreError) in
                throw StoreError(.connection, "the line broke")
            }
            #expect(throws: StoreError.self) { try own.bucket.upload(broken, asPart: 1, of: upload) }
            let writer = try own.bucket.beginPart(1, of: upload, length: 50_000)
            try writer.write(full(40_000, 3).span)
        }
        #expect(try own.bucket.parts(of: upload) == [part])
        _ = try own.bucket.complete(upload, parts: [part], replacing: true)
        #expect(try own.bytes(of: "x") == good)
    }

    @Test func aPartHasTheLengthThatWasAnnounced() throws {
        let own = try OwnStore()
        let upload = try own.bucket.initiate(ObjectKey("x"), .init(), partLength: 1000, replacing: true)
        let neighbour = try own.bucket.upload(ObjectBody(full(1000, 2)), asPart: 2, of: upload)
        let writer = try own.bucket.beginPart(1, of: upload, length: 1000)
        try writer.write(full(999, 1).span)
        let more = #expect(throws: StoreError.self) { try writer.write([1, 2].span) }
        #expect(more?.code == .invalidRequest)
        let fewer = #expect(throws: StoreError.self) { try writer.commit(tag: nil) }
        #expect(fewer?.code == .invalidRequest && fewer?.message.contains("999") == true)
        #expect(try own.bucket.parts(of: upload) == [neighbour])
        for number in [0, -1, 10_001] {
            let error = #expect(throws: StoreError.self) { try own.bucket.beginPart(number, of: upload, length: 1) }
            #expect(error?.code == .invalidRequest)
        }
        #expect(throws: StoreError.self) { try own.bucket.beginPart(1, of: upload, length: 5 << 30 | 1) }
    }

    @Test func smallPartsAreRefusedBeforeAnythingChanges() throws {
        let own = try OwnStore()
        let upload = try own.bucket.initiate(ObjectKey("x"), .init(), partLength: 100, replacing: true)
        let parts = try (1...3).map { try own.bucket.upload(ObjectBody(full(100, UInt64($0))), asPart: $0, of: upload) }
        let error = #expect(throws: StoreError.self) {
            try own.bucket.complete(upload, parts: parts, replacing: true, leastPartLength: 101)
        }
        #expect(error?.code == .invalidPart && error?.message.contains("at least 101") == true)
        #expect(try own.bucket.parts(of: upload) == parts)
        _ = try own.bucket.complete(upload, parts: parts, replacing: true, leastPartLength: 100)
        #expect(try own.bytes(of: "x").count == 300)
    }

    @Test func partsInWrongOrderOrNoneAreRefused() throws {
        let own = try OwnStore()
        let upload = try own.bucket.initiate(ObjectKey("x"), .init(), partLength: 100, replacing: true)
        let parts = try (1...2).map { try own.bucket.upload(ObjectBody(full(100, UInt64($0))), asPart: $0, of: upload) }
        for wrong in [[], [parts[1], parts[0]], [parts[0], parts[0]]] {
            let error = #expect(throws: StoreError.self) {
                try own.bucket.complete(upload, parts: wrong, replacing: true)
            }
            #expect(error?.code == .invalidPart)
        }
        #expect(try own.bucket.uploadAttributes(upload) == ObjectAttributes())
    }

    // MARK: Races

    @Test func whoeverStillWritesDoesNotWriteIntoTheObject() throws {
        let own = try OwnStore()
        let upload = try own.bucket.initiate(ObjectKey("x"), .init(), partLength: 10_000, replacing: true)
        let first = try own.bucket.upload(ObjectBody(full(10_000, 1)), asPart: 1, of: upload)
        // Somebody began the second part, was taken for dead, and writes on.
        let slow = try own.bucket.beginPart(2, of: upload, length: 10_000)
        try slow.write(full(5000, 8).span)
        let second = try own.bucket.upload(ObjectBody(full(10_000, 2)), asPart: 2, of: upload)
        _ = try own.bucket.complete(upload, parts: [first, second], replacing: true)
        try slow.write(full(5000, 9).span)
        let error = #expect(throws: StoreError.self) { try slow.commit(tag: nil) }
        #expect(error?.code == .noSuchUpload)
        #expect(try own.bytes(of: "x") == full(10_000, 1) + full(10_000, 2))
        #expect(try own.bucket.head(ObjectKey("x")).crc64 == ObjectBody(own.bytes(of: "x")).crc64)
    }

    @Test func ofManyWhoCompleteOneSucceeds() throws {
        let own = try OwnStore()
        for round in 0..<15 {
            let key = try ObjectKey("folder/\(round)")
            let upload = try own.bucket.initiate(key, .init(), partLength: 10, replacing: true)
            let part = try own.bucket.upload(ObjectBody([1, 2, 3]), asPart: 1, of: upload)
            let failures = inThreads(5) { thread in
                let bucket = try own.reopened()
                if thread == 4, round % 3 == 0 {
                    try bucket.abort(upload)
                } else {
                    _ = try bucket.complete(upload, parts: [part], replacing: true)
                }
            }
            #expect(failures.count == 4, "\(failures)")
            #expect(failures.allSatisfy { ($0 as? StoreError)?.code == .noSuchUpload }, "\(failures)")
        }
    }

    @Test func onePartFromManyThreadsIsOneOfTheirs() throws {
        let own = try OwnStore()
        let key = try ObjectKey("x")
        for round in 0..<10 {
            let upload = try own.bucket.initiate(key, .init(), partLength: 20_000, replacing: true)
            let failures = inThreads(5) { thread in
                let bucket = try own.reopened()
                for number in [1, 2, 1] {
                    let bytes = [UInt8](repeating: UInt8(1 + thread), count: number == 1 ? 20_000 : 15_000)
                    _ = try bucket.upload(ObjectBody(bytes), asPart: number, of: upload)
                }
            }
            #expect(failures.isEmpty, "\(failures)")
            let summary = try own.bucket.complete(upload, parts: own.bucket.parts(of: upload), replacing: true)
            let bytes = try own.bytes(of: "x")
            #expect(bytes.count == 35_000 && summary.crc64 == ObjectBody(bytes).crc64, "round \(round)")
            #expect(Set(bytes[..<20_000]).count == 1 && Set(bytes[20_000...]).count == 1, "round \(round)")
        }
        try own.bucket.delete(key)
        #expect(try filesBelow(own.path) == [".lathe/bucket.json"])
    }
}
