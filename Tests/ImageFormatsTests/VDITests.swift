import ImageFormats
import ImageModel
import LatheTestSupport
import Testing

@Suite struct VDITests {
    static let megabyte: UInt64 = 1 << 20
    /// Sizes on both sides of a sector, a block, a slice of the map and a MiB of map.
    static let sizes: [UInt64] = [
        0, 512, megabyte - 512, megabyte, megabyte + 512, 64 * megabyte, 16384 * megabyte, 16384 * megabyte + 512,
    ]

    @Test(arguments: sizes) func theReaderGivesBackWhatTheEncoderPlaced(size: UInt64) throws {
        let blocks = size.dividedRoundingUp(by: Self.megabyte)
        for units in allocationPatterns(unitCount: blocks, seed: size + 1) {
            try EncodedImage(.vdi, virtualSize: size, units: units).expectFaithful(.vdi)
        }
    }

    @Test func aMapOfMoreThanOneMegabyteMovesTheData() throws {
        let image = try EncodedImage(.vdi, virtualSize: 262_145 * Self.megabyte, units: [0, 262_144])
        #expect(image.places[0] == FileOffset(3 << 20))
        try image.expectFaithful(.vdi)
    }

    @Test func smallBatchesOfExtentsAddUpToTheSameMapping() throws {
        let image = try EncodedImage(.vdi, virtualSize: 40 * Self.megabyte, units: [0, 1, 3, 20, 21, 39])
        #expect(try image.extents(.vdi, batch: 1) == image.extents(.vdi, batch: 100))
    }

    @Test func mapAndDataStandWhereVirtualBoxLaysThem() throws {
        let image = try EncodedImage(.vdi, virtualSize: 5 * Self.megabyte, units: [1, 4])
        #expect(image.memory[64..<68] == [0x7F, 0x10, 0xDA, 0xBE])
        #expect(image.memory[340..<344] == [0, 0, 0x10, 0])
        #expect(image.memory[344..<348] == [0, 0, 0x20, 0])
        #expect(image.places == [1: FileOffset(2 << 20), 4: FileOffset(3 << 20)])
        #expect(image.memory.length == 4 << 20)
        let map = image.memory[1 << 20..<(1 << 20) + 20]
        #expect(map == [255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0, 0])
    }

    /// QEMU's iotest 084 writes the greatest size into the header of a small image, and has QEMU open it.
    @Test func aMapThatReachesIntoTheDataIsReadAsFarAsItCanBe() throws {
        var image = try EncodedImage(.vdi, virtualSize: 64 * Self.megabyte, units: [])
        image.memory.write([0, 0, 0, 0xF8, 0xFF, 0xFF, 1, 0], at: 368)
        image.memory.write([0x80, 0xFF, 0xFF, 0x1F], at: 384)
        let reader = try FormatCatalog.reader(for: .vdi, source: image.memory)
        #expect(reader.virtualSize == 0x1_FFFF << 32 | 0xF800_0000)
        let free = try reader.extents(in: GuestRange(0, length: Self.megabyte), atMost: 9, from: image.memory)
        #expect(free.map(\.mapping) == [.hole])
        // Behind the map of the small disk zeros stand, which name the first block, and that lies on the map by now.
        let error = #expect(throws: ImageError.self) {
            try reader.extents(in: GuestRange(64 * Self.megabyte, length: 512), atMost: 9, from: image.memory)
        }
        #expect(error?.code == .corrupt && error?.message.contains("inside the map") == true)
        #expect(FormatCatalog.check(image.memory, as: .vdi).corruptions > 0)
    }

    @Test func identifiersFollowTheContent() throws {
        let first = try EncodedImage(.vdi, virtualSize: Self.megabyte, units: [0], fingerprint: 1)
        let again = try EncodedImage(.vdi, virtualSize: Self.megabyte, units: [0], fingerprint: 1)
        let other = try EncodedImage(.vdi, virtualSize: Self.megabyte, units: [0], fingerprint: 2)
        #expect(first.memory == again.memory)
        #expect(first.memory[392..<408] != other.memory[392..<408])
        #expect(first.memory[392..<408] != first.memory[408..<424])
    }

    @Test func aSecondClaimOnABlockIsACorruption() throws {
        var image = try EncodedImage(.vdi, virtualSize: 3 * Self.megabyte, units: [0, 1])
        image.memory.write([0, 0, 0, 0], at: (1 << 20) + 4)
        let report = FormatCatalog.check(image.memory, as: .vdi)
        #expect(report.corruptions == 1)
        #expect(report.leaks == 0)
        #expect(report.findings.first?.guestOffset == GuestOffset(1 << 20))
    }

    @Test func aParentIsRefused() throws {
        var image = try EncodedImage(.vdi, virtualSize: Self.megabyte, units: [])
        image.memory.write([4], at: 76)
        #expect(throws: ImageError.self) { try FormatCatalog.reader(for: .vdi, source: image.memory) }
    }
}
