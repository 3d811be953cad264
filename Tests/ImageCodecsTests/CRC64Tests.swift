import ImageCodecs
import LatheTestSupport
import Testing

/// CRC-64/XZ as its definition says it: one bit at a time, and by square-and-multiply for zeros that nobody could count out.
enum ReferenceCRC64 {
    /// 0x42F0E1EBA9EA3693, the lowest coefficient first.
    private static let polynomial: UInt64 = (0..<64).reduce(0) { reversed, bit in
        reversed | ((0x42F0_E1EB_A9EA_3693 as UInt64) >> UInt64(bit) & 1) << UInt64(63 - bit)
    }

    static func checksum(_ bytes: [UInt8]) -> UInt64 { ~appended(bytes, to: ~0) }

    /// The shift register after some more bytes.
    static func appended(_ bytes: [UInt8], to register: UInt64) -> UInt64 {
        var register = register
        for byte in bytes {
            for bit in 0..<8 {
                let input = UInt64(byte >> bit & 1)
                let feedback = register & 1 ^ input
                register >>= 1
                if feedback == 1 { register ^= polynomial }
            }
        }
        return register
    }

    /// The shift register after `count` zero bytes: the matrix of one zero bit, squared as often as it takes.
    static func appendedZeros(_ count: UInt64, to register: UInt64) -> UInt64 {
        var matrix = [polynomial] + (0..<63).map { UInt64(1) << UInt64($0) }
        for _ in 0..<3 { matrix = squared(matrix) }
        var register = register
        var rest = count
        while rest != 0 {
            if rest & 1 == 1 { register = product(matrix, register) }
            matrix = squared(matrix)
            rest >>= 1
        }
        return register
    }

    private static func product(_ matrix: [UInt64], _ vector: UInt64) -> UInt64 {
        var sum: UInt64 = 0
        for bit in 0..<64 where vector >> UInt64(bit) & 1 == 1 { sum ^= matrix[bit] }
        return sum
    }

    private static func squared(_ matrix: [UInt64]) -> [UInt64] { matrix.map { product(matrix, $0) } }
}

@Suite struct CRC64Tests {
    @Test func theCheckValueIsThatOfTheCatalogue() {
        #expect(CRC64.checksum(Array("123456789".utf8).span) == 0x995D_C9BB_DF19_39FA)
        #expect(ReferenceCRC64.checksum(Array("123456789".utf8)) == 0x995D_C9BB_DF19_39FA)
        #expect(CRC64.checksum([UInt8]().span) == 0)
    }

    @Test func everyLengthAgreesWithTheDefinition() {
        let seed: UInt64 = 31
        var generator = SeededGenerator(seed: seed)
        for length in Array(0...300) + [1023, 1024, 1025, 4096, 20_000] {
            let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
            #expect(CRC64.checksum(bytes.span) == ReferenceCRC64.checksum(bytes), "seed \(seed), \(length) bytes")
        }
    }

    @Test func everyStartAgreesWithTheDefinition() {
        let bytes = SampleDisk.full(length: 600, seed: 32)
        for start in 0..<64 {
            let part = Array(bytes[start...])
            #expect(
                CRC64.checksum(bytes.span.extracting(start..<600)) == ReferenceCRC64.checksum(part), "from \(start)")
        }
    }

    @Test func continuingIsTheSameAsAllAtOnce() {
        let bytes = SampleDisk.mixed(length: 5000, seed: 33)
        let whole = CRC64.checksum(bytes.span)
        for cut in stride(from: 0, through: 5000, by: 37) {
            let first = CRC64.checksum(bytes.span.extracting(0..<cut))
            #expect(CRC64.checksum(bytes.span.extracting(cut..<5000), continuing: first) == whole)
        }
    }
}

@Suite struct CRC64SumTests {
    /// Cuts `bytes` at random, leaves out pieces of zeros at random, and adds the rest to some sums in random order.
    private func sum(of bytes: [UInt8], _ generator: inout SeededGenerator) -> CRC64Sum {
        let cuts = (0..<Int.random(in: 0...20, using: &generator)).map { _ in
            Int.random(in: 0...bytes.count, using: &generator)
        }
        let borders = ([0, bytes.count] + cuts).sorted()
        var pieces = zip(borders, borders.dropFirst()).map { $0..<$1 }
        pieces.removeAll { range in bytes[range].allSatisfy { $0 == 0 } && Bool.random(using: &generator) }
        pieces.shuffle(using: &generator)
        var partial = [CRC64Sum](repeating: CRC64Sum(), count: Int.random(in: 1...4, using: &generator))
        for piece in pieces {
            let remainder = CRC64Sum.remainder(bytes.span.extracting(piece))
            partial[Int.random(in: partial.indices, using: &generator)].add(
                remainder, endingAt: UInt64(piece.upperBound))
        }
        var total = CRC64Sum()
        for one in partial.shuffled(using: &generator) { total.add(one) }
        return total
    }

    @Test(arguments: UInt64(0)..<60) func piecesInAnyOrderMakeTheChecksumOfTheWhole(seed: UInt64) {
        var generator = SeededGenerator(seed: 3400 + seed)
        var bytes = SampleDisk.mixed(length: Int.random(in: 0...9000, using: &generator), seed: seed)
        if bytes.count > 600 { for index in 200..<600 { bytes[index] = 0 } }
        let total = sum(of: bytes, &generator)
        #expect(total.checksum(length: UInt64(bytes.count)) == CRC64.checksum(bytes.span), "seed \(seed)")
        let longer = bytes + [UInt8](repeating: 0, count: 777)
        #expect(
            total.checksum(length: UInt64(longer.count)) == CRC64.checksum(longer.span), "seed \(seed), zeros behind")
    }

    @Test func zerosAloneAgreeWithTheDefinitionUpToTheLongestFileThereIs() {
        for length: UInt64 in [0, 1, 8, 511, 1 << 20, 1 << 40, 1 << 62, 1 << 63 - 1, 1 << 63, .max] {
            #expect(
                CRC64Sum().checksum(length: length) == ~ReferenceCRC64.appendedZeros(length, to: ~0), "\(length) zeros")
        }
    }

    @Test func dataAtAnyPlaceOfAHugeDiskAgreesWithTheDefinition() {
        let seed: UInt64 = 35
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<60 {
            let bytes = (0..<Int.random(in: 1...40, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            let before = generator.next() >> UInt64.random(in: 2...60, using: &generator)
            let behind = generator.next() >> UInt64.random(in: 2...60, using: &generator)
            var register = ReferenceCRC64.appendedZeros(before, to: ~0)
            register = ReferenceCRC64.appended(bytes, to: register)
            register = ReferenceCRC64.appendedZeros(behind, to: register)
            let end = before + UInt64(bytes.count)
            var sum = CRC64Sum()
            sum.add(CRC64Sum.remainder(bytes.span), endingAt: end)
            #expect(sum.checksum(length: end + behind) == ~register, "seed \(seed): \(before) zeros, then \(bytes)")
        }
    }

    @Test func zerosThatAreAddedChangeNothing() {
        var sum = CRC64Sum()
        sum.add(CRC64Sum.remainder([UInt8](repeating: 0, count: 4096).span), endingAt: 1 << 40)
        sum.add(CRC64Sum.remainder([UInt8]().span), endingAt: 9)
        #expect(sum == CRC64Sum())
    }

    /// `crc(A then B)` is that of A moved past B, and B's own: the identity on which parts of an object are combined.
    @Test func checksumsOfPartsCombineToThatOfTheWhole() {
        let first = SampleDisk.full(length: 3000, seed: 36)
        let second = SampleDisk.full(length: 1234, seed: 37)
        let moved = ReferenceCRC64.appendedZeros(UInt64(second.count), to: CRC64.checksum(first.span))
        #expect(moved ^ CRC64.checksum(second.span) == CRC64.checksum((first + second).span))
    }
}
