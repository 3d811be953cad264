import CImageKernels
import Glibc
import ImageFiles
import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Synchronization
import Testing

/// A mapped file that is cut short under its reader: an error, and never a signal that ends the process.
@Suite struct FaultGuardTests {
    static let length = 64 << 12
    static let content = SampleDisk.full(length: length, seed: 81)
    static let longContent = [[UInt8]](repeating: content, count: 8).flatMap { $0 }
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// A file that was cut to one page after it was opened.
    private func cutSource(_ name: String, mapped: Bool = true) throws -> FileSource {
        let path = try directory.file(name, holding: Self.content)
        let source = try FileSource(path: path, mapped: mapped)
        try withDescriptor(path) { #expect(ftruncate($0, 4096) == 0) }
        return source
    }

    @Test(arguments: [true, false]) func readingWhatIsGoneIsAnErrorWithThePath(mapped: Bool) throws {
        let source = try cutSource("image", mapped: mapped)
        #expect(try source.lent(FileRange(0, length: 4096)).count == 4096, "what is left can be read")
        let error = #expect(throws: ImageError.self) { try source.lent(FileRange(8192, length: 100)) }
        #expect(error?.code == .sourceChanged && error?.path == directory.file("image"))
        let after = #expect(throws: ImageError.self) { try source.requireUnchanged() }
        #expect(after?.code == .sourceChanged)
    }

    @Test func copyingWhatIsGoneIsAnError() throws {
        let source = try cutSource("image")
        var buffer = [UInt8](repeating: 0, count: Self.length)
        let error = #expect(throws: ImageError.self) {
            try source.read(FileRange(0, length: UInt64(Self.length)), into: &buffer, at: 0)
        }
        #expect(error?.code == .sourceChanged)
    }

    @Test func anErrorThatTheZerosLedToIsNotTheOneThatIsReported() throws {
        let source = try cutSource("image")
        let error = #expect(throws: ImageError.self) {
            try source.withBytes(of: FileRange(8192, length: 512)) { (bytes) throws(ImageError) in
                guard bytes[0] != 0 else { throw ImageError(.corrupt, "a zero where none may be") }
            }
        }
        #expect(error?.code == .sourceChanged)
    }

    @Test func otherMappingsStayGood() throws {
        let good = try FileSource(path: try directory.file("good", holding: Self.content))
        let bad = try cutSource("bad")
        #expect(throws: ImageError.self) { try bad.lent(FileRange(UInt64(Self.length) - 1, length: 1)) }
        #expect(try good.lent(FileRange(0, length: good.length)) == Self.content)
        try good.requireUnchanged()
        let second = try FileSource(path: directory.file("bad"))
        #expect(try second.lent(FileRange(0, length: 4096)).count == 4096)
    }

    @Test func faultsOfManyThreadsAtOnceAreAllErrors() throws {
        for round in 0..<10 {
            let source = try cutSource("image\(round)")
            let codes = Mutex<[ImageError.Code?]>([])
            inThreads(8) { thread in
                for page in 1..<UInt64(64) {
                    // Half of the threads go through the same pages, half the other way round.
                    let place = (thread % 2 == 0 ? page : 64 - page) * 4096
                    do throws(ImageError) {
                        _ = try source.lent(FileRange(place, length: 4096))
                        codes.withLock { $0.append(nil) }
                    } catch {
                        codes.withLock { $0.append(error.code) }
                    }
                }
            }
            #expect(codes.withLock { $0 } == [ImageError.Code?](repeating: .sourceChanged, count: 8 * 63))
        }
    }

    @Test func moreMappingsThanGuardsAreReadIntoBuffers() throws {
        let content = SampleDisk.full(length: 10_000, seed: 83)
        let path = try directory.file("image", holding: content)
        var sources: [FileSource] = []
        for _ in 0..<Int(lathe_guard_capacity) + 20 { sources.append(try FileSource(path: path)) }
        for source in sources {
            #expect(try source.lent(FileRange(0, length: source.length)) == content)
            #expect(try source.lent(FileRange(9000, length: 1000)) == Array(content[9000...]))
        }
        sources.removeAll()
        #expect(try FileSource(path: path).lent(FileRange(1, length: 2)) == Array(content[1..<3]))
    }

    @Test(arguments: OutputVariant.all) func aConversionWhoseSourceIsCutEndsWithAnErrorAndNoFile(variant: OutputVariant)
        throws
    {
        let path = try directory.file("source", holding: Self.longContent)
        let source = try FileSource(path: path)
        let image = try DiskImage(source, format: .raw)
        try withDescriptor(path) { #expect(ftruncate($0, 1 << 20) == 0) }
        func convert() throws {
            let sink = try FileSink(path: directory.file("image"), replacing: false)
            _ = try Conversion(
                image, to: variant.format, options: FormatOptions(variant.options),
                work: WorkOptions(threads: 3, chunkSize: 256 << 10)
            ).run(into: sink)
            try sink.commit()
        }
        let error = #expect(throws: ImageError.self) { try convert() }
        #expect(error?.code == .sourceChanged)
        #expect(directory.names == ["source"])
    }
}

/// Runs `body` on threads of its own, numbered from 0, and waits for all.
func inThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let running = ThreadGroup(count)
    for number in 0..<count {
        BackgroundThread.start {
            body(number)
            running.leave()
        }
    }
    running.wait()
}

/// Lets one thread wait until others are through.
final class ThreadGroup: Sendable {
    private let left: Mutex<Int>

    init(_ count: Int) { left = Mutex(count) }

    func leave() { left.withLock { $0 -= 1 } }

    func wait() { while left.withLock({ $0 > 0 }) { usleep(500) } }
}

extension FileSource {
    /// The bytes of a range out of the mapping, where there is one; `read` would copy them past it.
    fileprivate func lent(_ range: FileRange) throws(ImageError) -> [UInt8] {
        try withBytes(of: range) { (bytes) throws(ImageError) in
            unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
        }
    }
}
