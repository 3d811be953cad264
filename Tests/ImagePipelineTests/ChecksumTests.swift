import ImageFormats
import ImageModel
import LatheTestSupport
import Testing

@testable import ImageCodecs
@testable import ImagePipeline

@Suite struct ChecksumTests {
    /// The construction as it is documented, in the plainest way.
    private static func tree(_ bytes: [UInt8]) -> String {
        var outer = SHA256Digest()
        for start in stride(from: 0, to: bytes.count, by: 65536) {
            var block = SHA256Digest()
            block.update(bytes[start..<min(start + 65536, bytes.count)].span)
            outer.update(block.bytes().span)
        }
        return outer.hexadecimal()
    }

    private static func plain(_ bytes: [UInt8]) -> String {
        var digest = SHA256Digest()
        digest.update(bytes.span)
        return digest.hexadecimal()
    }

    @Test(arguments: [0, 1, 65535, 65536, 65537, 131_072, 1_000_000]) func aTreeIsTheSameHoweverItsBytesCome(
        length: Int
    ) {
        let bytes = SampleDisk.mixed(length: length, seed: 81)
        let expected = Self.tree(bytes)
        for step in [1000, 65536, 70000] {
            var digest = BlockTreeDigest()
            for start in stride(from: 0, to: length, by: step) {
                digest.update(bytes[start..<min(start + step, length)].span)
            }
            #expect(digest.hexadecimal() == expected, "in steps of \(step)")
        }
        var zeros = BlockTreeDigest()
        zeros.appendZeros(UInt64(length))
        #expect(zeros.hexadecimal() == Self.tree([UInt8](repeating: 0, count: length)))
    }

    @Test func zerosOfATreeCostNextToNothing() {
        // The SHA-256 of 2^25 digests of the block of zeros, which is what 2 TiB of zeros are, is not computed in a test;
        // 64 GiB are 2^20.
        var digest = BlockTreeDigest()
        digest.appendZeros(64 << 30)
        var outer = SHA256Digest()
        let leaf = BlockTreeDigest.leaf([UInt8](repeating: 0, count: 65536).span)
        for _ in 0..<1 << 20 { outer.update(leaf.span) }
        #expect(digest.hexadecimal() == outer.hexadecimal())
    }

    @Test func aDisksDigestsAreThoseOfItsBytesForAnyThreadsChunksAndHoles() throws {
        for length in [0, 512, 65536 * 3, 9 << 20 | 1536] {
            let bytes = SampleDisk.mixed(length: length, seed: 82)
            let expected = Checksums(
                crc64ecma: CRC64.checksum(bytes.span), sha256: Self.plain(bytes), sha256Tree: Self.tree(bytes))
            for source in [SparseMemory(bytes), DenseMemory(bytes)] as [any ImageSource] {
                let image = try DiskImage(source, format: .raw)
                for (threads, chunkSize) in [(1, 2 << 20), (3, 64 << 10), (8, 1 << 20)] as [(Int, UInt64)] {
                    let work = WorkOptions(threads: threads, chunkSize: chunkSize)
                    #expect(try image.checksums([.sha256, .sha256Tree], work) == expected)
                }
            }
        }
    }

    @Test func theBytesOfAnOddFileAreNotFilledUp() throws {
        let bytes = SampleDisk.mixed(length: 200_001, seed: 83)
        let found = try DiskImage.checksums(ofBytesOf: SparseMemory(bytes), [.sha256, .sha256Tree])
        #expect(found.crc64ecma == CRC64.checksum(bytes.span))
        #expect(found.sha256 == Self.plain(bytes) && found.sha256Tree == Self.tree(bytes))
    }

    @Test(arguments: OutputVariant.all) func aConversionHashesWhatItReads(variant: OutputVariant) throws {
        let bytes = SampleDisk.mixed(length: 5 << 20, seed: 84)
        for threads in [1, 4] {
            for policy in [SparsePolicy.allHoles, .noHoles] {
                let conversion = Conversion(
                    try DiskImage(SparseMemory(bytes), format: .raw), to: variant.format,
                    options: FormatOptions(variant.options), sparsePolicy: policy, checksums: [.sha256, .sha256Tree],
                    work: WorkOptions(threads: threads))
                let content = try conversion.run(into: MemorySink()).content
                #expect(content?.sha256 == Self.plain(bytes) && content?.sha256Tree == Self.tree(bytes))
            }
        }
    }

    @Test(arguments: OutputVariant.all) func thePartsAreThoseOfTheFile(variant: OutputVariant) throws {
        let made = try ByteIdentityTests.convert(
            SparseMemory(SampleDisk.numbered(length: 9 << 20, seed: 85)), variant, threads: 2)
        let parts = try #require(made.result.parts)
        let bytes = made.sink.bytes
        #expect(parts.length == 8 << 20 && parts.crc64ecma.count == (bytes.count + (8 << 20) - 1) >> 23)
        for (index, crc) in parts.crc64ecma.enumerated() {
            let range = parts.range(ofPart: index, objectLength: UInt64(bytes.count))
            #expect(crc == CRC64.checksum(bytes[Int(range.start.bytes)..<Int(range.end.bytes)].span))
        }
        #expect(parts.object(length: UInt64(bytes.count)) == made.result.objectCRC64)
    }

    @Test func partsOfALongObjectAreJoinedUntilTheyAreFewEnough() {
        let bytes = SampleDisk.full(length: 10_000, seed: 86)
        var sums = PartSums(partLength: 4096)
        sums.add(bytes.span, at: FileOffset(5000))
        // 65537 parts of 4096 are one too many: they become 32769 of 8192.
        let length: UInt64 = 65536 * 4096 + 1
        let found = sums.checksums(length: length)
        #expect(found.parts.length == 8192 && found.parts.crc64ecma.count == 32769)
        var whole = [UInt8](repeating: 0, count: Int(length))
        whole.replaceSubrange(5000..<15000, with: bytes)
        #expect(found.object == CRC64.checksum(whole.span))
        for index in [0, 1, 2, 32768] {
            let end = min(whole.count, (index + 1) * 8192)
            #expect(found.parts.crc64ecma[index] == CRC64.checksum(whole[index * 8192..<end].span))
        }
        #expect(found.parts.object(length: length) == found.object)
    }
}
