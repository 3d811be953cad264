import Foundation
import ImageCodecs
import ImageExport
import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import ObjectStorage
import ObjectStoreConformance
import Synchronization
import Testing

/// An export that was cut short goes on where it was, and never sends what the store has.
@Suite struct ResumeTests {
    static let content = SampleDisk.mixed(length: 1 << 20 | 512, seed: 21)

    /// Which call of a store fails, and whether it was made before; shared with the store's closures.
    private final class Fault: Sendable {
        struct Plan { var number: Int; var isAfter: Bool }
        let plan = Mutex<Plan?>(nil)
        let seen = Mutex(0)

        func check(_ isAfter: Bool) throws(StoreError) {
            let fails = plan.withLock { plan in
                guard let fault = plan, fault.isAfter == isAfter else { return false }
                return seen.withLock { seen in
                    defer { seen += 1 }
                    return seen == fault.number
                }
            }
            if fails {
                // Everything fails from here on, as after a kill.
                plan.withLock { $0 = Plan(number: -1, isAfter: isAfter) }
            }
            let isDead = plan.withLock { $0?.number == -1 }
            if isDead { throw StoreError(.connection, "the network is down") }
        }
    }

    @Test(arguments: ["raw", "qcow2", "vmdk-streamOptimized", "vhd"], [true, false])
    func whereverItEndsItGoesOnAndSendsNothingTwice(name: String, keepsCRC64: Bool) throws {
        let export = ExportCase(variant: .named(name), content: Self.content, threads: 2, partLength: 100 << 10)
        let expected = try export.expected()
        for isAfter in [false, true] {
            for number in 0..<16 {
                let directory = try TemporaryDirectory()
                let checkpoint = directory.file("checkpoint.json")
                let fault = Fault()
                let store = MemoryStore(
                    keepsCRC64: keepsCRC64,
                    before: { (_, _) throws(StoreError) in try fault.check(false) },
                    after: { (_, _) throws(StoreError) in try fault.check(true) })
                fault.plan.withLock { $0 = .init(number: number, isAfter: isAfter) }
                let first = Result { try export.export(to: store, checkpoint: checkpoint).run() }
                expectAbsentOrWhole(store, expected.bytes)
                fault.plan.withLock { $0 = nil }
                if case .failure = first {
                    _ = try export.export(to: store, checkpoint: checkpoint).run()
                }
                expectSame(store.bytes(of: "disk.img"), expected.bytes)
                let parts = store.storedParts
                #expect(
                    parts.values.allSatisfy { $0 == 1 },
                    "call \(number), \(isAfter ? "answer" : "request") lost: \(parts)")
                #expect(try directory.contents.isEmpty, "the checkpoint is still there")
                #expect(store.keys == ["disk.img", "disk.img.manifest.json"])
                #expect(store.uploadCount == 0, "call \(number)")
            }
        }
    }

    private func expectAbsentOrWhole(_ store: MemoryStore, _ bytes: [UInt8]) {
        guard let found = store.bytes(of: "disk.img") else { return }
        expectSame(found, bytes)
    }

    /// Begins an export, lets the fourth part fail, and leaves the checkpoint.
    private func interrupted(_ export: ExportCase, checkpoint: String) throws -> MemoryStore {
        let isDown = Mutex(true)
        let store = MemoryStore(before: { (call, _) throws(StoreError) in
            if case .part(4) = call, isDown.withLock({ $0 }) {
                isDown.withLock { $0 = false }
                throw StoreError(.connection, "the network is down")
            }
        })
        #expect(throws: ImageError.self) { try export.export(to: store, checkpoint: checkpoint).run() }
        #expect(store.uploadCount == 1)
        return store
    }

    @Test func aSourceOfAnotherTimeIsRefused() throws {
        let directory = try TemporaryDirectory()
        var export = ExportCase(variant: .named("raw"), content: Self.content, partLength: 100 << 10)
        export.source = RevisedSource(SparseMemory(Self.content), "monday")
        let store = try interrupted(export, checkpoint: directory.file("c"))
        export.source = RevisedSource(SparseMemory(Self.content), "tuesday")
        let error = #expect(throws: ImageError.self) {
            try export.export(to: store, checkpoint: directory.file("c")).run()
        }
        #expect(error?.code == .sourceChanged)
        #expect(error?.message.contains("monday") == true)
    }

    @Test func aSourceThatChangedUnseenIsCaughtByTheParts() throws {
        let directory = try TemporaryDirectory()
        var export = ExportCase(
            variant: .named("raw"), content: Self.content, threads: 1, partLength: 100 << 10, parallel: 1)
        let store = try interrupted(export, checkpoint: directory.file("c"))
        export.content[1000] ^= 1
        let error = #expect(throws: ImageError.self) {
            try export.export(to: store, checkpoint: directory.file("c")).run()
        }
        #expect(error?.code == .sourceChanged)
        #expect(error?.message.contains("part 1") == true)
        #expect(store.bytes(of: "disk.img") == nil)
    }

    @Test func otherOptionsAreRefused() throws {
        let directory = try TemporaryDirectory()
        var export = ExportCase(variant: .named("vhd"), content: Self.content, partLength: 100 << 10)
        let store = try interrupted(export, checkpoint: directory.file("c"))
        export.variant = .named("vhd-fixed")
        let error = #expect(throws: ImageError.self) {
            try export.export(to: store, checkpoint: directory.file("c")).run()
        }
        #expect(error?.code == .invalidOption)
    }

    @Test func anotherLengthOfPartsIsRefused() throws {
        let directory = try TemporaryDirectory()
        var export = ExportCase(variant: .named("raw"), content: Self.content, partLength: 100 << 10)
        let store = try interrupted(export, checkpoint: directory.file("c"))
        export.partLength = 200 << 10
        let error = #expect(throws: ImageError.self) {
            try export.export(to: store, checkpoint: directory.file("c")).run()
        }
        #expect(error?.code == .invalidOption && error?.message.contains("102400") == true)
        export.partLength = nil
        #expect(try export.export(to: store, checkpoint: directory.file("c")).run().wasResumed)
    }

    @Test func anUploadThatTheStoreForgotBeginsAnew() throws {
        let directory = try TemporaryDirectory()
        let export = ExportCase(variant: .named("qcow2"), content: Self.content, partLength: 100 << 10)
        let store = try interrupted(export, checkpoint: directory.file("c"))
        store.forgetUploads()
        let result = try export.export(to: store, checkpoint: directory.file("c")).run()
        #expect(!result.wasResumed)
        expectSame(store.bytes(of: "disk.img"), try export.expected().bytes)
    }

    @Test func aFileThatIsNoCheckpointIsRefused() throws {
        let directory = try TemporaryDirectory()
        try Array("{}".utf8).write(to: directory.file("c"))
        let export = ExportCase(variant: .named("qcow2"), content: Self.content)
        let error = #expect(throws: ImageError.self) {
            try export.export(to: MemoryStore(), checkpoint: directory.file("c")).run()
        }
        #expect(error?.code == .corrupt)
    }

    @Test func whatIsThereAlreadyIsCountedAndNotSent() throws {
        let directory = try TemporaryDirectory()
        let export = ExportCase(
            variant: .named("raw"), content: Self.content, threads: 1, partLength: 100 << 10, parallel: 1)
        let store = try interrupted(export, checkpoint: directory.file("c"))
        let before = store.storedParts.count
        let progress = TransferProgress()
        let result = try export.export(to: store, checkpoint: directory.file("c"), progress: progress).run()
        #expect(result.wasResumed)
        #expect(before > 0)
        #expect(progress.partsPresent == before)
        #expect(progress.partsSent + progress.partsPresent == store.storedParts.count)
    }

    @Test func anOlderObjectOfTheSameBytesIsNotTakenForTheOneThatWasNotCompleted() throws {
        let directory = try TemporaryDirectory()
        let export = ExportCase(variant: .named("raw"), content: Self.content, partLength: 100 << 10)
        let isRefused = Mutex(false)
        let store = MemoryStore(before: { (call, _) throws(StoreError) in
            if call == .complete, isRefused.withLock({ $0 }) {
                throw StoreError(.accessDenied, "the token has expired")
            }
        })
        _ = try export.export(to: store).run()
        isRefused.withLock { $0 = true }
        #expect(throws: ImageError.self) {
            try export.export(to: store, replacing: true, checkpoint: directory.file("c")).run()
        }
        isRefused.withLock { $0 = false }
        _ = try export.export(to: store, replacing: true, checkpoint: directory.file("c")).run()
        #expect(store.uploadCount == 0, "the upload is left over")
        #expect(store.calls.count { $0 == .complete } == 3)
    }

    @Test func anOlderObjectOfTheSameFingerprintIsNotTakenForTheOneThatWasNotCompleted() throws {
        let directory = try TemporaryDirectory()
        let export = ExportCase(variant: .named("raw"), content: Self.content, partLength: 100 << 10)
        let isRefused = Mutex(false)
        let store = MemoryStore(
            keepsCRC64: false,
            before: { (call, _) throws(StoreError) in
                if call == .complete, isRefused.withLock({ $0 }) {
                    throw StoreError(.accessDenied, "the token has expired")
                }
            })
        _ = try export.export(to: store).run()
        isRefused.withLock { $0 = true }
        #expect(throws: ImageError.self) {
            try export.export(to: store, replacing: true, checkpoint: directory.file("c")).run()
        }
        isRefused.withLock { $0 = false }
        store.forgetUploads()
        let result = try export.export(to: store, replacing: true, checkpoint: directory.file("c")).run()
        #expect(!result.wasResumed)
        #expect(store.calls.count { $0 == .complete } == 3)
    }

    @Test func anObjectOfOnePartThatIsThereIsFinishedWithoutACRC64() throws {
        let directory = try TemporaryDirectory()
        let export = ExportCase(variant: .named("raw"), content: Self.content)
        let isDown = Mutex(true)
        let store = MemoryStore(
            keepsCRC64: false,
            after: { (call, _) throws(StoreError) in
                if call == .put("disk.img"), isDown.withLock({ $0 }) {
                    throw StoreError(.connection, "the answer is lost")
                }
            })
        #expect(throws: ImageError.self) { try export.export(to: store, checkpoint: directory.file("c")).run() }
        isDown.withLock { $0 = false }
        let result = try export.export(to: store, checkpoint: directory.file("c")).run()
        #expect(result.wasResumed)
        #expect(store.keys == ["disk.img", "disk.img.manifest.json"])
        #expect(try directory.contents.isEmpty, "the checkpoint is still there")
    }

    @Test func anUploadIsNotLeftWhereAnotherHandMadeTheSameObject() throws {
        let export = ExportCase(variant: .named("raw"), content: Self.content, partLength: 100 << 10)
        let hasRival = Mutex(true)
        let rival = Mutex<MemoryStore?>(nil)
        let store = MemoryStore(before: { (call, _) throws(StoreError) in
            guard call == .complete, hasRival.withLock({ take(&$0) }), let store = rival.withLock({ $0 }) else {
                return
            }
            do { _ = try export.export(to: store).run() } catch { throw StoreError(.server, "\(error)") }
        })
        rival.withLock { $0 = store }
        _ = try export.export(to: store).run()
        #expect(store.keys == ["disk.img", "disk.img.manifest.json"])
        #expect(store.uploadCount == 0, "the upload of the one that came second is left over")
        rival.withLock { $0 = nil }
    }

    @Test func aStopWhileTheSourceIsSurveyedIsAStop() throws {
        let flag = CancellationFlag()
        let store = MemoryStore(before: { (_, _) throws(StoreError) in flag.cancel() })
        var run = try ExportCase(variant: .named("raw"), content: Self.content).export(to: store)
        run.conversion.work.cancellation = flag
        let error = #expect(throws: ImageError.self) { try run.run() }
        #expect(error?.code == .cancelled, "\(error?.description ?? "")")
        #expect(store.keys.isEmpty && store.uploadCount == 0)
    }

    @Test func aStopBetweenTwoTriesOfACompletionAsksWhatBecameOfIt() throws {
        let export = ExportCase(variant: .named("raw"), content: Self.content, partLength: 100 << 10)
        let flag = CancellationFlag()
        let store = MemoryStore(after: { (call, _) throws(StoreError) in
            guard call == .complete else { return }
            flag.cancel()
            throw StoreError(.connection, "the answer is lost", persistence: .transient)
        })
        var run = try export.export(to: RetryingStore(store, isCancelled: { flag.isCancelled }))
        run.conversion.work.cancellation = flag
        _ = try run.run()
        #expect(store.keys == ["disk.img", "disk.img.manifest.json"])
        #expect(store.uploadCount == 0)
    }

    @Test func aStoppedExportIsTakenBackThroughTheRetries() throws {
        let export = ExportCase(variant: .named("raw"), content: Self.content, partLength: 100 << 10)
        let flag = CancellationFlag()
        let store = MemoryStore(after: { (call, _) throws(StoreError) in if call == .part(3) { flag.cancel() } })
        var run = try export.export(to: RetryingStore(store, isCancelled: { flag.isCancelled }))
        run.conversion.work.cancellation = flag
        let error = #expect(throws: ImageError.self) { try run.run() }
        #expect(error?.code == .cancelled)
        #expect(store.keys.isEmpty)
        #expect(store.uploadCount == 0)
    }

    /// As after a kill between the store's answer and the checkpoint.
    @Test func anUploadWhoseNameWasLostIsDroppedAndThoseOfOthersAreLeft() throws {
        let directory = try TemporaryDirectory()
        let isLost = Mutex(false)
        let store = MemoryStore(after: { (call, _) throws(StoreError) in
            if case .initiate = call, isLost.withLock({ $0 }) { throw StoreError(.connection, "the answer is lost") }
        })
        let (key, other) = (try ObjectKey("disk.img"), try ObjectKey("disk.img.old"))
        let theirs = try store.initiate(key, ObjectAttributes(), partLength: 100 << 10, replacing: true)
        _ = try store.upload(ObjectBody([1, 2, 3]), asPart: 1, of: theirs)
        let elsewhere = try store.initiate(other, ObjectAttributes(), partLength: 100 << 10, replacing: true)
        let export = ExportCase(variant: .named("raw"), content: Self.content, partLength: 100 << 10)
        for end in ["resumed", "discarded"] {
            isLost.withLock { $0 = true }
            #expect(throws: ImageError.self) { try export.export(to: store, checkpoint: directory.file("c")).run() }
            #expect(store.uploadCount == 3)
            isLost.withLock { $0 = false }
            if end == "resumed" {
                _ = try export.export(to: store, checkpoint: directory.file("c")).run()
                try store.delete(key)
                try store.delete(ExportName.manifest(of: key))
            } else {
                try ObjectExport.discard(
                    checkpointPath: directory.file("c"), store: store, key: key, isOurs: { _ in false })
            }
            #expect(try Set(store.uploads(prefix: "").map(\.id)) == [theirs.id, elsewhere.id], "\(end)")
            #expect(try directory.contents.isEmpty)
        }
    }

    @Test func anUploadWhoseCheckpointCannotBeWrittenIsDropped() throws {
        let directory = try TemporaryDirectory()
        let place = directory.file("place")
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
        let store = MemoryStore(after: { (call, _) throws(StoreError) in
            if case .initiate = call { try? FileManager.default.removeItem(atPath: place) }
        })
        let export = ExportCase(variant: .named("raw"), content: Self.content, partLength: 100 << 10)
        #expect(throws: ImageError.self) { try export.export(to: store, checkpoint: "\(place)/c").run() }
        #expect(store.calls.contains(.initiate("disk.img")))
        #expect(store.uploadCount == 0)
    }

    @Test func aCompletionThatIsNotThatOfItsManifestIsRefused() throws {
        let directory = try TemporaryDirectory()
        let export = ExportCase(variant: .named("raw"), content: Self.content, partLength: 100 << 10)
        let isRefused = Mutex(true)
        let store = MemoryStore(before: { (call, _) throws(StoreError) in
            if case .put = call, isRefused.withLock({ $0 }) { throw StoreError(.accessDenied, "the token has expired") }
        })
        #expect(throws: ImageError.self) { try export.export(to: store, checkpoint: directory.file("c")).run() }
        isRefused.withLock { $0 = false }
        let text = try String(contentsOfFile: directory.file("c"), encoding: .utf8)
        let changed = text.replacingOccurrences(
            of: "\"fingerprint\" : \(CRC64.checksum(Self.content.span))", with: "\"fingerprint\" : 1")
        #expect(changed != text)
        try changed.write(toFile: directory.file("c"), atomically: true, encoding: .utf8)
        let error = #expect(throws: ImageError.self) {
            try export.export(to: store, checkpoint: directory.file("c")).run()
        }
        #expect(error?.code == .corrupt)
        #expect(store.keys == ["disk.img"])
    }
}

/// A source that says which state of it this is.
private struct RevisedSource: ImageSource {
    let memory: SparseMemory
    let revision: String?
    init(_ memory: SparseMemory, _ revision: String) {
        self.memory = memory
        self.revision = revision
    }
    var name: String { memory.name }
    var length: UInt64 { memory.length }
    func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result) throws(ImageError)
        -> Result
    { try memory.withBytes(of: range, body) }
    func nextData(from start: FileOffset, limit: FileOffset) throws(ImageError) -> FileRange? {
        try memory.nextData(from: start, limit: limit)
    }
}

/// Whether it was set; it is not any more.
private func take(_ flag: inout Bool) -> Bool {
    defer { flag = false }
    return flag
}

extension [UInt8] {
    fileprivate func write(to path: String) throws { try Data(self).write(to: URL(filePath: path)) }
}
