import Glibc
import ImageModel
import LatheTestSupport
import Testing

@testable import ImageFiles

@Suite struct FileSourceTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test func mappedAndUnmappedReadTheSame() throws {
        let seed: UInt64 = 71
        let content = SampleDisk.mixed(length: 300_001, seed: seed)
        let path = try directory.file("image", holding: content)
        let sources = [try FileSource(path: path), try FileSource(path: path, mapped: false)]
        var generator = SeededGenerator(seed: seed)
        for source in sources {
            #expect(source.length == UInt64(content.count) && source.name == path)
            #expect(try source.read(FileRange(0, length: source.length)) == content)
        }
        for _ in 0..<200 {
            let start = Int.random(in: 0...content.count, using: &generator)
            let end = Int.random(in: start...content.count, using: &generator)
            let range = FileRange(UInt64(start), length: UInt64(end - start))
            for source in sources {
                #expect(try source.read(range) == Array(content[start..<end]), "seed \(seed): \(range)")
                var buffer = [UInt8](repeating: 0xAA, count: end - start + 8)
                try source.read(range, into: &buffer, at: 5)
                let expected = [0xAA, 0xAA, 0xAA, 0xAA, 0xAA] + content[start..<end] + [0xAA, 0xAA, 0xAA]
                #expect(buffer == expected, "seed \(seed): \(range)")
            }
        }
        for source in sources { try source.requireUnchanged() }
    }

    @Test(arguments: [true, false]) func aRangePastTheEndIsRefused(mapped: Bool) throws {
        let path = try directory.file("image", holding: [UInt8](repeating: 1, count: 5000))
        let source = try FileSource(path: path, mapped: mapped)
        for (start, length): (UInt64, UInt64) in [
            (0, 5001), (4999, 2), (5001, 0), (.max, 1), (1, .max), (1 << 62, 1 << 62),
        ] {
            let error = #expect(throws: ImageError.self) { try source.read(FileRange(start, length: length)) }
            #expect(error?.code == .truncated && error?.path == path)
            var buffer: [UInt8] = []
            #expect(throws: ImageError.self) { try source.read(FileRange(start, length: length), into: &buffer, at: 0) }
        }
        #expect(try source.read(FileRange(5000, length: 0)).isEmpty)
    }

    @Test(arguments: [true, false]) func anEmptyFileIsASource(mapped: Bool) throws {
        let source = try FileSource(path: try directory.file("empty", holding: []), mapped: mapped)
        #expect(source.length == 0)
        #expect(try source.read(FileRange(0, length: 0)).isEmpty)
        #expect(try source.nextData(from: FileOffset(0), limit: FileOffset(0)) == nil)
        try source.requireUnchanged()
    }

    @Test(arguments: ["", "/dev/shm"]) func holesAreFoundAndNoDataIsMissed(parent: String) throws {
        let home = parent.isEmpty ? directory : try TemporaryDirectory(in: parent)
        let path = home.file("sparse")
        let length: UInt64 = 8 << 20
        let places: [UInt64] = [1 << 20, 3 << 20 | 4096, (5 << 20) - 1]
        try withDescriptor(path, O_RDWR | O_CREAT) { descriptor in
            #expect(ftruncate(descriptor, off_t(length)) == 0)
            for place in places { #expect(unsafe pwrite(descriptor, [7], 1, off_t(place)) == 1) }
        }
        let source = try FileSource(path: path)
        var runs: [Range<UInt64>] = []
        var position = FileOffset(0)
        while let run = try source.nextData(from: position, limit: FileOffset(length)) {
            #expect(run.start >= position && !run.isEmpty && run.end.bytes <= length)
            runs.append(run.start.bytes..<run.end.bytes)
            position = run.end
        }
        for place in places { #expect(runs.contains { $0.contains(place) }, "byte \(place)") }
        #expect(runs.map(\.count).reduce(0, +) <= 1 << 20, "holes are told")
        #expect(source.allocatedLength < 1 << 20)
        let first = try source.nextData(from: FileOffset(0), limit: FileOffset(1 << 19))
        #expect(first == nil, "a limit before the first data")
        let inside = try source.nextData(from: FileOffset(places[0]), limit: FileOffset(places[0] + 1))
        #expect(inside == FileRange(places[0], length: 1))
    }

    @Test(arguments: [
        DataRuns(data: { Int64($1) }, hole: { Int64($1) }), DataRuns(data: { Int64($1) }, hole: { _, _ in 0 }),
        DataRuns(data: { _, _ in 0 }, hole: { Int64($1) + 1 }),
        DataRuns(data: { Int64($1) + 1 }, hole: { Int64($1) - 1 }),
        DataRuns(data: { Int64($1) + 8192 }, hole: { Int64($1) + 12_288 }),
        DataRuns(
            data: { _, _ in
                errno = ENXIO
                return -1
            }, hole: { Int64($1) + 12_288 }),
    ]) func aFileSystemThatContradictsItselfHasDataEverywhere(runs: DataRuns) throws {
        let directory = try TemporaryDirectory()
        let path = try directory.file("file", holding: [UInt8](repeating: 1, count: 10_000))
        let source = try FileSource(
            FileDescriptor(path: path, flags: O_RDONLY), name: path, mapped: false, runs: runs)
        var position: UInt64 = 0
        var rounds = 0
        while let run = try source.nextData(from: FileOffset(position), limit: FileOffset(10_000)) {
            rounds += 1
            try #require(run.end.bytes > position && rounds <= 10_000)
            #expect(run.start.bytes == position)
            position = run.end.bytes
        }
        #expect(position == 10_000)
    }

    @Test(arguments: ["", "/dev/shm"]) func readingAHoleAllocatesNothing(parent: String) throws {
        let home = parent.isEmpty ? directory : try TemporaryDirectory(in: parent)
        let path = home.file("hole")
        try withDescriptor(path, O_RDWR | O_CREAT) { #expect(ftruncate($0, 8 << 20) == 0) }
        #expect(try FileSource(path: path).read(FileRange(0, length: 8 << 20)).allSatisfy { $0 == 0 })
        #expect(try FileSource(path: path).allocatedLength == 0)
    }

    @Test func whatIsNoImageIsRefusedWithASentence() throws {
        #expect(unsafe mkfifo(directory.file("pipe"), 0o600) == 0)
        let cases: [(path: String, code: ImageError.Code, text: String)] = [
            (directory.path, .unsupported, "a directory"),
            (directory.file("pipe"), .unsupported, "neither a file nor a block device"),
            ("/dev/null", .unsupported, "neither a file nor a block device"),
            (directory.file("missing"), .inputOutput, "No such file or directory"),
        ]
        for one in cases {
            let error = #expect(throws: ImageError.self) { _ = try FileSource(path: one.path) }
            #expect(error?.code == one.code && error?.path == one.path)
            #expect(error?.message.contains(one.text) == true, "\(error.map { "\($0)" } ?? "")")
        }
    }

    @Test(.enabled(if: geteuid() != 0, "root may read everything")) func anUnreadableFileIsAnError() throws {
        let path = try directory.file("secret", holding: [1])
        #expect(unsafe chmod(path, 0) == 0)
        let error = #expect(throws: ImageError.self) { _ = try FileSource(path: path) }
        #expect(error?.code == .inputOutput && error?.systemError == EACCES && error?.operation == "open")
    }

    @Test func aChangeWhoseTimeWasPutBackIsSeenAndAnotherNameIsNone() throws {
        let path = try directory.file("file", holding: [UInt8](repeating: 1, count: 4096))
        let source = try FileSource(path: path)
        let passing = try FileSource(path: path, sharing: .anybody)
        #expect(unsafe link(path, directory.file("another")) == 0)
        try source.requireUnchanged()
        #expect(unsafe unlink(directory.file("another")) == 0)
        #expect(unsafe chmod(path, 0o600) == 0)
        try source.requireUnchanged()

        let written = try FileSource(path: path)
        var status = stat()
        try withDescriptor(path) { descriptor in
            #expect(unsafe fstat(descriptor, &status) == 0)
            #expect(unsafe pwrite(descriptor, [2], 1, 100) == 1)
            let times = [status.st_atim, status.st_mtim]
            #expect(unsafe futimens(descriptor, times) == 0)
        }
        let error = #expect(throws: ImageError.self) { try written.requireUnchanged() }
        #expect(error?.code == .sourceChanged)
        try passing.requireUnchanged()
    }

    @Test(arguments: [true, false]) func aChangeSinceOpeningIsSeen(mapped: Bool) throws {
        let changes: [(String, (Int32) -> Bool)] = [
            ("grown", { ftruncate($0, 10_000) == 0 }), ("cut", { ftruncate($0, 10) == 0 }),
            (
                "rewritten",
                { descriptor in
                    let times = [
                        timespec(tv_sec: 1_000_000_000, tv_nsec: 0), timespec(tv_sec: 1_000_000_000, tv_nsec: 5),
                    ]
                    return unsafe pwrite(descriptor, [2], 1, 0) == 1 && futimens(descriptor, times) == 0
                }
            ),
        ]
        for (name, change) in changes {
            let path = try directory.file(name, holding: [UInt8](repeating: 1, count: 5000))
            let source = try FileSource(path: path, mapped: mapped)
            try source.requireUnchanged()
            try withDescriptor(path) { #expect(change($0)) }
            let error = #expect(throws: ImageError.self, "\(name)") { try source.requireUnchanged() }
            #expect(error?.code == .sourceChanged && error?.path == path)
            #expect(error?.message.contains("start again") == true)
        }
    }
}
