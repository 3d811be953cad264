import Foundation
import Glibc
import ImageFiles
import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import ObjectStorage
import ObjectStoreConformance
import Testing

@testable import ImageExport

/// A pipe that goes up while it comes, its size being known last.
@Suite struct PipeExportTests {
    static let formats = ["raw", "vhd-fixed", "raw.gz", "raw.zst"].map { OutputVariant.named($0) }
    private static let block = 2 << 20

    private static func source(_ descriptor: Int32) -> PipeSource {
        PipeSource(descriptor, name: "standard input", greatestLength: ImageLimits.rawLength) {}
    }

    /// Around the lengths of a part and of what a pipe is read in, and with zeros at the end.
    @Test(arguments: formats, [0, 511, 1 << 20, 3 << 20 | 512])
    func theObjectIsThatOfTheSameDiskInAFile(variant: OutputVariant, length: Int) throws {
        for (zeros, partLength) in [(0, 1 << 20), (1 << 20, 1 << 20), (700_000, 100 << 10)] {
            let content = SampleDisk.mixed(length: length, seed: UInt64(length)) + [UInt8](repeating: 0, count: zeros)
            // An empty pipe is refused.
            guard !content.isEmpty else { continue }
            var export = ExportCase(variant: variant, content: content, partLength: UInt64(partLength))
            let fromFile = MemoryStore()
            let expected = try export.export(to: fromFile).run()
            let reading = try makePipe(carrying: content, seed: 71, pieces: 1...300_000)
            defer { close(reading) }
            export.source = Self.source(reading)
            let store = MemoryStore()
            let result = try export.export(to: store).run()
            #expect(result.manifest == expected.manifest && result.hasAttributes)
            for key in ["disk.img", "disk.img.manifest.json"] {
                expectSame(store.bytes(of: key), fromFile.bytes(of: key) ?? [])
            }
            #expect(result.summary.attributes == expected.summary.attributes)
            #expect(result.summary.attributes.userMetadata["lathe-virtual-size"] == "\(result.manifest.virtualSize)")
            #expect(store.storedParts == fromFile.storedParts && store.uploadCount == 0)
        }
    }

    @Test func partsAreLongWhereNobodyKnowsHowManyThereWillBe() throws {
        #expect(try PartPlan.partLength(forObjectOf: nil, chosen: nil, limits: .oss) == 64 << 20)
        #expect(try PartPlan.partLength(forObjectOf: nil, chosen: 5 << 20, limits: .s3) == 5 << 20)
        let small = MultipartLimits(leastPartLength: 1, greatestPartLength: 1 << 20, partCount: 10)
        #expect(try PartPlan.partLength(forObjectOf: nil, chosen: nil, limits: small) == 1 << 20)
        #expect(throws: StoreError.self) { try PartPlan.partLength(forObjectOf: nil, chosen: 2 << 20, limits: small) }
    }

    @Test func aPipeThatIsLongerThanAllPartsLeavesNothing() throws {
        let content = SampleDisk.full(length: 3 << 20, seed: 72)
        let reading = try makePipe(carrying: content, seed: 72, pieces: 1...300_000)
        signal(SIGPIPE, SIG_IGN)
        defer { close(reading) }
        var export = ExportCase(variant: .named("raw"), content: [], partLength: 100 << 10)
        export.source = Self.source(reading)
        let store = MemoryStore(limits: .init(leastPartLength: 1, greatestPartLength: 5 << 30, partCount: 20))
        let error = #expect(throws: ImageError.self) { try export.export(to: store).run() }
        #expect(error?.message.contains("more than 20 parts") == true, "\(String(describing: error))")
        #expect(store.keys.isEmpty && store.uploadCount == 0)
    }

    /// Whoever writes the pipe may be silent for hours.
    @Test func aStoreThatFailsEndsTheWaitForASilentPipe() throws {
        let ends = try makePipe()
        defer { close(ends.reading) }
        // The pipeline looks a block ahead, and the last that it has may be cut short.
        let content = SampleDisk.full(length: 4 * Self.block, seed: 73)
        let silence = Duration.seconds(20)
        Thread.detachNewThread {
            var done = 0
            while done < content.count {
                let piece = Array(content[done..<min(content.count, done + 65536)])
                let count = unsafe write(ends.writing, piece, piece.count)
                guard count > 0 else { break }
                done += count
            }
            sleep(UInt32(silence.components.seconds))
            close(ends.writing)
        }
        var export = ExportCase(variant: .named("raw"), content: [], partLength: 100 << 10)
        export.source = Self.source(ends.reading)
        let store = MemoryStore(before: { (call, _) throws(StoreError) in
            guard call == .part(2) else { return }
            // Until all that came is read, and everybody waits for more.
            sleep(3)
            throw StoreError(.accessDenied, "the token has expired")
        })
        let start = ContinuousClock.now
        let error = #expect(throws: ImageError.self) { try export.export(to: store).run() }
        #expect(ContinuousClock.now - start < silence)
        #expect(error?.message.contains("the token has expired") == true, "\(String(describing: error))")
        #expect(store.keys.isEmpty && store.uploadCount == 0)
    }
}
