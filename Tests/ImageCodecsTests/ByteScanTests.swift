import ImageCodecs
import LatheTestSupport
import Testing

@Suite struct ZeroDetectorTests {
    @Test func everyBitAtEveryAlignmentIsSeen() {
        var bytes = [UInt8](repeating: 0, count: 400)
        for start in 0..<64 {
            for length in [0, 1, 2, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 300] {
                #expect(ZeroDetector.isZero(bytes.span.extracting(start..<start + length)) == true)
                for place in Set([0, 1, length / 2, length - 2, length - 1]) where (0..<length).contains(place) {
                    let bit = UInt8(1) << UInt8((start + place) % 8)
                    bytes[start + place] = bit
                    #expect(
                        ZeroDetector.isZero(bytes.span.extracting(start..<start + length)) == false,
                        "\(start), \(place)")
                    bytes[start + place] = 0
                }
            }
        }
    }

    @Test func everyBitOfABlockIsSeen() {
        var bytes = [UInt8](repeating: 0, count: 321)
        for place in bytes.indices {
            for bit in 0..<8 {
                bytes[place] = 1 << UInt8(bit)
                #expect(ZeroDetector.isZero(bytes.span) == false, "bit \(bit) of byte \(place)")
            }
            bytes[place] = 0
        }
    }

    @Test func bytesAroundTheRangeDoNotCount() {
        var bytes = [UInt8](repeating: 0xFF, count: 300)
        for length in 0...200 {
            for index in 40..<40 + length { bytes[index] = 0 }
            #expect(ZeroDetector.isZero(bytes.span.extracting(40..<40 + length)) == true, "\(length) bytes")
        }
    }
}

@Suite struct ByteComparisonTests {
    @Test func everyPairOfShortSpansIsComparedRight() {
        for length in 0...5 {
            for left in 0..<(1 << length) {
                let one = (0..<length).map { UInt8(left >> $0 & 1) }
                #expect(one.span.firstNonzero() == one.firstIndex { $0 != 0 })
                for right in 0..<(1 << length) {
                    let two = (0..<length).map { UInt8(right >> $0 & 1) }
                    let expected = zip(one, two).enumerated().first { $0.element.0 != $0.element.1 }?.offset
                    #expect(one.span.firstDifference(from: two.span) == expected, "\(one) and \(two)")
                }
            }
        }
    }

    @Test func everySingleDifferenceIsFoundAtItsPlace() {
        let one = SampleDisk.full(length: 300, seed: 41)
        for length in [1, 2, 3, 64, 255, 300] {
            for place in 0..<length {
                var two = one
                two[place] ^= 0x10
                #expect(one.span.extracting(0..<length).firstDifference(from: two.span.extracting(0..<length)) == place)
                var zeros = [UInt8](repeating: 0, count: length)
                zeros[place] = 0x80
                #expect(zeros.span.firstNonzero() == place)
            }
        }
    }

    @Test func theFirstOfManyDifferencesIsFoundInLongSpans() {
        let seed: UInt64 = 42
        var generator = SeededGenerator(seed: seed)
        let one = SampleDisk.mixed(length: 300_001, seed: seed)
        let zeros = [UInt8](repeating: 0, count: one.count)
        #expect(one.span.firstDifference(from: one.span) == nil)
        #expect(zeros.span.firstNonzero() == nil)
        for _ in 0..<60 {
            var two = one
            var sparse = zeros
            let places = (0..<Int.random(in: 1...5, using: &generator)).map { _ in
                Int.random(in: one.indices, using: &generator)
            }
            for place in places {
                two[place] = ~one[place]
                sparse[place] = 1
            }
            #expect(one.span.firstDifference(from: two.span) == places.min(), "seed \(seed): \(places)")
            #expect(sparse.span.firstNonzero() == places.min(), "seed \(seed): \(places)")
        }
    }
}

@Suite struct SHA256DigestTests {
    /// The examples of FIPS 180-4's companion and of NIST's long message test.
    static let vectors: [(message: [UInt8], digest: String)] = [
        ([], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (Array("abc".utf8), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            [UInt8](repeating: 0x61, count: 1_000_000),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        ),
    ]

    @Test(arguments: 0..<4) func knownMessagesHaveTheirDigest(index: Int) {
        let vector = Self.vectors[index]
        var digest = SHA256Digest()
        digest.update(vector.message.span)
        #expect(digest.hexadecimal() == vector.digest)
    }

    @Test func theCutsDoNotShow() {
        let vector = Self.vectors[2]
        for cut in 0...vector.message.count {
            var digest = SHA256Digest()
            digest.update(vector.message.span.extracting(0..<cut))
            _ = digest.hexadecimal()
            digest.update(vector.message.span.extracting(cut..<vector.message.count))
            #expect(digest.hexadecimal() == vector.digest)
        }
    }
}
