import Glibc
import ImageFiles
import ImageModel
import ImagePipeline
import LatheTestSupport
import Testing

/// Real conversions into files whose writes fail, fall short or are interrupted.
@Suite struct WriteFaultTests {
    static let content = SampleDisk.alternating(length: 768 << 10 | 512, period: 40 << 10)

    /// Runs a conversion into a file, and lets it appear if it went well.
    private func run(_ variant: OutputVariant, _ path: String, _ calls: SystemCalls, unnamed: Bool = true) throws {
        let sink = try FileSink(path: path, replacing: false, calls: calls, unnamed: unnamed)
        _ = try conversion(of: Self.content, to: variant).run(into: sink)
        try sink.commit()
    }

    private func writeCount(_ variant: OutputVariant, _ directory: TemporaryDirectory) throws -> Int {
        let counter = Counter()
        try run(variant, directory.file("whole"), .faulty(counter: counter))
        #expect(unsafe unlink(directory.file("whole")) == 0)
        return counter.count
    }

    /// What a person must read in the error of each failure.
    private static let advice: [Int32: String] = [
        ENOSPC: "free some space", EDQUOT: "free some space", EFBIG: "limit of this process", EIO: "Input/output error",
    ]

    @Test(arguments: OutputVariant.all) func everyWriteThatFailsIsAClearErrorAndLeavesNothing(variant: OutputVariant)
        throws
    {
        let directory = try TemporaryDirectory()
        let path = directory.file("image")
        let numbers = Self.advice.keys.sorted()
        for failing in 0..<(try writeCount(variant, directory)) {
            let number = numbers[failing % numbers.count]
            let calls = SystemCalls.faulty(write: { call, _ in call == failing ? .error(number) : .none })
            let error = #expect(throws: ImageError.self) { try run(variant, path, calls, unnamed: failing % 2 == 0) }
            #expect(error?.code == .inputOutput && error?.path == path, "write \(failing)")
            #expect(error?.operation == "pwrite" && error?.systemError == number && error?.offset != nil)
            let text = error.map { "\($0)" } ?? ""
            #expect(
                text.contains(path) && text.contains("pwrite") && text.contains(Self.advice[number] ?? "?"), "\(text)")
            #expect(directory.names.isEmpty, "write \(failing)")
        }
    }

    @Test(arguments: OutputVariant.all) func everyKindOfFailureAtTheFirstWriteSaysWhatToDo(variant: OutputVariant)
        throws
    {
        let directory = try TemporaryDirectory()
        for (number, advice) in Self.advice {
            let calls = SystemCalls.faulty(write: { _, _ in .error(number) })
            let error = #expect(throws: ImageError.self) { try run(variant, directory.file("image"), calls) }
            #expect(error?.systemError == number && error?.message.contains(advice) == true)
        }
        #expect(directory.names.isEmpty)
    }

    @Test(arguments: OutputVariant.all) func aWriteThatTakesNothingIsAnErrorAndNoEndlessLoop(variant: OutputVariant)
        throws
    {
        let directory = try TemporaryDirectory()
        let calls = SystemCalls.faulty(write: { call, _ in call == 1 ? .short(0) : .none })
        let error = #expect(throws: ImageError.self) { try run(variant, directory.file("image"), calls) }
        #expect(error?.message.contains("no byte was taken") == true)
        #expect(directory.names.isEmpty)
    }

    @Test(arguments: OutputVariant.all) func interruptionsDoNotShow(variant: OutputVariant) throws {
        let directory = try TemporaryDirectory()
        try run(variant, directory.file("image"), .faulty(write: { call, _ in call % 3 != 2 ? .error(EINTR) : .none }))
        #expect(try contents(of: directory.file("image")) == expectedBytes(of: Self.content, variant))
    }

    @Test(arguments: OutputVariant.all) func shortWritesOfAnyLengthDoNotShow(variant: OutputVariant) throws {
        let directory = try TemporaryDirectory()
        let seed: UInt64 = 61
        let calls = SystemCalls.faulty(write: { call, length in
            var generator = SeededGenerator(seed: seed &+ UInt64(call))
            return length > 1 ? .short(Int.random(in: 1..<length, using: &generator)) : .none
        })
        try run(variant, directory.file("image"), calls)
        #expect(try contents(of: directory.file("image")) == expectedBytes(of: Self.content, variant), "seed \(seed)")
    }

    @Test(arguments: OutputVariant.all) func oneByteAtATimeIsEnough(variant: OutputVariant) throws {
        let directory = try TemporaryDirectory()
        var content = [UInt8](repeating: 0, count: 1 << 20)
        content.store(SampleDisk.full(length: 700, seed: 62), at: 300_000)
        let sink = try FileSink(
            path: directory.file("image"), replacing: false, calls: .faulty(write: { _, _ in .short(1) }))
        _ = try conversion(of: content, to: variant).run(into: sink)
        try sink.commit()
        #expect(try contents(of: directory.file("image")) == expectedBytes(of: content, variant))
    }

    @Test(arguments: OutputVariant.all) func aLengthOrNameThatCannotBeSettledLeavesNothing(variant: OutputVariant)
        throws
    {
        let directory = try TemporaryDirectory()
        for calls in [SystemCalls.faulty(ftruncate: ENOSPC), .faulty(rename: EIO)] {
            for unnamed in [true, false] {
                let error = #expect(throws: ImageError.self) {
                    try run(variant, directory.file("image"), calls, unnamed: unnamed)
                }
                #expect(error?.code == .inputOutput && error?.path == directory.file("image"))
                #expect(directory.names.isEmpty)
            }
        }
    }
}
