import Glibc
import ImageFiles
import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Synchronization
import Testing

/// A pipe that is read in order, each byte once, while a conversion goes on.
@Suite struct PipeSourceTests {
    /// The formats that begin with nothing that depends on the size of the disk.
    static let formats = ["raw", "vhd-fixed", "raw.gz", "raw.zst"].map { OutputVariant.named($0) }
    /// Of a block of the pipe, in bytes.
    static let block = 2 << 20

    private func withPipe<Result>(
        carrying content: [UInt8], greatestLength: UInt64 = ImageLimits.rawLength,
        goOn: @escaping @Sendable () throws(ImageError) -> Void = {}, _ body: (PipeSource) throws -> Result
    ) throws -> Result {
        let reading = try makePipe(carrying: content, seed: 61, pieces: 1...300_000)
        // Whoever still writes gets a broken pipe.
        signal(SIGPIPE, SIG_IGN)
        defer { close(reading) }
        return try body(PipeSource(reading, name: "standard input", greatestLength: greatestLength, goOn: goOn))
    }

    /// The same conversion as of content in memory.
    private func readingOnce(_ source: PipeSource, to variant: OutputVariant, threads: Int) throws -> Conversion {
        Conversion(
            try DiskImage(source, format: .raw), to: variant.format, options: FormatOptions(variant.options),
            work: WorkOptions(threads: threads, chunkSize: 256 << 10))
    }

    @Test(
        arguments: formats, [1, 511, 512, 70_001, block - 1, block, block + 1, 2 * block, 5 * block + 777])
    func aDiskOfEveryLengthBecomesWhatItBecomesFromMemory(variant: OutputVariant, length: Int) throws {
        let content = SampleDisk.mixed(length: length, seed: UInt64(length))
        let expected = try conversion(of: content, to: variant, threads: 1).run(into: NullSink())
        for threads in [1, 3] {
            try withPipe(carrying: content) { (source) throws in
                let sink = MemorySink()
                let piped = try readingOnce(source, to: variant, threads: threads)
                #expect(piped.image.source.isLengthKnown == false)
                #expect(try piped.run(into: sink) == expected)
                #expect(try sink.bytes == expectedBytes(of: content, variant))
                #expect(source.isLengthKnown && source.length == UInt64(length))
                #expect(piped.image.reader.contentLength == UInt64(length))
            }
        }
    }

    @Test(arguments: formats) func zerosAtTheEndCountToTheSize(variant: OutputVariant) throws {
        let content = SampleDisk.full(length: 100, seed: 62) + [UInt8](repeating: 0, count: 2 * Self.block + 300)
        for policy in [SparsePolicy.allHoles, .holesOfAtLeast(1 << 20), .noHoles] {
            var expected = try conversion(of: content, to: variant)
            expected.sparsePolicy = policy
            expected.checksums = [.crc64ecma, .sha256, .sha256Tree]
            let memory = MemorySink()
            let result = try expected.run(into: memory)
            try withPipe(carrying: content) { (source) throws in
                var piped = try readingOnce(source, to: variant, threads: 2)
                piped.sparsePolicy = policy
                piped.checksums = expected.checksums
                let sink = MemorySink()
                #expect(try piped.run(into: sink) == result)
                #expect(sink.bytes == memory.bytes)
            }
        }
    }

    @Test func aSizeThatIsRoundedUpIsKnownLastToo() throws {
        let content = SampleDisk.mixed(length: 3 << 20 | 512, seed: 63)
        let variant = OutputVariant(.vhd, ["subformat": "fixed", "align": "4M"])
        let expected = try conversion(of: content, to: variant).run(into: NullSink())
        #expect(expected.virtualSize == 4 << 20)
        try withPipe(carrying: content) { (source) throws in
            let sink = MemorySink()
            #expect(try readingOnce(source, to: variant, threads: 2).run(into: sink) == expected)
            #expect(try sink.bytes == expectedBytes(of: content, variant))
        }
    }

    @Test(arguments: OutputVariant.all + OutputVariant.ofSeveralFiles)
    func formatsThatBeginWithTheSizeAreRefusedBeforeAnythingIsRead(variant: OutputVariant) throws {
        let takesSizeLast = try FormatCatalog.takesSizeLast(variant.format, options: FormatOptions(variant.options))
        #expect(takesSizeLast == Self.formats.contains(variant))
        guard !takesSizeLast else { return }
        try withPipe(carrying: [1, 2, 3]) { (source) throws in
            let refused = try readingOnce(source, to: variant, threads: 1)
            let error = #expect(throws: ImageError.self) { try refused.run(into: NullSink()) }
            #expect(error?.code == .unsupported && error?.path == "standard input")
            #expect(try source.nextData(from: FileOffset(0), limit: FileOffset(10)) == FileRange(0, length: 3))
        }
    }

    @Test func anUnknownOptionIsRefusedBeforeAnythingIsRead() throws {
        let error = #expect(throws: ImageError.self) {
            try FormatCatalog.takesSizeLast(.raw, options: FormatOptions(["cluster_size": "64k"]))
        }
        #expect(error?.code == .invalidOption)
    }

    @Test func whatWasReadIsGone() throws {
        let content = SampleDisk.full(length: 1000, seed: 64)
        try withPipe(carrying: content) { (source) throws in
            #expect(try source.nextData(from: FileOffset(0), limit: FileOffset(2000)) == FileRange(0, length: 1000))
            #expect(try source.nextData(from: FileOffset(1000), limit: FileOffset(2000)) == nil)
            #expect(try source.read(FileRange(0, length: 400)) == Array(content[..<400]))
            #expect(try source.read(FileRange(400, length: 600)) == Array(content[400...]))
            let error = #expect(throws: ImageError.self) { try source.read(FileRange(0, length: 400)) }
            #expect(error?.code == .unsupported)
            let behind = #expect(throws: ImageError.self) { try source.read(FileRange(999, length: 2)) }
            #expect(behind?.code == .truncated)
        }
    }

    @Test func aPipeWithoutAByteIsRefused() throws {
        let found = try withPipe(carrying: []) { source in
            #expect(throws: ImageError.self) { try source.nextData(from: FileOffset(0), limit: FileOffset(512)) }
        }
        #expect(found?.code == .truncated)
        let reading = try makePipe(carrying: [], seed: 1, pieces: 1...1)
        defer { close(reading) }
        let error = #expect(throws: ImageError.self) { try PipeSpool.spool(reading, name: "standard input") {} }
        #expect(error?.code == .truncated && error?.message.contains("empty disk") == true)
    }

    @Test func aPipeLongerThanADiskIsRefused() throws {
        try withPipe(carrying: [UInt8](repeating: 7, count: 5000), greatestLength: 4999) { (source) throws in
            let endless = try readingOnce(source, to: .named("raw"), threads: 2)
            let error = #expect(throws: ImageError.self) { try endless.run(into: NullSink()) }
            #expect(error?.code == .limitExceeded && error?.path == "standard input")
        }
    }

    @Test func aDiskTooLargeForAFixedDiskIsRefusedOnceItsSizeIsKnown() throws {
        let parameters = EncoderParameters(contentLength: 0, virtualSize: 0, isSizeKnown: false)
        var encoder = try VHDEncoder(parameters: parameters, options: FormatOptions(["subformat": "fixed"]))
        try encoder.settle(contentLength: 2040 << 30, virtualSize: 2040 << 30)
        let error = #expect(throws: ImageError.self) {
            try encoder.settle(contentLength: 2041 << 30, virtualSize: 2041 << 30)
        }
        #expect(error?.code == .limitExceeded)
    }

    /// One thread waits for a writer that has nothing more for the moment, when another finds that there is nowhere to write to.
    @Test func aDestinationThatFailsEndsTheWaitForThePipe() throws {
        final class Full: ImageSink {
            let isSequential = false
            let writes = Atomic(0)
            func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
                guard writes.add(1, ordering: .relaxed).newValue == 1 else { return }
                usleep(500_000)
                throw ImageError(.inputOutput, "no space is left")
            }
            func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {}
            func finish(length: UInt64) throws(ImageError) {}
        }
        let ends = try makePipe()
        let isOver = Atomic(false)
        let writer = ThreadGroup(1)
        signal(SIGPIPE, SIG_IGN)
        BackgroundThread.start {
            let content = [UInt8](repeating: 7, count: 2 * Self.block + 1000)
            _ = unsafe write(ends.writing, content, content.count)
            for _ in 0..<300 where !isOver.load(ordering: .relaxed) { usleep(100_000) }
            close(ends.writing)
            writer.leave()
        }
        let source = PipeSource(ends.reading, name: "pipe", greatestLength: ImageLimits.rawLength) {}
        let start = ContinuousClock.now
        let failing = try readingOnce(source, to: .named("raw"), threads: 2)
        let error = #expect(throws: ImageError.self) { try failing.run(into: Full()) }
        #expect(error?.code == .inputOutput)
        #expect(ContinuousClock.now - start < .seconds(20))
        isOver.store(true, ordering: .relaxed)
        close(ends.reading)
        writer.wait()
    }

    @Test func aRequestToStopEndsTheReading() throws {
        let asked = Atomic<Int>(0)
        let content = SampleDisk.full(length: 3 * Self.block, seed: 65)
        let stop: @Sendable () throws(ImageError) -> Void = { () throws(ImageError) in
            if asked.add(1, ordering: .relaxed).newValue == 5 {
                throw ImageError(.cancelled, "stopped on request")
            }
        }
        try withPipe(carrying: content, goOn: stop) { (source) throws in
            let stopped = try readingOnce(source, to: .named("raw"), threads: 2)
            let error = #expect(throws: ImageError.self) { try stopped.run(into: NullSink()) }
            #expect(error?.code == .cancelled)
        }
    }
}
