import ImageCodecs
import ImageFormats
import ImageModel
import LatheTestSupport
import Synchronization
import Testing

@testable import ImagePipeline

/// Data that is shared with the source gives the same bytes, checksums and errors as data that is written.
@Suite struct CloningTests {
    static let content = SampleDisk.mixed(length: 5 << 19 | 1536, seed: 1)
    static let full = SampleDisk.full(length: 3_000_321, seed: 3)

    private static func convert(
        _ source: any ImageSource, as sourceFormat: ImageFormat = .raw, _ variant: OutputVariant,
        _ sink: MemorySink, reflink: ReflinkPolicy = .auto, policy: SparsePolicy = .allHoles, threads: Int = 2,
        chunkSize: UInt64 = 1 << 20
    ) throws -> ConversionResult {
        try Conversion(
            try DiskImage(source, format: sourceFormat), to: variant.format, options: FormatOptions(variant.options),
            sparsePolicy: policy, reflink: reflink, work: WorkOptions(threads: threads, chunkSize: chunkSize)
        ).run(into: sink)
    }

    /// Converts with and without clones, and wants one result.
    @discardableResult
    private static func compare(
        _ source: any ImageSource, as sourceFormat: ImageFormat = .raw, _ variant: OutputVariant,
        cloningIn blockSize: UInt64 = 4096, policy: SparsePolicy = .allHoles, threads: Int = 2,
        chunkSize: UInt64 = 1 << 20, acceptedClones: Int = .max, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> (sink: MemorySink, result: ConversionResult) {
        let plain = MemorySink()
        var expected = try convert(source, as: sourceFormat, variant, plain, policy: policy)
        let sink = MemorySink(cloningIn: blockSize, acceptedClones: acceptedClones)
        let result = try convert(
            source, as: sourceFormat, variant, sink, policy: policy, threads: threads, chunkSize: chunkSize)
        expected.clonedBytes = result.clonedBytes
        #expect(result == expected, sourceLocation: sourceLocation)
        #expect(sink.memory == plain.memory, sourceLocation: sourceLocation)
        #expect(!sink.hasOverlap, sourceLocation: sourceLocation)
        #expect(result.objectCRC64 == CRC64.checksum(sink.bytes.span), sourceLocation: sourceLocation)
        #expect(
            result.clonedBytes == sink.clones.reduce(0) { $0 + UInt64($1.length) }, sourceLocation: sourceLocation)
        return (sink, result)
    }

    @Test(arguments: OutputVariant.all) func clonesGiveTheBytesThatWritesGive(variant: OutputVariant) throws {
        for source in [SparseMemory(Self.content), DenseMemory(Self.content)] as [any ImageSource] {
            for (threads, chunkSize) in [(1, 64 << 10), (3, 512 << 10)] as [(Int, UInt64)] {
                let made = try Self.compare(source, variant, threads: threads, chunkSize: chunkSize)
                let isCompressed = variant.isCompressed
                #expect(made.sink.clones.isEmpty == isCompressed)
                guard !isCompressed else { continue }
                // Subclusters of 2 KiB leave half a block at either end of a run.
                let left: UInt64 = variant.options["extended_l2"] == "on" ? 64 << 10 : 4096
                #expect(made.result.clonedBytes + left > made.result.contentBytes)
                // What is left of the data is the last block, which is no whole one.
                #expect(made.sink.operations.filter { $0.kind == .data }.allSatisfy { $0.length < 4096 })
            }
        }
    }

    @Test(
        arguments: OutputVariant.all,
        [0, 1, 511, 512, 4095, 4096, 4097, 65_535, 65_537, 3_000_321])
    func oddLengthsAreCloneableToTheLastWholeBlock(variant: OutputVariant, length: Int) throws {
        try Self.compare(DenseMemory(Array(Self.full.prefix(length))), variant)
        guard length < 1 << 20 else { return }
        try Self.compare(SparseMemory(Array(Self.content.prefix(length))), variant)
    }

    @Test(arguments: OutputVariant.all, [512, 1024, 16 << 10, 64 << 10, 2 << 20])
    func everyBlockSizeGivesTheSameBytes(variant: OutputVariant, blockSize: UInt64) throws {
        try Self.compare(DenseMemory(Self.content), variant, cloningIn: blockSize, chunkSize: 256 << 10)
        try Self.compare(DenseMemory(Array(Self.full.dropLast(1500))), variant, cloningIn: blockSize)
    }

    @Test(arguments: OutputVariant.all, [SparsePolicy.noHoles, .holesOfAtLeast(8192), .holesOfAtLeast(1 << 20)])
    func writtenZerosStayWritten(variant: OutputVariant, policy: SparsePolicy) throws {
        for source in [SparseMemory(Self.content), DenseMemory(Self.content)] as [any ImageSource] {
            let made = try Self.compare(source, variant, policy: policy)
            guard policy == .noHoles, variant.format == .raw else { continue }
            let covered = made.sink.operations.reduce(0) { $0 + $1.length }
            #expect(covered == Self.content.count, "every byte is written or cloned")
        }
    }

    @Test(arguments: OutputVariant.all, OutputVariant.all)
    func everyFormatIsCloneableFromEveryOther(from: OutputVariant, to variant: OutputVariant) throws {
        let source = MemorySink()
        _ = try Self.convert(SparseMemory(Self.content), from, source)
        let made = try Self.compare(source.memory, as: from.format, variant)
        // qcow2 stores a cluster as it is where it does not become shorter, and that can be shared.
        let hasNoPlainData = variant.isCompressed || from.isCompressed && from.format != .qcow2
        #expect(made.sink.clones.isEmpty == hasNoPlainData)
    }

    @Test(arguments: OutputVariant.all, [0, 1, 2, 5]) func whatIsRefusedOnTheWayIsWritten(
        variant: OutputVariant, acceptedClones: Int
    ) throws {
        let content = SampleDisk.alternating(length: 2 << 20, period: 100 << 10)
        let made = try Self.compare(DenseMemory(content), variant, acceptedClones: acceptedClones)
        #expect(made.sink.clones.count <= acceptedClones)
    }

    @Test func shortZerosBetweenDataAreClonedAlongAndLongOnesAreNot() throws {
        let short = SampleDisk.alternating(length: 4 << 20, period: 32 << 10)
        let one = try Self.compare(DenseMemory(short), Self.variant(.qcow2), chunkSize: 2 << 20)
        // The last zeros of a chunk have no data behind them in it: one clone a chunk.
        #expect(one.sink.clones.count <= 2)
        let long = SampleDisk.alternating(length: 4 << 20, period: 64 << 10)
        let many = try Self.compare(DenseMemory(long), Self.variant(.raw))
        #expect(many.sink.clones.count == 32)
        #expect(many.result.clonedBytes == 2 << 20)
    }

    @Test func neighboursAreOneCloneOverAllChunks() throws {
        let content = Array(Self.full.prefix(11 << 18))
        for threads in [1, 4] {
            let made = try Self.compare(DenseMemory(content), Self.variant(.vdi), threads: threads, chunkSize: 64 << 10)
            #expect(made.sink.clones.count == 1)
        }
    }

    private static func variant(_ format: ImageFormat) throws -> OutputVariant {
        try #require(OutputVariant.all.first { $0.format == format })
    }

    // MARK: --reflink always and never

    @Test(arguments: OutputVariant.all) func neverIsNever(variant: OutputVariant) throws {
        let sink = MemorySink(cloningIn: 4096)
        let result = try Self.convert(DenseMemory(Self.content), variant, sink, reflink: .never)
        #expect(sink.clones.isEmpty && result.clonedBytes == 0)
    }

    /// Runs with `always`, wants a refusal, and answers what it says.
    private static func refusal(
        _ source: any ImageSource, as format: ImageFormat = .raw, _ variant: OutputVariant, _ sink: MemorySink,
        policy: SparsePolicy = .allHoles
    ) throws -> String {
        let error = #expect(throws: ImageError.self) {
            try convert(source, as: format, variant, sink, reflink: .always, policy: policy)
        }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("leave '--reflink always' out") == true)
        #expect(sink.finishedLength == nil)
        return error?.message ?? ""
    }

    @Test func alwaysSaysWhyNothingCanBeShared() throws {
        let source = DenseMemory(Self.content)
        #expect(try Self.refusal(source, Self.variant(.raw), MemorySink()).contains("memory is not asked to clone"))
        let compressed = try #require(OutputVariant.all.first { $0.options["subformat"] == "streamOptimized" })
        #expect(try Self.refusal(source, compressed, MemorySink(cloningIn: 4096)).contains("compressed units"))
    }

    @Test func alwaysSaysWhichPartCanNotBeShared() throws {
        let compressed = MemorySink()
        let stream = try #require(OutputVariant.all.first { $0.options["subformat"] == "streamOptimized" })
        _ = try Self.convert(DenseMemory(Self.content), stream, compressed)
        let inflated = try Self.refusal(
            compressed.memory, as: .vmdk, Self.variant(.raw), MemorySink(cloningIn: 4096))
        #expect(inflated.contains("the source has them compressed") && inflated.contains("guest bytes "))
        // The first block of a vhd stands at a multiple of 4096 and not of 64 KiB.
        let shifted = try Self.refusal(
            DenseMemory(Self.content), Self.variant(.vhd), MemorySink(cloningIn: 64 << 10))
        #expect(shifted.contains("the same place in a block of 65536"))
        let holes = try Self.refusal(
            SparseMemory(Self.content), Self.variant(.raw), MemorySink(cloningIn: 4096), policy: .noHoles)
        #expect(holes.contains("zeros that the source has not stored"))
        let late = try Self.refusal(
            DenseMemory(Self.content), Self.variant(.raw), MemorySink(cloningIn: 4096, acceptedClones: 1))
        #expect(late.contains("refuses to share"))
    }

    @Test(arguments: OutputVariant.all.filter { !$0.isCompressed })
    func alwaysTakesWhatIsSharedButForTheLastBlock(variant: OutputVariant) throws {
        for length in [0, 100, 5000, 3_000_321] {
            let sink = MemorySink(cloningIn: 4096)
            let content = DenseMemory(Array(Self.full.prefix(length)))
            let result = try Self.convert(content, variant, sink, reflink: .always)
            #expect(result.clonedBytes == UInt64(length / 4096 * 4096))
        }
    }

    // MARK: What could go wrong

    @Test func theSourceIsAskedForChangesBehindTheLastClone() throws {
        let sink = MemorySink(cloningIn: 4096)
        let source = ChangingSource(DenseMemory(SampleDisk.full(length: 1 << 20, seed: 2))) { !sink.clones.isEmpty }
        let error = #expect(throws: ImageError.self) { try Self.convert(source, Self.variant(.qcow2), sink) }
        #expect(error?.code == .sourceChanged)
        #expect(sink.finishedLength == nil)
    }

    /// A table may stand exactly where an unplaced unit would: zeros cloned along must never reach it.
    @Test func zerosAreNotClonedOverAUnitThatHasNoPlace() {
        var plan = ClonePlan(blockSize: 4096, unitSize: 4096)
        let extent = MappedExtent(range: GuestRange(0, length: 1 << 20), mapping: .raw(FileOffset(0)))
        let writes = [0, 8192].map { PlacedRange(guest: GuestRange($0, length: 4096), place: FileOffset($0 + 65_536)) }
        plan.divide(writes, storedIn: [extent])
        #expect(plan.clones.map(\.guest.length) == [4096, 4096])
    }

    @Test func zerosAreNotClonedOverBytesThatAreWritten() {
        var plan = ClonePlan(blockSize: 4096, unitSize: 65_536)
        let extent = MappedExtent(range: GuestRange(0, length: 65_536), mapping: .raw(FileOffset(512)))
        let writes = [
            PlacedRange(guest: GuestRange(3584, length: 5120), place: FileOffset(4096)),
            PlacedRange(guest: GuestRange(16_384, length: 8192), place: FileOffset(16_896)),
        ]
        plan.divide(writes, storedIn: [extent])
        #expect(plan.clones.map { $0.place.bytes } == [4096, 20_480])
        #expect(plan.writes.map { $0.guest.length } == [1024, 3584, 512])
    }

    @Test func aUnitThatIsPutTogetherFromTwoPlacesIsTwoClones() {
        var plan = ClonePlan(blockSize: 4096, unitSize: 65_536)
        let extents = [
            MappedExtent(range: GuestRange(0, length: 8192), mapping: .raw(FileOffset(40_960))),
            MappedExtent(range: GuestRange(8192, length: 8192), mapping: .raw(FileOffset(4096))),
        ]
        plan.divide([PlacedRange(guest: GuestRange(0, length: 16_384), place: FileOffset(0))], storedIn: extents)
        #expect(plan.clones.map { $0.source.bytes } == [40_960, 4096])
        #expect(plan.writes.isEmpty && plan.obstacle == nil)
    }
}

/// A source that says it has changed as soon as something has happened.
private struct ChangingSource: ImageSource {
    let name = "changing source"
    private let bytes: DenseMemory
    private let hasChanged: @Sendable () -> Bool

    init(_ bytes: DenseMemory, when hasChanged: @escaping @Sendable () -> Bool) {
        self.bytes = bytes
        self.hasChanged = hasChanged
    }

    var length: UInt64 { bytes.length }

    func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result) throws(ImageError)
        -> Result
    { try bytes.withBytes(of: range, body) }

    func requireUnchanged() throws(ImageError) {
        if hasChanged() { throw ImageError(.sourceChanged, "the source was written to") }
    }
}
