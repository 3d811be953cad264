import Foundation
import ImageFiles
import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import ObjectStorage
import ObjectStoreConformance
import Synchronization
import Testing

@testable import ImageExport

/// Images of several files in a store: an object for each, and all of them or none.
@Suite struct FileSetExportTests {
    private static let manifestKey = "vm/disk.vmdk.manifest.json"
    private static let extents = ["vm/disk-s001.vmdk", "vm/disk-s002.vmdk", "vm/disk-s003.vmdk"]

    /// A little more than two extents of 2 GiB, with something in each and across the border.
    private static func disk() -> SparseMemory {
        var disk = SparseMemory(SampleDisk.mixed(length: 300_000, seed: 31))
        disk.write(SampleDisk.mixed(length: 200_000, seed: 32), at: 2 << 30 - 100_000)
        disk.truncate(to: 4 << 30 + 512)
        disk.write([1], at: 4 << 30 + 100)
        return disk
    }

    private static func conversion(_ subformat: String, of source: any ImageSource) throws -> Conversion {
        Conversion(
            try DiskImage(source, format: .raw), to: .vmdk, options: FormatOptions(["subformat": subformat]),
            work: WorkOptions(threads: 2))
    }

    private static func export(
        _ subformat: String = "twoGbMaxExtentSparse", of source: (any ImageSource)? = nil, to store: any ObjectStore,
        replacing: Bool = false, checkpoint: String? = nil, work: WorkOptions = WorkOptions(threads: 2)
    ) throws -> ObjectExport {
        var made = try conversion(subformat, of: source ?? disk())
        made.work = work
        return ObjectExport(
            made, to: store, as: try ObjectKey("vm/disk.vmdk"), replacing: replacing,
            transfer: TransferOptions(parallel: 2, partLength: 100 << 10), checkpointPath: checkpoint)
    }

    /// What `convert` makes of a disk, by the keys that the files have in a store, and the manifest's text.
    private static func expected(_ subformat: String, of source: any ImageSource) throws -> [String: [UInt8]] {
        let directory = try TemporaryDirectory()
        var made = try conversion(subformat, of: source)
        made.fileName = "disk.vmdk"
        let sink = try FileSetSink(
            path: directory.file("disk.vmdk"), files: made.makeEncoder().files, replacing: false)
        let result = try made.run(into: sink)
        try sink.commit()
        var files = [manifestKey: try Manifest(made, result).encoded()]
        for name in try directory.contents {
            files["vm/" + name] = [UInt8](try Data(contentsOf: URL(filePath: directory.file(name))))
        }
        return files
    }

    @Test(arguments: [
        ("twoGbMaxExtentSparse", disk()), ("twoGbMaxExtentSparse", SparseMemory([])),
        ("monolithicFlat", SparseMemory(SampleDisk.mixed(length: 1_000_123, seed: 33))),
        ("twoGbMaxExtentFlat", SparseMemory(SampleDisk.mixed(length: 700_000, seed: 34))),
    ]) func theObjectsAreTheFilesOfAConversionAndSoIsTheManifest(subformat: String, source: SparseMemory) throws {
        let store = MemoryStore()
        let result = try Self.export(subformat, of: source, to: store).run()
        let expected = try Self.expected(subformat, of: source)
        #expect(store.keys == expected.keys.sorted())
        for (key, bytes) in expected { expectSame(store.bytes(of: key), bytes) }
        #expect(result.manifestKey.description == Self.manifestKey)
        #expect(result.summary.length == expected["vm/disk.vmdk"].map { UInt64($0.count) })
        #expect(store.uploadCount == 0)
        for name in expected.keys where name != Self.manifestKey {
            let metadata = try store.head(ObjectKey(name)).attributes.userMetadata
            #expect(metadata["lathe-fingerprint"] == "\(result.manifest.content.crc64ecma)")
        }
    }

    @Test func theDescriptorComesBehindItsExtentsAndTheManifestBehindIt() throws {
        let store = MemoryStore()
        _ = try Self.export(to: store).run()
        let order = store.calls.compactMap { call -> String? in
            switch call {
            case .put(let key), .initiate(let key): key
            default: nil
            }
        }
        #expect(order == Self.extents + ["vm/disk.vmdk", Self.manifestKey])
    }

    @Test(arguments: extents + ["vm/disk.vmdk", manifestKey]) func whatIsThereKeepsAllAwayUnlessItMayBeReplaced(
        key: String
    ) throws {
        let store = MemoryStore()
        _ = try store.put(ObjectBody([1, 2, 3]), to: ObjectKey(key), ObjectAttributes(), replacing: false)
        let error = try #require(throws: ImageError.self) { try Self.export(to: store).run() }
        #expect(error.code == .destinationExists && error.path == "\(store.name)/\(key)")
        #expect(store.keys == [key])
        expectSame(store.bytes(of: key), [1, 2, 3])
        _ = try Self.export(to: store, replacing: true).run()
        let expected = try Self.expected("twoGbMaxExtentSparse", of: Self.disk())
        for (key, bytes) in expected { expectSame(store.bytes(of: key), bytes) }
    }

    @Test(arguments: ["twoGbMaxExtentSparse", "monolithicSparse"], ["vm/disk.vmdk", "vm/disk-s001.vmdk"])
    func whatAnExportIsMadeOfIsNotReplacedByIt(subformat: String, key: String) throws {
        let store = MemoryStore()
        let disk = SampleDisk.mixed(length: 300_000, seed: 36)
        _ = try store.put(ObjectBody(disk), to: ObjectKey(key), ObjectAttributes(), replacing: false)
        let export = try Self.export(subformat, of: StoreSource(store, ObjectKey(key)), to: store, replacing: true)
        guard subformat == "twoGbMaxExtentSparse" || key == "vm/disk.vmdk" else {
            // Beside an image of one file there is room for others.
            _ = try export.run()
            return expectSame(store.bytes(of: key), disk)
        }
        let error = try #require(throws: ImageError.self) { try export.run() }
        #expect(error.code == .destinationExists && error.path == "\(store.name)/\(key)")
        #expect(store.keys == [key])
        expectSame(store.bytes(of: key), disk)
    }

    /// Every call fails in turn, or its answer is lost; what is there then is all of the image, or nothing of it.
    @Test(arguments: [false, true], [false, true]) func aStoreThatFailsIsLeftWithAllOrNothing(
        replacing: Bool, afterwards: Bool
    ) throws {
        let calls = MemoryStore()
        _ = try Self.export(to: calls).run()
        for failing in calls.calls.indices {
            let countdown = Mutex<Int?>(nil)
            let fail = { @Sendable () throws(StoreError) in
                let isNow = countdown.withLock { left in
                    defer { left = left.map { $0 - 1 } }
                    return left == 0
                }
                if isNow { throw StoreError(.inputOutput, "the network is gone") }
            }
            let store = MemoryStore(
                before: { (_, _) throws(StoreError) in if !afterwards { try fail() } },
                after: { (_, _) throws(StoreError) in if afterwards { try fail() } })
            if replacing { _ = try Self.export(to: store).run() }
            countdown.withLock { $0 = failing }
            let outcome = Result { try Self.export(to: store, replacing: replacing).run() }
            // An upload of which even the name was lost is what '--abort-stale' is for.
            if !afterwards { #expect(store.uploadCount == 0, "call \(failing)") }
            let keys = store.keys
            if case .success = outcome {
                #expect(keys == Self.extents + ["vm/disk.vmdk", Self.manifestKey])
            } else if keys.contains("vm/disk.vmdk") {
                #expect(Self.extents.allSatisfy { keys.contains($0) }, "call \(failing): \(keys)")
            } else if replacing {
                // Extents of the image that was to be replaced may be left, but nothing says that they are one.
                #expect(!keys.contains(Self.manifestKey), "call \(failing): \(keys)")
            } else {
                #expect(keys.isEmpty, "call \(failing): \(keys)")
            }
        }
    }

    /// The network goes at some part, or when the new image is about to be completed: nothing of the old one was touched.
    @Test(arguments: ["vm/disk-s001.vmdk", "vm/disk-s002.vmdk", "vm/disk-s003.vmdk"], [false, true])
    func anExportThatFailsOnItsWayLeavesTheOldImageWhole(extent: String, keepsCheckpoint: Bool) throws {
        let isDown = Mutex(false)
        let store = MemoryStore(before: { (call, _) throws(StoreError) in
            if call == .initiate(extent), isDown.withLock({ $0 }) {
                throw StoreError(.connection, "the network is gone")
            }
        })
        let old = SparseMemory(SampleDisk.mixed(length: 250_000, seed: 37))
        var wide = old
        wide.truncate(to: 4 << 30 + 512)
        _ = try Self.export(of: wide, to: store).run()
        let (keys, before) = (store.keys, store.keys.map { store.bytes(of: $0) })
        isDown.withLock { $0 = true }
        let directory = try TemporaryDirectory()
        let checkpoint = keepsCheckpoint ? directory.file("checkpoint") : nil
        #expect(throws: ImageError.self) {
            try Self.export(to: store, replacing: true, checkpoint: checkpoint).run()
        }
        #expect(store.keys == keys && store.keys.map { store.bytes(of: $0) } == before)
        #expect(keepsCheckpoint || store.uploadCount == 0)
        isDown.withLock { $0 = false }
        _ = try Self.export(to: store, replacing: true, checkpoint: checkpoint).run()
        for (key, bytes) in try Self.expected("twoGbMaxExtentSparse", of: Self.disk()) {
            expectSame(store.bytes(of: key), bytes)
        }
        #expect(store.uploadCount == 0)
    }

    @Test func anotherIsNotTakenAwayThatCameInBetween() throws {
        let store = MemoryStore(before: { (call, _) throws(StoreError) in
            guard call == .initiate("vm/disk-s002.vmdk") else { return }
            throw StoreError(.objectExists, "somebody else's is there")
        })
        let error = try #require(throws: ImageError.self) { try Self.export(to: store).run() }
        #expect(error.code == .destinationExists, "\(error)")
        #expect(store.keys.isEmpty)
        #expect(!store.calls.contains(.delete("vm/disk-s002.vmdk")))
    }

    @Test func anOldImageStandsWhereTheStoreDoesNotTakeTheNewOne() throws {
        let store = MemoryStore(limits: .init(leastPartLength: 1, greatestPartLength: 5 << 30, partCount: 4))
        let small = SparseMemory(SampleDisk.mixed(length: 200_000, seed: 35))
        _ = try Self.export("monolithicFlat", of: small, to: store).run()
        let keys = store.keys
        let large = SparseMemory(SampleDisk.mixed(length: 1_000_000, seed: 36))
        let error = try #require(throws: ImageError.self) {
            try Self.export("monolithicFlat", of: large, to: store, replacing: true).run()
        }
        #expect(error.message.contains("more than 4 parts"), "\(error)")
        #expect(store.keys == keys && keys.count == 3)
        expectSame(store.bytes(of: "vm/disk-flat.vmdk").map { Array($0.prefix(200_000)) }, small[0..<200_000])
    }

    @Test func whoCancelsLeavesNothing() throws {
        let cancellation = CancellationFlag()
        let store = MemoryStore(after: { (call, _) throws(StoreError) in
            if call == .initiate("vm/disk-s002.vmdk") { cancellation.cancel() }
        })
        let work = WorkOptions(threads: 2, cancellation: cancellation)
        // As the command line has it: what is stopped is not called again, but what was sent is still taken back.
        let patient = RetryingStore(store, isCancelled: { cancellation.isCancelled })
        let error = try #require(throws: ImageError.self) { try Self.export(to: patient, work: work).run() }
        #expect(error.code == .cancelled, "\(error)")
        #expect(store.keys.isEmpty && store.uploadCount == 0)
    }
}
