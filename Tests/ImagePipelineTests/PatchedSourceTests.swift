import ImageModel
import LatheTestSupport
import Testing

@testable import ImageFormats
@testable import ImagePipeline

/// A source with patches over it, held against the same bytes written.
@Suite struct PatchedSourceTests {
    /// A sparse file with patches in it and behind its end, and what it must look like.
    static func sample(seed: UInt64) throws -> (patched: PatchedSource, expected: SparseMemory) {
        var generator = SeededGenerator(seed: seed)
        var original = SparseMemory()
        for _ in 0..<6 {
            let place = UInt64.random(in: 0..<100_000, using: &generator)
            original.write(SampleDisk.full(length: 3000, seed: place), at: place)
        }
        var expected = original
        var steps: [RepairStep] = []
        var place: UInt64 = 0
        while place < 130_000 {
            place += UInt64.random(in: 0...20_000, using: &generator)
            let bytes = SampleDisk.full(length: Int.random(in: 1...5000, using: &generator), seed: place)
            steps.append(.write(MetadataSegment(at: FileOffset(place), bytes)))
            expected.write(bytes, at: place)
            place += UInt64(bytes.count)
        }
        steps.shuffle(using: &generator)
        let length = max(place, original.length) + 5000
        expected.truncate(to: length)
        let plan = RepairPlan(length: length, actions: [], steps)
        return (try RecordedRepair(plan, in: MemorySpool()).patched(original), expected)
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>) func bytesAreThoseOfThePatchedFile(seed: UInt64) throws {
        let (patched, expected) = try Self.sample(seed: seed)
        #expect(patched.length == expected.length)
        #expect(try patched.read(FileRange(0, length: patched.length)) == expected[0..<expected.length])
        var generator = SeededGenerator(seed: seed + 100)
        for _ in 0..<50 {
            let start = UInt64.random(in: 0..<patched.length, using: &generator)
            let end = UInt64.random(in: start...patched.length, using: &generator)
            let lent = try patched.withBytes(of: FileRange(start, length: end - start)) { (bytes) throws(ImageError) in
                unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
            }
            #expect(lent == expected[start..<end], "\(start) to \(end)")
        }
        #expect(throws: ImageError.self) { try patched.read(FileRange(1, length: patched.length)) }
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>) func noByteIsInAHole(seed: UInt64) throws {
        let (patched, expected) = try Self.sample(seed: seed)
        var place: UInt64 = 0
        while place < patched.length {
            let next = try patched.nextData(from: FileOffset(place), limit: FileOffset(patched.length))
            let dataStart = next.map(\.start.bytes) ?? patched.length
            #expect(expected[place..<dataStart].isZero)
            guard let next else { break }
            #expect(next.start.bytes >= place && !next.isEmpty && next.end.bytes <= patched.length)
            place = next.end.bytes
        }
    }

    @Test func writesThatMeetAreNoPlan() {
        let steps: [RepairStep] = [
            .write(MetadataSegment(at: FileOffset(10), [1, 2, 3])), .write(MetadataSegment(at: FileOffset(12), [4])),
        ]
        let error = #expect(throws: ImageError.self) {
            try RecordedRepair(RepairPlan(length: 20, actions: [], steps), in: MemorySpool())
        }
        #expect(error?.code == .verificationFailed && error?.offset == FileOffset(12))
    }
}
