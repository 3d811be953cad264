import ImageCodecs
import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import ObjectStorage
import ObjectStoreConformance
import Synchronization
import Testing

@testable import ImageExport

/// What is in the store is what `convert` writes into a file, for every format and every way to cut it into parts.
@Suite struct ExportTests {
    static let content = SampleDisk.mixed(length: 2 << 20 | 1536, seed: 11)

    /// Two are being filled: where these are long, they are among those that may be on their way.
    @Test(arguments: [(4, 8, 4), (4, 20, 4), (4, 21, 2), (3, 1024, 1), (2, 1024, 1), (1, 1024, 1)])
    func longPartsThatAreFilledAreCounted(parallel: Int, mebibytes: UInt64, expected: Int) {
        #expect(TransferOptions(parallel: parallel).completeParts(ofLength: mebibytes << 20) == expected)
    }

    @Test(arguments: OutputVariant.all, [100 << 10, 700_001] as [UInt64])
    func theObjectHasTheBytesOfAnOfflineConversion(variant: OutputVariant, partLength: UInt64) throws {
        for (threads, parallel) in [(1, 1), (2, 4), (5, 2)] {
            let export = ExportCase(
                variant: variant, content: Self.content, threads: threads, partLength: partLength, parallel: parallel)
            let store = MemoryStore()
            let result = try export.export(to: store).run()
            let expected = try export.expected()
            expectSame(store.bytes(of: "disk.img"), expected.bytes)
            #expect(result.summary.crc64 == expected.result.objectCRC64)
            #expect(store.uploadCount == 0)
            #expect(store.storedParts.values.allSatisfy { $0 == 1 }, "a part was sent twice")
        }
    }

    @Test(arguments: OutputVariant.all) func theManifestIsTheOneOfAnOfflineConversion(variant: OutputVariant) throws {
        let export = ExportCase(variant: variant, content: Self.content, partLength: 1 << 20)
        let store = MemoryStore()
        _ = try export.export(to: store).run()
        let expected = try Manifest(export.conversion(), export.expected().result).encoded()
        expectSame(store.bytes(of: "disk.img.manifest.json"), expected)
    }

    @Test(arguments: OutputVariant.all) func anObjectOfOnePartIsPutWhole(variant: OutputVariant) throws {
        let export = ExportCase(variant: variant, content: Self.content, partLength: 1 << 30)
        let store = MemoryStore()
        let result = try export.export(to: store).run()
        #expect(!store.calls.contains(.initiate("disk.img")))
        #expect(store.calls.contains(.put("disk.img")))
        #expect(result.summary.attributes.userMetadata["lathe-fingerprint"] == "\(CRC64.checksum(Self.content.span))")
    }

    @Test func anEmptyDiskIsAnEmptyObject() throws {
        let export = ExportCase(variant: .named("raw"), content: [])
        let store = MemoryStore()
        let result = try export.export(to: store).run()
        #expect(result.summary.length == 0)
        expectSame(store.bytes(of: "disk.img"), [])
    }

    @Test func theFingerprintIsMetadataOfAnObjectOfParts() throws {
        let export = ExportCase(variant: .named("qcow2"), content: Self.content, partLength: 1 << 20)
        let store = MemoryStore()
        let result = try export.export(to: store).run()
        let metadata = try store.head(ObjectKey("disk.img")).attributes.userMetadata
        #expect(result.hasAttributes)
        #expect(metadata["lathe-fingerprint"] == "\(CRC64.checksum(Self.content.span))")
        #expect(metadata["lathe-format"] == "qcow2")
        #expect(metadata["lathe-virtual-size"] == "\(Self.content.count)")
    }

    @Test(arguments: ["qcow2", "vhd", "vdi", "vmdk"]) func thePartWithTheHeadIsSentBehindAllOthersThatAreFull(
        name: String
    ) throws {
        let export = ExportCase(
            variant: .named(name), content: SampleDisk.numbered(length: 24 << 20, seed: 5), threads: 2,
            partLength: 1 << 20, parallel: 1)
        let store = MemoryStore()
        _ = try export.export(to: store).run()
        let order = store.calls.compactMap { if case .part(let number) = $0 { number } else { nil } }
        let place = try #require(order.firstIndex(of: 1))
        #expect(place >= order.count - 4, "\(order)")
    }

    @Test(arguments: ["raw", "vhd-fixed"]) func whereNothingHasToWaitPartsAreSentInOrder(name: String) throws {
        let export = ExportCase(
            variant: .named(name), content: SampleDisk.numbered(length: 24 << 20, seed: 6), threads: 1,
            partLength: 1 << 20, parallel: 1)
        let store = MemoryStore()
        _ = try export.export(to: store).run()
        let order = store.calls.compactMap { if case .part(let number) = $0 { number } else { nil } }
        #expect(order == order.sorted())
    }

    @Test func anObjectThatIsThereIsLeftAlone() throws {
        let export = ExportCase(variant: .named("qcow2"), content: Self.content)
        let store = MemoryStore()
        _ = try store.put(ObjectBody([1, 2, 3]), to: ObjectKey("disk.img"), .init(), replacing: false)
        let error = #expect(throws: ImageError.self) { try export.export(to: store).run() }
        #expect(error?.code == .destinationExists)
        expectSame(store.bytes(of: "disk.img"), [1, 2, 3])
        _ = try export.export(to: store, replacing: true).run()
        expectSame(store.bytes(of: "disk.img"), try export.expected().bytes)
    }

    @Test func aManifestThatIsThereIsLeftAlone() throws {
        let export = ExportCase(variant: .named("qcow2"), content: Self.content)
        let store = MemoryStore()
        _ = try store.put(ObjectBody([1]), to: ObjectKey("disk.img.manifest.json"), .init(), replacing: false)
        let error = #expect(throws: ImageError.self) { try export.export(to: store).run() }
        #expect(error?.code == .destinationExists)
        #expect(store.bytes(of: "disk.img") == nil)
    }

    /// Where an object goes and its manifest does not, nothing of it is sent.
    @Test(arguments: [false, true]) func aKeyWhoseManifestHasNoPlaceIsRefusedBeforeAnythingIsSent(replacing: Bool)
        throws
    {
        let export = ExportCase(variant: .named("qcow2"), content: Self.content)
        let store = MemoryStore(before: { (call, _) throws(StoreError) in
            if case .head(let key) = call, key.hasSuffix(".manifest.json") {
                throw StoreError(.unsupported, "the name is too long")
            }
        })
        let error = #expect(throws: ImageError.self) { try export.export(to: store, replacing: replacing).run() }
        #expect(error?.message.contains("too long") == true)
        #expect(store.keys.isEmpty)
        #expect(store.uploadCount == 0)
    }

    /// The new object is there by then: what the old one's manifest says is not so any more.
    @Test func aManifestThatCantBePutLeavesNoneOfTheOldObject() throws {
        let isFull = Mutex(false)
        let store = MemoryStore(before: { (call, _) throws(StoreError) in
            if call == .put("disk.img.manifest.json"), isFull.withLock({ $0 }) {
                throw StoreError(.noSpace, "the disk is full")
            }
        })
        _ = try ExportCase(variant: .named("raw"), content: [1, 2, 3]).export(to: store).run()
        isFull.withLock { $0 = true }
        let export = ExportCase(variant: .named("raw"), content: Self.content)
        #expect(throws: ImageError.self) { try export.export(to: store, replacing: true).run() }
        #expect(store.keys == ["disk.img"])
        expectSame(store.bytes(of: "disk.img"), try export.expected().bytes)
    }

    @Test func aStoreThatGivesUpLeavesNothing() throws {
        let export = ExportCase(variant: .named("vmdk"), content: Self.content, partLength: 100 << 10)
        let store = MemoryStore(before: { (call, _) throws(StoreError) in
            if case .part(4) = call { throw StoreError(.accessDenied, "the token has expired") }
        })
        let error = #expect(throws: ImageError.self) { try export.export(to: store).run() }
        #expect(error?.code == .store)
        #expect(error?.message.contains("expired") == true)
        #expect(store.keys.isEmpty)
        #expect(store.uploadCount == 0)
    }

    @Test func aCancelledExportLeavesNothing() throws {
        let flag = CancellationFlag()
        var export = try ExportCase(
            variant: .named("raw"), content: SampleDisk.numbered(length: 24 << 20, seed: 6), partLength: 1 << 20
        ).export(
            to: MemoryStore())
        let store = MemoryStore(before: { (call, _) throws(StoreError) in if case .part(3) = call { flag.cancel() } })
        export.store = store
        export.conversion.work.cancellation = flag
        let error = #expect(throws: ImageError.self) { try export.run() }
        #expect(error?.code == .cancelled)
        #expect(store.keys.isEmpty)
        #expect(store.uploadCount == 0)
    }

    /// Whatever the layout is, the object ends where it may end, and what was sent of it is taken back.
    @Test(arguments: OutputVariant.all) func anObjectBecomesNoLongerThanItMay(variant: OutputVariant) throws {
        let part = ExportCase(variant: variant, content: Self.content, partLength: 256 << 10)
        let whole = try part.expected().bytes
        for (limit, isEnough) in [(whole.count, true), (whole.count - 1, false), (whole.count / 2, false), (0, false)] {
            let store = MemoryStore()
            var export = try part.export(to: store)
            export.transfer.greatestLength = UInt64(limit)
            if isEnough {
                _ = try export.run()
                expectSame(store.bytes(of: "disk.img"), whole)
            } else {
                let error = #expect(throws: ImageError.self) { try export.run() }
                #expect(error?.code == .outputTooLong, "\(error as Any)")
                #expect(store.keys.isEmpty && store.uploadCount == 0)
            }
        }
    }

    @Test func moreThanTheStoreTakesIsRefusedBeforeAnythingIsSent() throws {
        let export = ExportCase(variant: .named("raw"), content: Self.content, partLength: 1 << 20)
        let store = MemoryStore(limits: .init(leastPartLength: 1, greatestPartLength: 1 << 30, partCount: 2))
        let error = #expect(throws: ImageError.self) { try export.export(to: store).run() }
        #expect(error?.message.contains("it takes parts of at least") == true)
        #expect(store.calls.allSatisfy { if case .head = $0 { true } else { false } })
    }
}
