import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import ObjectStorage
import ObjectStoreConformance
import Synchronization
import Testing

@testable import ImageExport

/// An export of several files that was cut short goes on where it was.
@Suite struct FileSetResumeTests {
    private static let content = SampleDisk.mixed(length: 500_000, seed: 51)
    private static let names = ["vm/disk-flat.vmdk", "vm/disk.vmdk", "vm/disk.vmdk.manifest.json"]

    /// What is between an export and its store: up, or down from a call on until it is mended.
    private final class Network: Sendable {
        private let left = Mutex<Int?>(nil)

        /// - Parameter calls: how many still arrive.
        func breakAfter(_ calls: Int) { left.withLock { $0 = calls } }
        func mend() { left.withLock { $0 = nil } }

        func pass() throws(StoreError) {
            let isDown = left.withLock { left in
                guard let count = left else { return false }
                left = max(0, count - 1)
                return count == 0
            }
            if isDown { throw StoreError(.connection, "the network is down") }
        }
    }

    private static func export(
        _ content: [UInt8] = content, subformat: String = "monolithicFlat", to store: any ObjectStore,
        replacing: Bool = false, checkpoint: String, parallel: Int = 2, progress: TransferProgress = .init()
    ) throws -> ObjectExport {
        let made = Conversion(
            try DiskImage(SparseMemory(content), format: .raw), to: .vmdk,
            options: FormatOptions(["subformat": subformat]), work: WorkOptions(threads: 2))
        return ObjectExport(
            made, to: store, as: try ObjectKey("vm/disk.vmdk"), replacing: replacing,
            transfer: TransferOptions(parallel: parallel, partLength: 100 << 10), checkpointPath: checkpoint,
            progress: progress)
    }

    @Test(arguments: [false, true], [false, true]) func whereverItEndsItGoesOnAndSendsNothingTwice(
        replacing: Bool, afterwards: Bool
    ) throws {
        let directory = try TemporaryDirectory()
        let checkpoint = directory.file("checkpoint")
        for keepsCRC64 in [true, false] {
            let whole = MemoryStore(keepsCRC64: keepsCRC64)
            _ = try Self.export(to: whole, checkpoint: checkpoint).run()
            #expect(whole.keys == Self.names)
            for failing in whole.calls.indices {
                let network = Network()
                let store = MemoryStore(
                    keepsCRC64: keepsCRC64,
                    before: { (_, _) throws(StoreError) in if !afterwards { try network.pass() } },
                    after: { (_, _) throws(StoreError) in if afterwards { try network.pass() } })
                let old = SampleDisk.mixed(length: 300_000, seed: 52)
                if replacing { _ = try Self.export(old, to: store, checkpoint: checkpoint).run() }
                let before = store.storedParts
                let what: Comment = "call \(failing), CRC-64 kept: \(keepsCRC64)"
                network.breakAfter(failing)
                let first = Result { try Self.export(to: store, replacing: replacing, checkpoint: checkpoint).run() }
                network.mend()
                if case .failure = first {
                    _ = try Self.export(to: store, replacing: replacing, checkpoint: checkpoint).run()
                }
                for name in Self.names { expectSame(store.bytes(of: name), whole.bytes(of: name) ?? []) }
                #expect(try store.keys == Self.names && directory.contents.isEmpty, what)
                #expect(store.uploadCount == 0, what)
                // Where a store keeps no CRC-64, an old object may look the same, and is not gone by.
                guard keepsCRC64 || !replacing else { continue }
                let sent = store.storedParts.merging(before) { $0 - $1 }.filter { $0.value != 0 }
                #expect(sent == whole.storedParts, what)
            }
        }
    }

    /// A store whose network was down from a call of that kind on; parts went up one by one, and the checkpoint is kept.
    private static func interrupted(at failing: MemoryStore.Call, checkpoint: String) throws -> MemoryStore {
        let network = Network()
        let store = MemoryStore(before: { (call, _) throws(StoreError) in if call == failing { try network.pass() } })
        network.breakAfter(0)
        #expect(throws: ImageError.self) { try export(to: store, checkpoint: checkpoint, parallel: 1).run() }
        network.mend()
        return store
    }

    @Test func anExtentThatIsThereIsNotSentAgain() throws {
        let directory = try TemporaryDirectory()
        let checkpoint = directory.file("checkpoint")
        let store = try Self.interrupted(at: .put("vm/disk.vmdk"), checkpoint: checkpoint)
        #expect(store.keys == ["vm/disk-flat.vmdk"])
        let progress = TransferProgress()
        let result = try Self.export(to: store, checkpoint: checkpoint, progress: progress).run()
        #expect(result.wasResumed && result.key.description == "vm/disk.vmdk")
        #expect(progress.partsSent <= 1 && store.keys == Self.names)
    }

    @Test func anExtentThatSomebodyElsePutThereMeanwhileIsNotTakenForOurs() throws {
        let directory = try TemporaryDirectory()
        let checkpoint = directory.file("checkpoint")
        let store = try Self.interrupted(at: .put("vm/disk.vmdk"), checkpoint: checkpoint)
        let extent = try ObjectKey("vm/disk-flat.vmdk")
        let other = [UInt8](repeating: 9, count: try #require(store.bytes(of: "vm/disk-flat.vmdk")).count)
        _ = try store.put(ObjectBody(other), to: extent, ObjectAttributes(), replacing: true)
        let error = #expect(throws: ImageError.self) { try Self.export(to: store, checkpoint: checkpoint).run() }
        #expect(error?.code == .destinationExists, "\(String(describing: error))")
        expectSame(store.bytes(of: "vm/disk-flat.vmdk"), other)
        _ = try Self.export(to: store, replacing: true, checkpoint: checkpoint).run()
        let whole = MemoryStore()
        _ = try Self.export(to: whole, checkpoint: directory.file("other")).run()
        expectSame(store.bytes(of: "vm/disk-flat.vmdk"), whole.bytes(of: "vm/disk-flat.vmdk") ?? [])
    }

    /// Extents are there, though no upload is under way: another layout must not forget them.
    @Test func betweenTwoFilesTheCheckpointIsNoOneElsesEither() throws {
        let directory = try TemporaryDirectory()
        let checkpoint = directory.file("checkpoint")
        let store = try Self.interrupted(at: .put("vm/disk.vmdk"), checkpoint: checkpoint)
        let error = #expect(throws: ImageError.self) {
            try Self.export(subformat: "monolithicSparse", to: store, checkpoint: checkpoint).run()
        }
        #expect(error?.code == .invalidOption, "\(String(describing: error))")
        #expect(store.keys == ["vm/disk-flat.vmdk"])
        #expect(try directory.contents.contains("checkpoint"))
    }

    @Test func theCheckpointOfAnotherExportIsRefused() throws {
        let directory = try TemporaryDirectory()
        let checkpoint = directory.file("checkpoint")
        let store = try Self.interrupted(at: .part(3), checkpoint: checkpoint)
        for (subformat, disk) in [
            ("monolithicSparse", Self.content), ("twoGbMaxExtentFlat", Self.content),
            ("monolithicFlat", Self.content + [1]),
        ] {
            let error = #expect(throws: ImageError.self) {
                try Self.export(disk, subformat: subformat, to: store, checkpoint: checkpoint).run()
            }
            #expect([.invalidOption, .sourceChanged].contains(error?.code), "\(String(describing: error))")
        }
        var changed = Self.content
        changed[100] ^= 1
        let error = #expect(throws: ImageError.self) {
            try Self.export(changed, to: store, checkpoint: checkpoint).run()
        }
        #expect(error?.message.contains("part 1") == true, "\(String(describing: error))")
        #expect(store.keys.isEmpty && store.uploadCount == 1)
        _ = try Self.export(to: store, checkpoint: checkpoint).run()
        #expect(store.keys == Self.names && store.uploadCount == 0)
    }
}
