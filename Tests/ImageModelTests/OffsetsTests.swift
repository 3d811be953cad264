import ImageModel
import LatheTestSupport
import Testing

@Suite struct OffsetsTests {
    @Test func roundingUpAnswersNilWhereTheMultipleLeaves64Bits() {
        #expect(UInt64(0).roundedUp(toMultipleOf: 512) == 0)
        #expect(UInt64(1).roundedUp(toMultipleOf: 512) == 512)
        #expect(UInt64(512).roundedUp(toMultipleOf: 512) == 512)
        #expect(UInt64(513).roundedUp(toMultipleOf: 512) == 1024)
        #expect(UInt64.max.roundedUp(toMultipleOf: 1) == .max)
        #expect(UInt64.max.roundedUp(toMultipleOf: .max) == .max)
        #expect(UInt64.max.roundedUp(toMultipleOf: 2) == nil)
        #expect((UInt64.max - 511).roundedUp(toMultipleOf: 512) == UInt64.max - 511)
        #expect((UInt64.max - 510).roundedUp(toMultipleOf: 512) == nil)
        #expect((UInt64.max - 1).roundedUp(toMultipleOf: .max) == .max)
    }

    @Test func roundingDownNeverPassesTheValue() {
        #expect(UInt64.max.roundedDown(toMultipleOf: 512) == UInt64.max - 511)
        #expect(UInt64.max.roundedDown(toMultipleOf: .max) == .max)
        #expect(UInt64(511).roundedDown(toMultipleOf: 512) == 0)
        #expect(UInt64(0).roundedDown(toMultipleOf: 7) == 0)
    }

    @Test func dividingUpDoesNotOverflowAtTheTop() {
        #expect(UInt64(0).dividedRoundingUp(by: 512) == 0)
        #expect(UInt64(1).dividedRoundingUp(by: 512) == 1)
        #expect(UInt64.max.dividedRoundingUp(by: 1) == .max)
        #expect(UInt64.max.dividedRoundingUp(by: 2) == 1 << 63)
        #expect(UInt64.max.dividedRoundingUp(by: .max) == 1)
        #expect((UInt64.max - 1).dividedRoundingUp(by: .max) == 1)
    }

    @Test func theThreeRoundingsAgree() {
        let seed: UInt64 = 21
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<2000 {
            let value = generator.next() >> UInt64.random(in: 1...63, using: &generator)
            let step = (generator.next() >> UInt64.random(in: 2...63, using: &generator)) | 1
            let down = value.roundedDown(toMultipleOf: step)
            let count = value.dividedRoundingUp(by: step)
            #expect(down <= value && value - down < step && down % step == 0, "seed \(seed): \(value) by \(step)")
            #expect(value.roundedUp(toMultipleOf: step) == count * step, "seed \(seed): \(value) by \(step)")
        }
    }

    @Test func rangesEndWhereTheNextStarts() {
        let guest = GuestRange(512, length: 1024)
        #expect(guest.end == GuestOffset(1536) && !guest.isEmpty && guest.end - guest.start == 1024)
        let file = FileRange(start: FileOffset(7), length: 0)
        #expect(file.isEmpty && file.end == file.start && file.start < file.end + 1)
    }
}

@Suite struct ByteOrderTests {
    @Test func numbersStandInBytesInTheOrderThatIsAskedFor() {
        var bytes = [UInt8](repeating: 0xEE, count: 12)
        bytes.storeBigEndian(UInt32(0x0102_0304), at: 1)
        bytes.storeLittleEndian(UInt32(0x0102_0304), at: 6)
        #expect(bytes == [0xEE, 1, 2, 3, 4, 0xEE, 4, 3, 2, 1, 0xEE, 0xEE])
    }

    private func expectRoundTrips<Integer: FixedWidthInteger>(_ values: [Integer]) {
        let width = Integer.bitWidth / 8
        for value in values {
            for index in 0..<3 {
                var big = [UInt8](repeating: 0x5A, count: width + 3)
                var little = big
                big.storeBigEndian(value, at: index)
                little.storeLittleEndian(value, at: index)
                #expect(big.bigEndian(Integer.self, at: index) == value)
                #expect(little.littleEndian(Integer.self, at: index) == value)
                #expect(big.littleEndian(Integer.self, at: index) == value.byteSwapped)
                #expect(Array(big[index..<index + width].reversed()) == Array(little[index..<index + width]))
                #expect(big[..<index].allSatisfy { $0 == 0x5A } && big[(index + width)...].allSatisfy { $0 == 0x5A })
            }
        }
    }

    @Test func everyWidthRoundTripsInBothOrders() {
        var generator = SeededGenerator(seed: 22)
        let words = [0, 1, .max, 1 << 63, 0x0102_0304_0506_0708] + (0..<50).map { _ in generator.next() }
        expectRoundTrips(words)
        expectRoundTrips(words.map { Int64(truncatingIfNeeded: $0) })
        expectRoundTrips(words.map { UInt32(truncatingIfNeeded: $0) })
        expectRoundTrips(words.map { UInt16(truncatingIfNeeded: $0) })
        expectRoundTrips(words.map { UInt8(truncatingIfNeeded: $0) })
    }

    @Test func storingBytesTouchesNoOthers() {
        var bytes = [UInt8](repeating: 9, count: 6)
        bytes.store([1, 2, 3], at: 2)
        #expect(bytes == [9, 9, 1, 2, 3, 9])
        #expect(!bytes.isZero && [UInt8](repeating: 0, count: 3).isZero && [UInt8]().isZero)
    }
}
