import ImageModel
import LatheTestSupport
import Testing

@Suite struct ExtentListTests {
    private func extent(_ start: UInt64, _ length: UInt64, _ mapping: Mapping) -> MappedExtent {
        MappedExtent(range: GuestRange(start, length: length), mapping: mapping)
    }

    private func joined(_ extents: MappedExtent...) -> [MappedExtent] {
        var list = ExtentList()
        for extent in extents { list.append(extent) }
        #expect(list.count == list.extents.count)
        return list.extents
    }

    @Test func neighboursOfOneKindJoin() {
        #expect(joined(extent(0, 4, .zero), extent(4, 6, .zero)) == [extent(0, 10, .zero)])
        #expect(joined(extent(0, 4, .hole), extent(4, 6, .hole)) == [extent(0, 10, .hole)])
        let near = extent(0, 4, .raw(FileOffset(100)))
        #expect(joined(near, extent(4, 6, .raw(FileOffset(104)))) == [extent(0, 10, .raw(FileOffset(100)))])
    }

    @Test func whatDoesNotGoOnStaysApart() {
        let unit = CompressedUnit(
            stored: FileRange(512, length: 9), content: GuestRange(0, length: 4), method: .deflate)
        let pairs: [(Mapping, Mapping)] = [
            (.zero, .hole), (.hole, .zero), (.raw(FileOffset(100)), .raw(FileOffset(105))),
            (.raw(FileOffset(100)), .raw(FileOffset(100))), (.raw(FileOffset(100)), .zero),
            (.compressed(unit), .compressed(unit)),
        ]
        for (first, second) in pairs {
            let both = [extent(0, 4, first), extent(4, 4, second)]
            #expect(joined(both[0], both[1]) == both)
        }
        let apart = [extent(0, 4, .zero), extent(5, 4, .zero)]
        #expect(joined(apart[0], apart[1]) == apart, "a gap is not bridged")
    }

    @Test func emptyExtentsAreDropped() {
        #expect(joined(extent(0, 0, .zero)).isEmpty)
        #expect(joined(extent(0, 4, .zero), extent(4, 0, .raw(FileOffset(0))), extent(4, 4, .zero)).count == 1)
    }

    @Test func joiningLosesNoByte() {
        let seed: UInt64 = 23
        var generator = SeededGenerator(seed: seed)
        var list = ExtentList()
        var expected: [Mapping] = []
        for _ in 0..<500 {
            let length = UInt64.random(in: 0...3, using: &generator)
            let start = UInt64(expected.count)
            let kinds: [Mapping] = [.zero, .hole, .raw(FileOffset(start)), .raw(FileOffset(start + 50))]
            let kind = kinds[Int.random(in: 0..<4, using: &generator)]
            list.append(extent(start, length, kind))
            for step in 0..<length {
                if case .raw(let offset) = kind { expected.append(.raw(offset + step)) } else { expected.append(kind) }
            }
        }
        var seen: [Mapping] = []
        for extent in list.extents {
            #expect(extent.range.start.bytes == UInt64(seen.count), "seed \(seed)")
            for step in 0..<extent.range.length {
                if case .raw(let offset) = extent.mapping {
                    seen.append(.raw(offset + step))
                } else {
                    seen.append(extent.mapping)
                }
            }
        }
        #expect(seen == expected, "seed \(seed)")
        #expect(
            zip(list.extents, list.extents.dropFirst()).allSatisfy { one, two in
                var grown = one
                return !grown.absorb(two)
            }, "seed \(seed): neighbours that would join are left")
    }
}

@Suite struct MetadataSegmentTests {
    /// The content piece by piece, each piece where the last one ended and no longer than asked for.
    private func pieces(_ segment: MetadataSegment, _ length: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        try segment.forEachPiece(ofAtMost: length) { (piece, offset) throws(ImageError) in
            #expect(!piece.isEmpty)
            #expect(offset == segment.offset + UInt64(bytes.count))
            bytes += piece
        }
        #expect(UInt64(bytes.count) == segment.length)
        return bytes
    }

    @Test func plainBytesComeAsOnePiece() throws {
        #expect(try pieces(MetadataSegment(at: FileOffset(9), [1, 2, 3]), 1) == [1, 2, 3])
        #expect(try pieces(MetadataSegment(at: FileOffset(9), []), 64).isEmpty)
    }

    @Test func aRepeatedPatternIsTheSameInEveryPieceLength() throws {
        for pattern: [UInt8] in [[0xFF], [1, 2, 3], Array(0..<64)] {
            for count: UInt64 in [0, 1, 2, 7, 100] {
                let whole = (0..<count).flatMap { _ in pattern }
                let segment = MetadataSegment(at: FileOffset(4096), repeating: pattern, count: count)
                for length in [1, 2, 3, 64, 65, 1 << 20] { #expect(try pieces(segment, length) == whole) }
            }
        }
        #expect(try pieces(MetadataSegment(at: FileOffset(0), repeating: [], count: 5), 64).isEmpty)
    }

    @Test func ascendingNumbersAreTheSameInEveryPieceLength() throws {
        for (first, step, count): (UInt32, UInt32, UInt64) in [
            (0, 1, 300), (7, 128, 33), (5, 0, 4), (1, 1, 0), (.max, 9, 1),
        ] {
            let segment = MetadataSegment(at: FileOffset(64), ascendingFrom: first, by: step, count: count)
            var whole: [UInt8] = []
            for index in 0..<UInt32(count) {
                var number = [UInt8](repeating: 0, count: 4)
                number.storeLittleEndian(first + index * step, at: 0)
                whole += number
            }
            for length in [1, 4, 5, 64, 1 << 20] { #expect(try pieces(segment, length) == whole) }
        }
    }

    @Test func theLastAscendingNumberMayBeTheLargestThereIs() throws {
        let segment = MetadataSegment(at: FileOffset(0), ascendingFrom: .max - 2, by: 2, count: 2)
        #expect(try pieces(segment, 64) == [0xFD, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])
    }

    @Test func anErrorOfTheReceiverEndsTheWalk() {
        let segment = MetadataSegment(at: FileOffset(0), repeating: [1, 2], count: 100)
        var calls = 0
        let error = #expect(throws: ImageError.self) {
            try segment.forEachPiece(ofAtMost: 4) { (_, _) throws(ImageError) in
                calls += 1
                if calls == 3 { throw ImageError(.inputOutput, "full") }
            }
        }
        #expect(error?.code == .inputOutput && calls == 3)
    }
}
