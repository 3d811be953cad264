import Glibc
import ImageFiles
import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Synchronization
import Testing

@Suite struct PipeSpoolTests {
    private func spool(_ content: [UInt8], seed: UInt64, pieces: ClosedRange<Int>) throws -> FileSource {
        let reading = try makePipe(carrying: content, seed: seed, pieces: pieces)
        defer { close(reading) }
        return try PipeSpool.spool(reading, name: "standard input") {}
    }

    @Test(arguments: [1, 511, 65_535, 65_536, 65_537, 131_072, 300_001]) func everyLengthArrivesWhole(length: Int)
        throws
    {
        let content = SampleDisk.mixed(length: length, seed: UInt64(length))
        let source = try spool(content, seed: 91, pieces: 1...20_000)
        #expect(source.length == UInt64(length) && source.name == "standard input")
        #expect(try source.read(FileRange(0, length: source.length)) == content)
        try source.requireUnchanged()
    }

    @Test func readsOfAFewBytesDoNotShow() throws {
        let content = SampleDisk.mixed(length: 70_000, seed: 92)
        let source = try spool(content, seed: 92, pieces: 1...50)
        #expect(try source.read(FileRange(0, length: source.length)) == content)
    }

    @Test func zerosBecomeHoles() throws {
        var content = [UInt8](repeating: 0, count: 16 << 20 | 777)
        content[5 << 20] = 1
        content[content.count - 1] = 0
        let source = try spool(content, seed: 93, pieces: 1...200_000)
        #expect(source.length == UInt64(content.count))
        #expect(source.allocatedLength <= 256 << 10)
        #expect(try source.read(FileRange(5 << 20, length: 2)) == [1, 0])
    }

    @Test func aRequestToStopEndsTheSpooling() throws {
        let ends = try makePipe()
        defer { close(ends.reading) }
        BackgroundThread.start {
            let block = [UInt8](repeating: 1, count: 200_000)
            _ = unsafe write(ends.writing, block, block.count)
            close(ends.writing)
        }
        var asked = 0
        let error = #expect(throws: ImageError.self) {
            try PipeSpool.spool(ends.reading, name: "pipe") { () throws(ImageError) in
                asked += 1
                if asked == 3 { throw ImageError(.cancelled, "stopped on request") }
            }
        }
        #expect(error?.code == .cancelled && asked == 3)
        var rest = [UInt8](repeating: 0, count: 200_000)
        while unsafe read(ends.reading, &rest, rest.count) > 0 {}
    }

    @Test func aRequestToStopIsHeardWhileNothingComes() throws {
        let ends = try makePipe()
        defer {
            close(ends.reading)
            close(ends.writing)
        }
        _ = unsafe write(ends.writing, [1, 2, 3] as [UInt8], 3)
        var asked = 0
        let error = #expect(throws: ImageError.self) {
            try PipeSpool.spool(ends.reading, name: "pipe") { () throws(ImageError) in
                asked += 1
                if asked == 3 { throw ImageError(.cancelled, "stopped on request") }
            }
        }
        #expect(error?.code == .cancelled && asked == 3)
    }

    @Test func aDescriptorThatCannotBeReadIsAnError() throws {
        let ends = try makePipe()
        defer {
            close(ends.reading)
            close(ends.writing)
        }
        let error = #expect(throws: ImageError.self) { try PipeSpool.spool(ends.writing, name: "wrong end") {} }
        #expect(error?.code == .inputOutput && error?.path == "wrong end" && error?.operation == "read")
    }
}

@Suite struct StreamSinkTests {
    static let content = SampleDisk.mixed(length: 3 << 20 | 1024, seed: 94)

    /// The metadata of an image, learned in a run of its own.
    private func metadata(_ variant: OutputVariant) throws -> FileSource {
        let spool = try MetadataSpool()
        _ = try conversion(of: Self.content, to: variant).run(into: spool)
        return try spool.spooled()
    }

    /// Everything that arrives at the other end of a pipe while `body` writes.
    private func received(_ body: (Int32) throws -> Void) throws -> [UInt8] {
        let ends = try makePipe()
        let bytes = Mutex<[UInt8]>([])
        let reader = ThreadGroup(1)
        BackgroundThread.start {
            var block = [UInt8](repeating: 0, count: 50_000)
            while true {
                let count = unsafe read(ends.reading, &block, block.count)
                guard count > 0 else { break }
                bytes.withLock { $0 += block[..<count] }
            }
            close(ends.reading)
            reader.leave()
        }
        do {
            defer { close(ends.writing) }
            try body(ends.writing)
        }
        reader.wait()
        return bytes.withLock { $0 }
    }

    @Test(arguments: OutputVariant.all) func aPipeGetsTheBytesThatAFileGets(variant: OutputVariant) throws {
        let directory = try TemporaryDirectory()
        let file = try FileSink(path: directory.file("image"), replacing: false)
        let expected = try conversion(of: Self.content, to: variant).run(into: file)
        try file.commit()
        let metadata = try metadata(variant)
        let bytes = try received { descriptor in
            let sink = StreamSink(descriptor: descriptor, name: "standard output", metadata: metadata)
            let result = try conversion(of: Self.content, to: variant, threads: 3).run(into: sink)
            #expect(result == expected)
        }
        #expect(try bytes == contents(of: directory.file("image")))
    }

    @Test(arguments: OutputVariant.all) func shortAndInterruptedWritesDoNotShow(variant: OutputVariant) throws {
        let metadata = try metadata(variant)
        let calls = SystemCalls.faulty(write: { call, length in
            call % 2 == 0 ? .error(EINTR) : .short(max(1, length / (1 + call % 5)))
        })
        let bytes = try received { descriptor in
            let sink = StreamSink(descriptor: descriptor, name: "standard output", metadata: metadata, calls: calls)
            _ = try conversion(of: Self.content, to: variant).run(into: sink)
        }
        #expect(try bytes == expectedBytes(of: Self.content, variant))
    }

    @Test(arguments: OutputVariant.all) func aReaderThatGoesAwayIsAnError(variant: OutputVariant) throws {
        signal(SIGPIPE, SIG_IGN)
        let metadata = try metadata(variant)
        let ends = try makePipe()
        defer { close(ends.writing) }
        close(ends.reading)
        let sink = StreamSink(descriptor: ends.writing, name: "standard output", metadata: metadata)
        let error = #expect(throws: ImageError.self) { try conversion(of: Self.content, to: variant).run(into: sink) }
        #expect(error?.code == .readerGone && error?.path == "standard output")
        #expect(error?.operation == "write" && error?.systemError == EPIPE)
    }

    @Test(arguments: OutputVariant.all) func oneRunServesAPipeWhereTheFormatGoesForward(variant: OutputVariant) throws {
        let forward = try conversion(of: Self.content, to: variant, threads: 3).goingForward()
        let names = ["raw", "vhd-fixed", "vmdk-streamOptimized", "raw.tar.gz", "raw.gz", "raw.zst"]
        #expect((forward != nil) == names.contains(variant.name))
        guard let forward else { return }
        let bytes = try received { descriptor in
            let sink = StreamSink(descriptor: descriptor, name: "standard output", metadata: nil)
            let result = try forward.run(into: sink)
            #expect(try result == conversion(of: Self.content, to: variant).run(into: NullSink()))
        }
        #expect(try bytes == expectedBytes(of: Self.content, variant))
    }

    /// A raw image has no metadata that could disagree; where other content happens to have room in the same places, the results
    /// of the two runs differ, and the command compares them.
    @Test(arguments: OutputVariant.all.filter { $0.format != .raw }) func aSourceThatIsAnotherInTheSecondRunIsAnError(
        variant: OutputVariant
    ) throws {
        let metadata = try metadata(variant)
        let other = Self.content + [UInt8](repeating: 7, count: 4 << 20)
        _ = try received { descriptor in
            let sink = StreamSink(descriptor: descriptor, name: "standard output", metadata: metadata)
            do {
                let written = try conversion(of: other, to: variant).run(into: sink)
                #expect(try written != conversion(of: Self.content, to: variant).run(into: NullSink()))
            } catch is ImageError {}
        }
    }

    @Test func aNullSinkTakesEverything() throws {
        for variant in OutputVariant.all {
            let result = try conversion(of: Self.content, to: variant).run(into: NullSink())
            let memory = MemorySink()
            #expect(try result == conversion(of: Self.content, to: variant).run(into: memory))
        }
    }
}
