import Glibc
import ImageFiles
import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Synchronization
import Testing

/// A file sink that clones, on any file system: the kernel's part is played by copies.
@Suite struct FileCloningTests {
    static let content = SampleDisk.alternating(length: 1 << 20 | 1000, period: 40 << 10)

    /// What the system answers to the n-th clone, the first being the question whether it can.
    private static func calls(_ answer: @escaping @Sendable (Int) -> Int32) -> SystemCalls {
        var calls = SystemCalls.live
        let counter = Counter()
        calls.clone = { from, offset, length, to, place in
            let number = answer(counter.next())
            guard number == 0 else {
                errno = number
                return -1
            }
            var bytes = [UInt8](repeating: 0, count: length == 0 ? 4096 : length)
            let count = unsafe pread(from, &bytes, bytes.count, off_t(offset))
            return unsafe pwrite(to, bytes, count, off_t(place)) == count ? 0 : -1
        }
        return calls
    }

    /// Converts a file to a file, and answers what was cloned and what was made.
    private func convert(_ calls: SystemCalls, _ reflink: ReflinkPolicy = .auto) throws -> (UInt64, [UInt8]) {
        let directory = try TemporaryDirectory()
        let source = try FileSource(path: try directory.file("source", holding: Self.content))
        let sink = try FileSink(path: directory.file("image"), replacing: false, calls: calls)
        let result = try Conversion(try DiskImage(source, format: .raw), to: .qcow2, reflink: reflink).run(into: sink)
        try sink.commit()
        return (result.clonedBytes, try contents(of: directory.file("image")))
    }

    private func expected() throws -> [UInt8] {
        try expectedBytes(of: Self.content, try #require(OutputVariant.all.first { $0.format == .qcow2 }))
    }

    @Test func theFirstBlockThatWasTriedIsGoneAgain() throws {
        let (cloned, bytes) = try convert(Self.calls { _ in 0 })
        #expect(cloned > Self.content.count / 2)
        #expect(try bytes == expected())
    }

    @Test func anInterruptedCloneIsTriedAgain() throws {
        let (cloned, bytes) = try convert(Self.calls { $0 % 2 == 0 ? EINTR : 0 })
        #expect(cloned > 0)
        #expect(try bytes == expected())
    }

    @Test(arguments: [EOPNOTSUPP, EXDEV, EINVAL, ENOTTY, EPERM, ETXTBSY, EIO])
    func whatCanNotBeClonedFromTheStartIsWrittenUnlessAllShouldBe(number: Int32) throws {
        let (cloned, bytes) = try convert(Self.calls { _ in number })
        #expect(cloned == 0)
        #expect(try bytes == expected())
        let error = #expect(throws: ImageError.self) { try convert(Self.calls { _ in number }, .always) }
        let reason =
            switch number {
            case EXDEV: "different file systems"
            case EOPNOTSUPP, ENOTTY: "has no reflinks"
            default: "the system refuses it ("
            }
        #expect(error?.code == .unsupported && error?.message.contains(reason) == true)
    }

    @Test(arguments: [EOPNOTSUPP, EXDEV, EINVAL]) func whatIsRefusedLaterIsWritten(number: Int32) throws {
        for refused in 1..<4 {
            let (_, bytes) = try convert(Self.calls { $0 >= refused ? number : 0 })
            #expect(try bytes == expected())
        }
    }

    @Test(arguments: [ENOSPC, EDQUOT, EIO]) func aCloneThatFailsIsAnErrorAndNotTriedAsAWrite(number: Int32) throws {
        let error = #expect(throws: ImageError.self) { try convert(Self.calls { $0 >= 1 ? number : 0 }) }
        #expect(error?.code == .inputOutput && error?.systemError == number)
        #expect(error?.operation == "ioctl FICLONERANGE")
    }

    @Test func whatIsNoRegularFileIsNotTried() throws {
        let directory = try TemporaryDirectory()
        let counter = Counter()
        let sink = try FileSink(
            path: directory.file("image"), replacing: false, calls: Self.calls { _ in Int32(counter.next()) })
        #expect(sink.cloning(of: SparseMemory(Self.content)) == .unavailable("the source is not a file"))
        #expect(counter.count == 0)
        #expect(NullSink().cloning(of: SparseMemory(Self.content)) == .unavailable("the destination is not a file"))
    }
}
