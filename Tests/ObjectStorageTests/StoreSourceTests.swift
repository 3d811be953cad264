import Foundation
import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import ObjectStorage
import ObjectStoreConformance
import Synchronization
import Testing

@Suite struct StoreSourceTests {
    private static let block: UInt64 = 256 << 10
    private static let MiB: UInt64 = 1 << 20

    /// Bytes that tell where they stand.
    private func numbered(_ length: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(length))
        let page = SampleDisk.full(length: 4096 - 8, seed: 1)
        var number: UInt64 = 0
        while bytes.count < length {
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: number >> shift))
            }
            bytes += page
            number += 1
        }
        return Array(bytes.prefix(Int(length)))
    }

    private func source(_ own: OwnStore, _ bytes: [UInt8]) throws -> (StoreSource, ListeningStore) {
        try own.put(bytes, "disk")
        let store = ListeningStore(own.bucket)
        return (try StoreSource(store, ObjectKey("disk")), store)
    }

    @Test func anyRangeIsReadAsItIs() throws {
        let own = try OwnStore()
        let bytes = numbered(3 * Self.MiB + 4711)
        let (source, _) = try source(own, bytes)
        #expect(source.length == UInt64(bytes.count) && source.name == "listening://bucket/disk")
        let seed: UInt64 = 5
        var generator = SeededGenerator(seed: seed)
        var ranges = (0..<150).map { _ in
            let start = UInt64.random(in: 0..<source.length, using: &generator)
            let longest = min(
                source.length - start, [10, 70_000, 600_000, 3 << 20].randomElement(using: &generator) ?? 1)
            return FileRange(start, length: UInt64.random(in: 0...longest, using: &generator))
        }
        ranges += [FileRange(0, length: source.length), FileRange(source.length, length: 0), FileRange(0, length: 0)]
        for range in ranges {
            let expected = Array(bytes[Int(range.start.bytes)..<Int(range.end.bytes)])
            let isLent = try source.withBytes(of: range) { span in
                unsafe span.withUnsafeBufferPointer { unsafe Array($0) } == expected
            }
            let isRead = try source.read(range) == expected
            #expect(isLent && isRead, "\(range), seed \(seed)")
        }
        for range in [
            FileRange(source.length, length: 1), FileRange(0, length: source.length + 1), FileRange(.max, length: 2),
        ] {
            let error = #expect(throws: ImageError.self) { _ = try source.read(range) }
            #expect(error?.code == .truncated)
        }
        try source.requireUnchanged()
    }

    @Test func readingBitByBitTakesFewGets() throws {
        let own = try OwnStore()
        let (source, store) = try source(own, numbered(8 * Self.MiB))
        // A header, a table at the end, and a table behind the header, in small pieces.
        for _ in 0..<50 { _ = try source.read(FileRange(0, length: 512)) }
        for offset in 0..<100 { _ = try source.read(FileRange(7 * Self.MiB + UInt64(offset) * 8, length: 8)) }
        #expect(store.gets == [0..<Self.block, 7 * Self.MiB..<7 * Self.MiB + Self.block])
        #expect(store.heads == 1)
        // What goes on in order comes in longer runs: 255 blocks' worth of pieces would be 4 gets of a block each otherwise.
        for offset in stride(from: UInt64(0), to: 2 * Self.MiB, by: 4096) {
            _ = try source.read(FileRange(offset, length: 4096))
        }
        #expect(
            Array(store.gets.dropFirst(2)) == [
                Self.block..<5 * Self.block, 5 * Self.block..<9 * Self.block,
            ])
    }

    @Test func longRunsPassTheCacheBy() throws {
        let own = try OwnStore()
        let bytes = numbered(20 * Self.MiB)
        let (source, store) = try source(own, bytes)
        _ = try source.read(FileRange(0, length: 512))
        let all = try source.read(FileRange(100, length: 19 * Self.MiB))
        #expect(all == Array(bytes[100..<100 + 19 << 20]))
        #expect(
            store.gets.dropFirst().map { $0.upperBound - $0.lowerBound } == [8 * Self.MiB, 8 * Self.MiB, 3 * Self.MiB])
        // What was cached stays.
        _ = try source.read(FileRange(0, length: 512))
        #expect(store.gets.count == 4)
    }

    @Test func theCacheForgetsWhatWasNotUsedForLong() throws {
        let own = try OwnStore()
        let (source, store) = try source(own, numbered(40 * Self.MiB))
        _ = try source.read(FileRange(0, length: 8))
        for number in 1...15 {
            _ = try source.read(FileRange(UInt64(number) * 2 * Self.MiB, length: 8))
            _ = try source.read(FileRange(0, length: 8))
        }
        #expect(store.gets.count == 16)
        // The seventeenth block takes the place of the first that was not used again.
        _ = try source.read(FileRange(39 * Self.MiB, length: 8))
        _ = try source.read(FileRange(0, length: 8))
        #expect(store.gets.count == 17)
        _ = try source.read(FileRange(2 * Self.MiB, length: 8))
        #expect(store.gets.count == 18)
    }

    @Test func whatManyThreadsWantIsFetchedOnce() throws {
        let own = try OwnStore()
        let bytes = numbered(2 * Self.MiB)
        try own.put(bytes, "disk")
        let store = ListeningStore(own.bucket) { _ in usleep(20_000) }
        let source = try StoreSource(store, ObjectKey("disk"))
        let failures = inThreads(8) { thread in
            let range = FileRange(UInt64(thread) * 1000, length: 1000)
            let got = try source.read(range)
            try insist(got == Array(bytes[thread * 1000..<thread * 1000 + 1000]), "bytes for thread \(thread)")
        }
        #expect(failures.isEmpty && store.gets.count == 1)
    }

    @Test func imagesAreReadOutOfAStore() throws {
        let own = try OwnStore()
        let content = SampleDisk.mixed(length: 6 << 20, seed: 9)
        for variant in OutputVariant.all {
            let image = MemorySink()
            let disk = try DiskImage(SparseMemory(content), format: .raw)
            _ = try Conversion(disk, to: variant.format, options: FormatOptions(variant.options)).run(into: image)
            let (source, store) = try source(own, image.bytes)
            let opened = try DiskImage(source, format: variant.format)
            #expect(store.gets.count <= 4, "\(variant): \(store.gets)")
            let back = MemorySink()
            _ = try Conversion(opened, to: .raw, options: FormatOptions([:]), work: WorkOptions(threads: 3)).run(
                into: back)
            let isSame = Array(back.bytes.prefix(content.count)) == content
            #expect(isSame, "\(variant)")
            #expect(store.gets.count < 40, "\(variant): \(store.gets.count) gets")
        }
    }

    // MARK: What goes wrong

    @Test func anObjectThatIsReplacedIsNotMixedWithTheOther() throws {
        let own = try OwnStore()
        let (source, _) = try source(own, numbered(4 * Self.MiB))
        let header = try source.read(FileRange(0, length: 512))
        try own.put([UInt8](repeating: 1, count: 4 << 20), "disk")
        // What is cached is still of the old one; the rest can't be had any more.
        #expect(try source.read(FileRange(0, length: 512)) == header)
        for length in [512, 2 * Self.MiB] {
            let error = #expect(throws: ImageError.self) { _ = try source.read(FileRange(Self.MiB, length: length)) }
            #expect(error?.code == .sourceChanged && error?.path == source.name && error?.offset?.bytes == Self.MiB)
        }
        let error = #expect(throws: ImageError.self) { try source.requireUnchanged() }
        #expect(error?.code == .sourceChanged && error?.message.contains("tag") == true)
    }

    @Test func anObjectThatIsDeletedOrCutShortHasChanged() throws {
        let own = try OwnStore()
        let (source, _) = try source(own, numbered(2 * Self.MiB))
        try own.put(numbered(Self.MiB), "disk")
        #expect(throws: ImageError.self) { try source.requireUnchanged() }
        try own.bucket.delete(ObjectKey("disk"))
        for attempt in 0..<2 {
            let error = #expect(throws: ImageError.self) {
                if attempt == 0 { _ = try source.read(FileRange(0, length: 1)) } else { try source.requireUnchanged() }
            }
            #expect(error?.code == .sourceChanged && error?.message.contains("deleted") == true)
        }
        let missing = #expect(throws: ImageError.self) { try StoreSource(own.bucket, ObjectKey("disk")) }
        #expect(missing?.code == .store && missing?.description.contains("no such object") == true)
    }

    @Test func afterAnErrorTheNextReadTriesAgain() throws {
        let own = try OwnStore()
        let bytes = numbered(Self.MiB)
        try own.put(bytes, "disk")
        let failing = Mutex(true)
        let store = ListeningStore(own.bucket) { (_) throws(StoreError) in
            guard failing.withLock({ $0 }) else { return }
            usleep(20_000)
            throw StoreError(.connection, "the line broke", persistence: .transient, operation: "GET it")
        }
        let source = try StoreSource(store, ObjectKey("disk"))
        let failures = inThreads(4) { _ in _ = try source.read(FileRange(10, length: 10)) }
        #expect(failures.count == 4)
        for failure in failures {
            let error = failure as? ImageError
            #expect(error?.code == .store && error?.message.contains("the line broke") == true)
            #expect(error?.path == source.name && error?.offset?.bytes == 0)
        }
        failing.withLock { $0 = false }
        #expect(try source.read(FileRange(10, length: 10)) == Array(bytes[10..<20]))
    }

    @Test func anEmptyObjectHasNothingToRead() throws {
        let own = try OwnStore()
        let (source, store) = try source(own, [])
        #expect(source.length == 0)
        #expect(try source.read(FileRange(0, length: 0)).isEmpty)
        let count = try source.withBytes(of: FileRange(0, length: 0)) { $0.count }
        #expect(count == 0)
        #expect(store.gets.isEmpty)
    }
}
