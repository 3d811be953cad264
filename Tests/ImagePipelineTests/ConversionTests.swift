import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Synchronization
import Testing

@Suite struct ConversionTests {
    static func raw(_ content: [UInt8]) throws -> DiskImage { try DiskImage(SparseMemory(content), format: .raw) }

    @Test(arguments: OutputVariant.all) func everyWriteThatFailsEndsTheConversionWithItsError(variant: OutputVariant)
        throws
    {
        let image = try Self.raw(SampleDisk.alternating(length: 1 << 20, period: 40 << 10))
        func conversion() -> Conversion {
            Conversion(
                image, to: variant.format, options: FormatOptions(variant.options), work: WorkOptions(threads: 2))
        }
        let whole = MemorySink()
        _ = try conversion().run(into: whole)
        for failing in 0..<whole.operations.count {
            let sink = MemorySink { number in
                number >= failing ? ImageError(.inputOutput, "No space left on device") : nil
            }
            #expect(throws: ImageError.self) { try conversion().run(into: sink) }
            #expect(sink.finishedLength == nil)
        }
    }

    @Test func cancellationEndsTheWorkWithItsOwnCode() throws {
        let flag = CancellationFlag()
        flag.cancel()
        let conversion = Conversion(
            try Self.raw(SampleDisk.full(length: 1 << 20, seed: 12)), to: .qcow2, work: WorkOptions(cancellation: flag))
        let error = #expect(throws: ImageError.self) { try conversion.run(into: MemorySink()) }
        #expect(error?.code == .cancelled)
    }

    @Test func progressEndsAtTheVirtualSize() throws {
        let progress = WorkProgress()
        let content = SampleDisk.mixed(length: 4 << 20, seed: 13)
        _ = try Conversion(try Self.raw(content), to: .vdi, work: WorkOptions(progress: progress)).run(
            into: MemorySink())
        #expect(progress.done == 4 << 20)
        #expect(progress.total == 4 << 20)
    }

    @Test func aBlockThatIsPartlyZeroLeavesHoles() throws {
        var content = [UInt8](repeating: 0, count: 4 << 20)
        content[5000] = 1
        content[3 << 20] = 1
        for format in [ImageFormat.vhd, .vdi, .raw] {
            let sink = MemorySink()
            _ = try Conversion(try Self.raw(content), to: format).run(into: sink)
            let data = sink.operations.filter { $0.kind == .data }
            #expect(data.map(\.length).sorted() == [4096, 4096], "\(format)")
        }
    }

    @Test func shortRunsOfZerosAreWrittenWhereThePolicySaysSo() throws {
        var content = [UInt8](repeating: 0, count: 1 << 20)
        content[0] = 1
        content[16 << 10] = 1
        content[512 << 10] = 1
        func written(_ policy: SparsePolicy) throws -> Int {
            let sink = MemorySink()
            let result = try Conversion(try Self.raw(content), to: .raw, sparsePolicy: policy).run(into: sink)
            #expect(result.fingerprint == (try Self.raw(content).fingerprint()))
            #expect(sink.bytes == content)
            return sink.operations.map(\.length).reduce(0, +)
        }
        #expect(try written(.allHoles) == 3 * 4096)
        #expect(try written(.holesOfAtLeast(64 << 10)) == (16 << 10) + 2 * 4096)
        #expect(try written(.noHoles) == content.count)
    }

    @Test(arguments: OutputVariant.all) func withoutHolesEveryUnitIsStoredAndReadsBack(variant: OutputVariant) throws {
        let content = SampleDisk.alternating(length: 3 << 20, period: 200_704)
        let sink = MemorySink()
        let conversion = Conversion(
            try Self.raw(content), to: variant.format, options: FormatOptions(variant.options), sparsePolicy: .noHoles)
        let result = try conversion.run(into: sink)
        let image = try DiskImage(sink.memory, format: variant.format)
        #expect(try image.fingerprint() == result.fingerprint)
        #expect(FormatCatalog.check(sink.memory, as: variant.format).findings.isEmpty)
        var walk = ExtentWalk(try DiskImage(DenseCopy(sink.memory), format: variant.format))
        while let extent = try walk.next() { #expect(!extent.mapping.readsAsZero) }
    }

    @Test(arguments: OutputVariant.all) func everyFormatTurnsIntoEveryOther(variant: OutputVariant) throws {
        let content = SampleDisk.mixed(length: 3 << 20, seed: 14)
        let first = MemorySink()
        let made = try Conversion(try Self.raw(content), to: variant.format, options: FormatOptions(variant.options))
            .run(into: first)
        for other in OutputVariant.all {
            let direct = MemorySink()
            let viaFirst = MemorySink()
            _ = try Conversion(try Self.raw(content), to: other.format, options: FormatOptions(other.options))
                .run(into: direct)
            let image = try DiskImage(first.memory, format: variant.format)
            let result = try Conversion(image, to: other.format, options: FormatOptions(other.options)).run(
                into: viaFirst)
            #expect(result.fingerprint == made.fingerprint)
            #expect(viaFirst.memory == direct.memory, "by way of \(variant.name) to \(other.name)")
        }
    }

    @Test func aSourceThatFailsInTheMiddleFailsTheConversion() throws {
        struct Failing: ImageSource {
            let name = "failing"
            let length: UInt64 = 8 << 20
            func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result)
                throws(ImageError) -> Result
            {
                guard range.end.bytes <= 5 << 20 else {
                    throw ImageError(.inputOutput, "Input/output error", path: name, offset: range.start)
                }
                return try body([UInt8](repeating: 7, count: Int(range.length)).span)
            }
        }
        let conversion = Conversion(try DiskImage(Failing(), format: .raw), to: .qcow2, work: WorkOptions(threads: 3))
        let error = #expect(throws: ImageError.self) { try conversion.run(into: MemorySink()) }
        #expect(error?.code == .inputOutput)
    }

    @Test func theFirstDifferentByteIsFoundWhereverItIs() throws {
        let content = SampleDisk.mixed(length: 5 << 20, seed: 15)
        for place in [0, 1, 4095, 4096, 1 << 20, 3_333_333, content.count - 1] {
            var other = content
            other[place] ^= 0x40
            other[content.count - 1] ^= 0x01
            let result = try Self.raw(content).compare(with: try Self.raw(other), WorkOptions(threads: 3))
            #expect(result.firstDifference == GuestOffset(UInt64(place)))
        }
    }

    @Test func aLargerDiskIsTheSameWhereTheRestIsZero() throws {
        let content = SampleDisk.full(length: 1 << 20, seed: 16)
        let longer = content + [UInt8](repeating: 0, count: 3 << 20)
        #expect(
            try Self.raw(content).compare(with: try Self.raw(longer))
                == ComparisonResult(firstDifference: nil, sizesDiffer: true))
        let different = longer + [1]
        let result = try Self.raw(different).compare(with: try Self.raw(content))
        #expect(result.firstDifference == GuestOffset(UInt64(longer.count)))
    }

    @Test func optionsOutOfRangeAreRefused() throws {
        let image = try Self.raw([1])
        for work in [WorkOptions(threads: 0), WorkOptions(threads: 257), WorkOptions(chunkSize: 4096)] {
            let error = #expect(throws: ImageError.self) { try image.fingerprint(work) }
            #expect(error?.code == .invalidOption)
        }
        #expect(throws: ImageError.self) {
            try Conversion(image, to: .raw, options: FormatOptions(["cluster_size": "64k"])).run(into: MemorySink())
        }
    }
}

/// The bytes of a memory, without its holes.
private struct DenseCopy: ImageSource {
    let memory: SparseMemory
    var name: String { memory.name }
    var length: UInt64 { memory.length }
    init(_ memory: SparseMemory) { self.memory = memory }
    func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result) throws(ImageError)
        -> Result
    { try memory.withBytes(of: range, body) }
}
