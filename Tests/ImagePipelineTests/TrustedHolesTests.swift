import ImageCodecs
import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Synchronization
import Testing

/// Conversions that look at less: no checksums, and holes taken on trust.
@Suite struct TrustedHolesTests {
    static let content = SampleDisk.mixed(length: 5 << 19 | 1536, seed: 11)
    static let plainFormats: [ImageFormat] = [.raw, .qcow2]

    private static func convert(
        _ source: any ImageSource, as sourceFormat: ImageFormat = .raw, to format: ImageFormat,
        options: [String: String] = [:], _ sink: MemorySink, _ checksums: ChecksumSelection = .none,
        trustsHoles: Bool = true, policy: SparsePolicy = .allHoles, threads: Int = 2
    ) throws -> ConversionResult {
        try Conversion(
            try DiskImage(source, format: sourceFormat), to: format, options: FormatOptions(options),
            sparsePolicy: policy, trustsHoles: trustsHoles, checksums: checksums,
            work: WorkOptions(threads: threads, chunkSize: 256 << 10)
        ).run(into: sink)
    }

    private static func expectSameDisk(_ sink: MemorySink, _ format: ImageFormat) throws {
        let image = try DiskImage(sink.memory, format: format)
        #expect(try image.fingerprint() == CRC64.checksum(content.span))
        #expect(FormatCatalog.check(sink.memory, as: format).findings.allSatisfy { $0.kind != .corruption })
    }

    @Test(arguments: plainFormats) func checksumsThatNobodyWantsChangeNoByte(format: ImageFormat) throws {
        let (plain, none) = (MemorySink(), MemorySink())
        _ = try Self.convert(DenseMemory(Self.content), to: format, plain, .crc64ecma, trustsHoles: false)
        let result = try Self.convert(DenseMemory(Self.content), to: format, none, trustsHoles: false)
        #expect(plain.memory == none.memory)
        #expect(result.content == nil && result.fingerprint == nil)
        #expect(result.objectCRC64 == nil && result.parts == nil)
    }

    @Test(arguments: OutputVariant.all) func formatsThatRecordTheFingerprintAreRefusedWithoutIt(variant: OutputVariant)
        throws
    {
        let sink = MemorySink()
        func run() throws -> ConversionResult {
            try Self.convert(SparseMemory(Self.content), to: variant.format, options: variant.options, sink)
        }
        guard !Self.plainFormats.contains(variant.format), variant.format.packaging == nil else {
            #expect(try run().objectLength > 0)
            return
        }
        let error = #expect(throws: ImageError.self) { try run() }
        #expect(error?.code == .invalidOption)
        #expect(error?.message.contains("identifiers that are made of the content's fingerprint") == true)
        #expect(sink.operations.isEmpty)
    }

    /// What an encoder says of itself is what it does.
    @Test(arguments: OutputVariant.all) func onlyThoseFormatsMakeIdentifiersOfTheFingerprint(variant: OutputVariant)
        throws
    {
        func metadata(_ fingerprint: UInt64) throws -> (segments: [MetadataSegment], records: Bool) {
            let parameters = EncoderParameters(contentLength: 1 << 20, virtualSize: 1 << 20)
            var encoder = try FormatCatalog.encoder(
                for: variant.format, parameters: parameters, options: FormatOptions(variant.options))
            var segments: [MetadataSegment] = []
            let identity = ContentIdentity(fingerprint: fingerprint, virtualSize: 1 << 20)
            _ = try encoder.finish(content: identity, metadata: &segments)
            return (segments, encoder.recordsIdentity)
        }
        let (one, other) = try (metadata(1), metadata(2))
        #expect((one.segments != other.segments) == one.records)
    }

    @Test(arguments: plainFormats, [SparsePolicy.allHoles, .holesOfAtLeast(64 << 10), .noHoles])
    func withClonesAndWithoutItIsOneImageOfTheDisk(format: ImageFormat, policy: SparsePolicy) throws {
        for source in [SparseMemory(Self.content), DenseMemory(Self.content)] as [any ImageSource] {
            let written = MemorySink()
            var expected = try Self.convert(source, to: format, written, .crc64ecma, policy: policy)
            #expect(expected.fingerprint == CRC64.checksum(Self.content.span))
            try Self.expectSameDisk(written, format)
            for (checksums, blockSize) in [(.none, 4096), (.crc64ecma, 4096), (.none, nil), (.none, 65_536)]
                as [(ChecksumSelection, UInt64?)]
            {
                let sink = MemorySink(cloningIn: blockSize)
                let result = try Self.convert(source, to: format, sink, checksums, policy: policy, threads: 3)
                #expect(sink.memory == written.memory)
                #expect(!sink.hasOverlap)
                #expect(sink.clones.isEmpty == (blockSize == nil))
                if checksums == .crc64ecma {
                    expected.clonedBytes = result.clonedBytes
                    #expect(result == expected)
                }
            }
        }
    }

    @Test func zerosThatTheSourceStoresAreAllocatedAndHolesAreNot() throws {
        let content = SampleDisk.alternating(length: 2 << 20, period: 64 << 10)
        let (dense, sparse, scanned) = (MemorySink(), MemorySink(), MemorySink())
        let one = try Self.convert(DenseMemory(content), to: .qcow2, dense)
        let two = try Self.convert(SparseMemory(content), to: .qcow2, sparse)
        _ = try Self.convert(DenseMemory(content), to: .qcow2, scanned, trustsHoles: false)
        #expect(one.contentBytes == 2 << 20 && two.contentBytes == 1 << 20)
        #expect(one.objectLength == two.objectLength + 1 << 20)
        #expect(sparse.memory == scanned.memory)
    }

    @Test(arguments: plainFormats) func whatIsClonedIsNotRead(format: ImageFormat) throws {
        let source = MeteredSource(SampleDisk.full(length: 3 << 20 | 700, seed: 3))
        let sink = MemorySink(cloningIn: 4096)
        let result = try Self.convert(source, to: format, sink)
        #expect(result.clonedBytes == 3 << 20)
        #expect(source.contentBytesRead == 700)
        // The sink clones by reading, apart from what the pipeline reads.
        let refusing = MeteredSource(SampleDisk.full(length: 1 << 20, seed: 3))
        _ = try Self.convert(refusing, to: format, MemorySink(cloningIn: 4096, acceptedClones: 0))
        #expect(refusing.contentBytesRead == 1 << 20)
    }

    @Test(arguments: OutputVariant.all, plainFormats)
    func whatTheSourceHasCompressedIsReadAndWritten(from: OutputVariant, to format: ImageFormat) throws {
        let source = MemorySink()
        _ = try Self.convert(
            SparseMemory(Self.content), to: from.format, options: from.options, source, .crc64ecma, trustsHoles: false)
        for acceptedClones in [0, 1, .max] {
            let sink = MemorySink(cloningIn: 4096, acceptedClones: acceptedClones)
            _ = try Self.convert(source.memory, as: from.format, to: format, sink)
            try Self.expectSameDisk(sink, format)
        }
    }

    @Test func aManifestIsNotMadeOfNothing() throws {
        for (checksums, trustsHoles) in [(.none, false), (.crc64ecma, true)] as [(ChecksumSelection, Bool)] {
            let conversion = Conversion(
                try DiskImage(SparseMemory(Self.content), format: .raw), to: .qcow2, trustsHoles: trustsHoles,
                checksums: checksums)
            let result = try conversion.run(into: MemorySink())
            let error = #expect(throws: ImageError.self) {
                try Manifest(conversion, result, object: Checksums(crc64ecma: 0))
            }
            #expect(error?.code == .invalidOption)
        }
    }
}

/// A source that counts the content that is asked for in runs.
private final class MeteredSource: ImageSource {
    let name = "watched source"
    private let bytes: DenseMemory
    private let read = Mutex<UInt64>(0)

    init(_ bytes: [UInt8]) { self.bytes = DenseMemory(bytes) }

    var length: UInt64 { bytes.length }
    var contentBytesRead: UInt64 { read.withLock { $0 } }

    func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result) throws(ImageError)
        -> Result
    { try bytes.withBytes(of: range, body) }

    func read(_ range: FileRange, into buffer: inout [UInt8], at index: Int) throws(ImageError) {
        read.withLock { $0 += range.length }
        try bytes.read(range, into: &buffer, at: index)
    }
}
