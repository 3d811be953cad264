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

/// The same for images of several files.
@Suite struct SeveralFilesIdentityTests {
    /// Its content, under the names of the files, for whoever opens them.
    private struct Files: ReferencedFiles {
        var files: [SparseMemory]

        func open(_ name: String, namedBy image: String) throws(ImageError) -> any ImageSource {
            guard let file = files.first(where: { $0.name == name }) else {
                throw ImageError(.inputOutput, "there is no such file", path: name)
            }
            return file
        }

        func search(
            ending: String, beside image: String, _ isWanted: (any ImageSource) throws(ImageError) -> Bool
        ) throws(ImageError) -> [any ImageSource] { [] }
    }

    @Test(arguments: OutputVariant.ofSeveralFiles) func threadsAndChunksDoNotShow(variant: OutputVariant) throws {
        let source = SparseMemory(ByteIdentityTests.content)
        let expected = try ByteIdentityTests.convert(source, variant, threads: 1)
        for (threads, chunkSize) in [(2, 64 << 10), (3, 1 << 20), (8, 8 << 20)] as [(Int, UInt64)] {
            let again = try ByteIdentityTests.convert(source, variant, threads: threads, chunkSize: chunkSize)
            #expect(again.result == expected.result && again.sink.files == expected.sink.files)
        }
        let dense = try ByteIdentityTests.convert(DenseMemory(ByteIdentityTests.content), variant, threads: 2)
        #expect(dense.result == expected.result && dense.sink.files == expected.sink.files)
    }

    @Test(arguments: OutputVariant.ofSeveralFiles) func checksumsAreThoseOfEachFileAndOfAll(variant: OutputVariant)
        throws
    {
        let made = try ByteIdentityTests.convert(SparseMemory(ByteIdentityTests.content), variant, threads: 2)
        let files = made.sink.files
        #expect(!made.sink.hasOverlap && files.count == 2)
        #expect(made.result.files.map(\.name) == files.map(\.name))
        #expect(made.result.files.map(\.length) == files.map(\.length))
        let bytes = files.map { $0[0..<$0.length] }
        #expect(made.result.files.map(\.checksums?.crc64ecma) == bytes.map { CRC64.checksum($0.span) })
        let all = Array(bytes.joined())
        #expect(made.result.objectLength == UInt64(all.count))
        #expect(made.result.objectCRC64 == CRC64.checksum(all.span))
        let parts = try #require(made.result.parts)
        #expect(parts.crc64ecma.count == bytes.reduce(0) { $0 + ($1.count + (8 << 20) - 1) / (8 << 20) })
        let descriptor = bytes[0]
        #expect(parts.crc64ecma[0] == CRC64.checksum(descriptor.span))
    }

    @Test(arguments: OutputVariant.ofSeveralFiles) func theResultReadsBackAndIsVerified(variant: OutputVariant) throws {
        let content = ByteIdentityTests.content
        let made = try ByteIdentityTests.convert(SparseMemory(content), variant, threads: 2)
        let files = made.sink.files
        let image = try DiskImage(files[0], format: .vmdk, references: Files(files: files))
        #expect(image.virtualSize == UInt64(content.count))
        #expect(try image.fingerprint() == made.result.fingerprint)
        let conversion = Conversion(
            try DiskImage(SparseMemory(content), format: .raw), to: .vmdk, options: FormatOptions(variant.options))
        let manifest = try Manifest(conversion, made.result)
        #expect(try Manifest(manifest.encoded()) == manifest)
        #expect(try conversion.measure().required == made.result.objectLength)
        func verdict(_ files: [SparseMemory]) throws -> VerificationReport {
            var verification = Verification(files[0], manifest: manifest)
            verification.references = Files(files: files)
            return try verification.run()
        }
        let whole = try verdict(files)
        #expect(whole.verdict == .whole, "\(whole.checks)")
        for index in files.indices {
            var damaged = files
            let last = files[index].length - 1
            damaged[index].write([files[index][last..<last + 1][0] ^ 1], at: last)
            let report = try verdict(damaged)
            #expect(report.verdict == .damaged)
            #expect(report.checks.contains { $0.outcome == .failed && $0.message.contains(files[index].name) })
        }
        let error = #expect(throws: ImageError.self) { _ = try verdict([files[0]]) }
        #expect(error?.code == .inputOutput && error?.path == files[1].name)
        var longer = files
        longer[1].truncate(to: files[1].length + 512)
        #expect(try verdict(longer).verdict == .damaged)
    }

    /// Else a download of somebody's image could write what it likes beside it.
    @Test(arguments: [
        "authorized_keys", "disk-notes", "disk-s01", "disk-s00x", "disk-flat2", "disk-", "other-s001", "disk",
    ])
    func aManifestNamesNoFileThatIsNoneOfTheImage(name: String) throws {
        let variant = try #require(OutputVariant.ofSeveralFiles.first { $0.name.contains("Sparse") })
        let made = try ByteIdentityTests.convert(SparseMemory(ByteIdentityTests.content), variant, threads: 2)
        let conversion = Conversion(
            try DiskImage(SparseMemory(ByteIdentityTests.content), format: .raw), to: .vmdk,
            options: FormatOptions(variant.options))
        let text = String(decoding: try Manifest(conversion, made.result).encoded(), as: UTF8.self)
        #expect(text.contains("\"disk-s001\""))
        let error = try #require(throws: ImageError.self) {
            try Manifest(Array(text.replacing("\"disk-s001\"", with: "\"\(name)\"").utf8))
        }
        #expect(error.code == .corrupt, "\(error)")
    }

    @Test func aSinkOfOneFileRefusesThem() throws {
        let image = try DiskImage(SparseMemory(ByteIdentityTests.content), format: .raw)
        for variant in OutputVariant.ofSeveralFiles {
            let conversion = Conversion(image, to: .vmdk, options: FormatOptions(variant.options))
            let error = try #require(throws: ImageError.self) { try conversion.run(into: OneFileSink()) }
            #expect(error.code == .invalidOption && error.message.contains("2 files"))
        }
    }
}

/// A sink that knows of one file.
private struct OneFileSink: ImageSink {
    let isSequential = false

    func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {}
    func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {}
    func finish(length: UInt64) throws(ImageError) {}
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
