import ImageCodecs
import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Testing

/// The same content, format and options give the same bytes, whatever does the work and however the source is laid out.
@Suite struct ByteIdentityTests {
    static let content = SampleDisk.mixed(length: 9 << 20 | 1536, seed: 1)

    static func convert(
        _ source: any ImageSource, _ variant: OutputVariant, threads: Int, chunkSize: UInt64 = 2 << 20,
        sequential: Bool = false
    ) throws -> (sink: MemorySink, result: ConversionResult) {
        let sink = MemorySink(isSequential: sequential)
        let conversion = Conversion(
            try DiskImage(source, format: .raw), to: variant.format, options: FormatOptions(variant.options),
            work: WorkOptions(threads: threads, chunkSize: chunkSize))
        return (sink, try conversion.run(into: sink))
    }

    @Test(arguments: OutputVariant.all) func threadsAndChunksDoNotShow(variant: OutputVariant) throws {
        let source = SparseMemory(Self.content)
        let expected = try Self.convert(source, variant, threads: 1)
        #expect(expected.sink.bytes.count == Int(expected.result.objectLength))
        for threads in [1, 2, 3, 8] {
            for chunkSize: UInt64 in [64 << 10, 1 << 20, 2 << 20, 8 << 20] {
                let again = try Self.convert(source, variant, threads: threads, chunkSize: chunkSize)
                #expect(again.result == expected.result, "\(threads) threads, chunks of \(chunkSize)")
                #expect(again.sink.memory == expected.sink.memory, "\(threads) threads, chunks of \(chunkSize)")
            }
        }
    }

    @Test(arguments: OutputVariant.all) func holesOfTheSourceDoNotShow(variant: OutputVariant) throws {
        let sparse = try Self.convert(SparseMemory(Self.content), variant, threads: 2)
        let full = try Self.convert(DenseMemory(Self.content), variant, threads: 2)
        #expect(sparse.result == full.result)
        #expect(sparse.sink.memory == full.sink.memory)
    }

    @Test(arguments: OutputVariant.all) func aSequentialSinkGetsTheSameDataInOrder(variant: OutputVariant) throws {
        let anyOrder = try Self.convert(SparseMemory(Self.content), variant, threads: 3)
        let inOrder = try Self.convert(SparseMemory(Self.content), variant, threads: 3, sequential: true)
        #expect(anyOrder.sink.memory == inOrder.sink.memory)
        // Packed clusters go back to room that was left before a plain one: a stream takes these from its spool.
        guard variant.options["compress"] == nil else { return }
        let offsets = inOrder.sink.operations.filter { $0.kind == .data }.map(\.offset)
        #expect(offsets == offsets.sorted())
    }

    @Test(arguments: OutputVariant.all) func noByteIsWrittenTwiceAndBothChecksumsAreThoseOfTheBytes(
        variant: OutputVariant
    ) throws {
        let made = try Self.convert(SparseMemory(Self.content), variant, threads: 2)
        #expect(!made.sink.hasOverlap)
        #expect(made.result.objectCRC64 == CRC64.checksum(made.sink.bytes.span))
        #expect(made.result.fingerprint == CRC64.checksum(Self.content.span))
    }

    @Test(arguments: OutputVariant.all) func theResultReadsBackToTheSameFingerprint(variant: OutputVariant) throws {
        let made = try Self.convert(SparseMemory(Self.content), variant, threads: 2)
        let image = try DiskImage(made.sink.memory, format: variant.format)
        #expect(image.virtualSize == UInt64(Self.content.count))
        #expect(try image.fingerprint(WorkOptions(threads: 3, chunkSize: 1 << 20)) == made.result.fingerprint)
        #expect(FormatCatalog.check(made.sink.memory, as: variant.format).findings.isEmpty)
        let raw = try DiskImage(SparseMemory(Self.content), format: .raw)
        #expect(try raw.compare(with: image) == ComparisonResult(firstDifference: nil, sizesDiffer: false))
        #expect(try raw.checksums([.sha256, .sha256Tree]) == image.checksums([.sha256, .sha256Tree]))
    }
}

/// Bytes in memory that know of no hole.
struct DenseMemory: ImageSource {
    let name = "dense memory"
    private let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var length: UInt64 { UInt64(bytes.count) }

    func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result) throws(ImageError)
        -> Result
    {
        try requireHeld(range)
        return try body(bytes.span.extracting(Int(range.start.bytes)..<Int(range.end.bytes)))
    }
}
