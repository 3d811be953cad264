import ImageFormats
import ImageModel
import LatheTestSupport
import Testing

@Suite struct VMDKStreamTests {
    static func image(size: UInt64 = 20 << 20, units: [UInt64]) throws -> EncodedImage {
        try VMDKTests.image("streamOptimized", size: size, units: units)
    }

    static func check(_ image: EncodedImage) -> CheckReport { FormatCatalog.check(image.memory, as: .vmdk) }

    static func sector(_ index: UInt64, of image: EncodedImage) -> [UInt8] {
        image.memory[index * 512..<(index + 1) * 512]
    }

    /// The first 16 bytes of a metadata marker.
    static func marker(sectors: UInt8, type: UInt8) -> [UInt8] {
        [sectors, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, type, 0, 0, 0]
    }

    @Test func everythingStandsWhereVMwareLaysIt() throws {
        // Stored: 500 bytes and 12 of marker in one sector, then 501 in two, in the first table; 1 in the last.
        let image = try Self.image(size: 3 * VMDKTests.table, units: [1, 2, 1025])
        #expect(
            image.places == [
                1: FileOffset(128 * 512 + 12), 2: FileOffset(129 * 512 + 12), 1025: FileOffset(136 * 512 + 12),
            ])
        #expect(Array(Self.sector(128, of: image)[0..<12]) == [128, 0, 0, 0, 0, 0, 0, 0, 0xF4, 1, 0, 0])
        #expect(Array(Self.sector(129, of: image)[0..<12]) == [0, 1, 0, 0, 0, 0, 0, 0, 0xF5, 1, 0, 0])
        #expect(Array(Self.sector(131, of: image)[0..<16]) == Self.marker(sectors: 4, type: 1))
        #expect(Array(Self.sector(132, of: image)[0..<12]) == [0, 0, 0, 0, 128, 0, 0, 0, 129, 0, 0, 0])
        #expect(Array(Self.sector(137, of: image)[0..<16]) == Self.marker(sectors: 4, type: 1))
        #expect(Array(Self.sector(142, of: image)[0..<16]) == Self.marker(sectors: 1, type: 2))
        #expect(Array(Self.sector(143, of: image)[0..<12]) == [132, 0, 0, 0, 0, 0, 0, 0, 138, 0, 0, 0])
        #expect(Array(Self.sector(144, of: image)[0..<16]) == Self.marker(sectors: 1, type: 3))
        #expect(Self.sector(146, of: image).allSatisfy { $0 == 0 })
        #expect(image.memory.length == 147 * 512)
    }

    @Test func theFooterIsTheHeaderThatKnowsTheDirectory() throws {
        let image = try Self.image(size: 3 * VMDKTests.table, units: [1, 2, 1025])
        let head = Self.sector(0, of: image)
        var footer = Self.sector(145, of: image)
        #expect(Array(head[0..<12]) == [0x4B, 0x44, 0x4D, 0x56, 3, 0, 0, 0, 1, 0, 3, 0])
        let fields = [12, 20, 28, 36, 48, 56, 64].map { head.littleEndian(UInt64.self, at: $0) }
        #expect(fields == [196_608, 128, 1, 2, 0, UInt64.max, 128])
        #expect(head.littleEndian(UInt16.self, at: 77) == 1)
        #expect(footer.littleEndian(UInt64.self, at: 56) == 143)
        footer.storeLittleEndian(UInt64.max, at: 56)
        #expect(footer == head)
    }

    @Test func anEmptyDiskIsAStreamOfNoGrains() throws {
        for size in [0, 512, 1 << 30] as [UInt64] {
            let image = try Self.image(size: size, units: [])
            #expect(Array(Self.sector(128, of: image)[0..<16]) == Self.marker(sectors: 1, type: 2))
            #expect(Array(Self.sector(130, of: image)[0..<16]) == Self.marker(sectors: 1, type: 3))
            #expect(image.memory.length == 133 * 512)
        }
    }

    @Test func aFileOfMoreThanTwoTebibytesIsRefused() throws {
        let size: UInt64 = 1 << 50
        var encoder = try FormatCatalog.encoder(
            for: .vmdk, parameters: EncoderParameters(contentLength: size, virtualSize: size),
            options: FormatOptions(["subformat": "streamOptimized"]))
        // What no compressor answers gets there in two units.
        var metadata: [MetadataSegment] = []
        _ = try encoder.place(unit: 0, storedLength: (2 << 40) - 200 * 512, metadata: &metadata)
        do throws(ImageError) {
            _ = try encoder.place(unit: 1, storedLength: 65536, metadata: &metadata)
            Issue.record("a grain past 2 TiB was placed")
        } catch {
            #expect(error.code == .limitExceeded && error.message.contains("32-bit"))
        }
    }

    // MARK: Other writers' streams

    /// QEMU's own layout: both directories in front, flags 0x30003, no footer.
    @Test func aStreamWithItsTablesInFrontIsRead() throws {
        var image = try VMDKTests.image("monolithicSparse", size: 20 << 20, units: [0, 3])
        image.memory.write([3, 0, 0, 0, 3, 0, 3, 0], at: 4)
        image.memory.write([1, 0], at: 77)
        image.memory.write(Array("createType=\"streamOptimized\" ".utf8), at: 512 + 64)
        for (place, lba) in [(65536, 0), (131_072, 384)] as [(UInt64, UInt64)] {
            var marker = [UInt8](repeating: 0, count: 12)
            marker.storeLittleEndian(lba, at: 0)
            marker.storeLittleEndian(UInt32(700), at: 8)
            image.memory.write(marker, at: place)
        }
        let stored = try image.extents(.vmdk).compactMap { extent -> FileRange? in
            guard case .compressed(let unit) = extent.mapping else { return nil }
            return unit.stored
        }
        #expect(stored == [FileRange(65536 + 12, length: 700), FileRange(131_072 + 12, length: 700)])
        #expect(Self.check(image).findings.isEmpty)
    }

    @Test func grainsOutOfOrderAreFineAndOverlapsAreSeen() throws {
        // Units 5 and 6 are stored in 1 and 500 bytes, a sector each: swapped, they are the same disk.
        var image = try Self.image(units: [5, 6])
        let first = Self.sector(128, of: image)
        let second = Self.sector(129, of: image)
        image.memory.write(second + first, at: 128 * 512)
        image.memory.write([129, 0, 0, 0, 128, 0, 0, 0], at: 131 * 512 + 20)
        #expect(Self.check(image).findings.isEmpty)
        image.memory.write([0xF5], at: 128 * 512 + 8)
        #expect(Self.check(image).findings.first?.message.contains("overlaps") == true)
    }

    // MARK: What reader and checker see

    @Test func aMarkerOfAnotherGrainIsACorruption() throws {
        for (offset, byte) in [(0, 1), (8, 0), (10, 2)] as [(UInt64, UInt8)] {
            var image = try Self.image(units: [5])
            image.memory.write([byte, 0], at: 128 * 512 + offset)
            if offset == 8 { image.memory.write([0, 0, 0, 0], at: 128 * 512 + 8) }
            #expect(throws: ImageError.self) { try image.extents(.vmdk) }
            let report = Self.check(image)
            #expect(report.corruptions == 1)
            #expect(report.findings.first?.guestOffset == GuestOffset(5 * VMDKTests.grain))
        }
    }

    @Test func aStreamWithoutItsFooterIsRefused() throws {
        let image = try Self.image(units: [5])
        for length in [image.memory.length - 1024, image.memory.length + (64 << 10), 1024] {
            var cut = image
            cut.memory.truncate(to: length)
            #expect(VMDKTests.refusal(cut.memory)?.code == .truncated, "\(length)")
            #expect(Self.check(cut).corruptions == 1)
        }
        var damaged = image
        damaged.memory.write([1], at: image.memory.length - 1)
        #expect(VMDKTests.refusal(damaged.memory)?.message.contains("end-of-stream") == true)
        damaged = image
        damaged.memory.write([UInt8](repeating: 0xFF, count: 8), at: image.memory.length - 1024 + 56)
        #expect(VMDKTests.refusal(damaged.memory)?.code == .corrupt)
    }

    /// The end-of-stream marker is all zero: where it is cut off, or more zeros follow, the footer is still the last that is not.
    @Test(arguments: [-512, -500, -1, 1, 511, 512, 3584, 60 << 10]) func aFileThatEndsElsewhereIsReadAndToldOf(by: Int)
        throws
    {
        let image = try Self.image(units: [5])
        let extents = try image.extents(.vmdk)
        var other = image
        other.memory.truncate(to: UInt64(Int(image.memory.length) + by))
        #expect(try other.extents(.vmdk) == extents)
        let report = Self.check(other)
        #expect(report.corruptions == 1 && report.incomplete == nil)
        #expect(report.findings.first?.message.contains("end-of-stream") == true)
    }

    /// Type 4 is written by vSphere and documented nowhere.
    @Test func markersOfUnknownTypesArePassedOver() throws {
        let image = try Self.image(units: [5])
        var memory = image.memory
        let table = memory[129 * 512..<image.memory.length]
        memory.write(Self.marker(sectors: 2, type: 4) + [UInt8](repeating: 0, count: 496 + 1024), at: 129 * 512)
        memory.write(table, at: 132 * 512)
        // The table is 3 sectors further, and the directory and the footer.
        memory.write([133], at: 138 * 512)
        memory.write([138], at: 140 * 512 + 56)
        var moved = image
        moved.memory = memory
        #expect(try moved.extents(.vmdk) == image.extents(.vmdk))
        #expect(Self.check(moved).findings.isEmpty, "\(Self.check(moved).findings)")
    }

    @Test func whereHeaderAndFooterDifferTheFooterHolds() throws {
        var image = try Self.image(size: 20 << 20, units: [5])
        let extents = try image.extents(.vmdk)
        image.memory.write([0, 0x20, 0, 0], at: 12)
        #expect(try FormatCatalog.reader(for: .vmdk, source: image.memory).virtualSize == 20 << 20)
        #expect(try image.extents(.vmdk) == extents)
        #expect(Self.check(image).findings.first?.message.contains("header and footer") == true)
    }

    @Test func headerAndFooterThatDifferAreACorruption() throws {
        var image = try Self.image(units: [5])
        image.memory.write([2], at: 4)
        let report = Self.check(image)
        #expect(report.corruptions == 1)
        #expect(report.findings.first?.message.contains("header and footer") == true)
    }

    @Test func aTableWithoutItsMarkerIsACorruption() throws {
        var image = try Self.image(units: [5])
        image.memory.write([2], at: 129 * 512 + 12)
        #expect(Self.check(image).corruptions == 1)
    }
}
