import ImageFormats
import ImageModel
import LatheTestSupport
import Testing

@Suite struct VHDTests {
    static let block: UInt64 = 2 << 20
    static let largest: UInt64 = 2040 << 30
    /// Sizes on both sides of a sector, a block, a sector of the table, a slice of it, and the largest disk.
    static let sizes: [UInt64] = [
        0, 512, block - 512, block, block + 512, 127 * block, 128 * block, 128 * block + 512, 129 * block,
        16384 * block, 16384 * block + 512, largest,
    ]

    // MARK: Round trips

    @Test(arguments: sizes) func theReaderGivesBackWhatTheEncoderPlaced(size: UInt64) throws {
        let blocks = size.dividedRoundingUp(by: Self.block)
        // A large disk's whole table is read for each pattern: some must do.
        let patterns = allocationPatterns(unitCount: blocks, seed: size + 1).filter { blocks < 4096 || $0.count < 100 }
        for units in size < Self.largest / 2 ? patterns : [[0, 7, 524_287, blocks - 1]] {
            try EncodedImage(.vhd, virtualSize: size, units: units).expectFaithful(.vhd)
        }
    }

    @Test(arguments: [0, 512, 65536 - 512, 65536, 65536 + 512, 6 << 20, largest] as [UInt64])
    func aFixedDiskHasEveryByteAtItsGuestOffset(size: UInt64) throws {
        let image = try EncodedImage(.vhd, virtualSize: size, units: [], options: ["subformat": "fixed"])
        let report = FormatCatalog.check(image.memory, as: .vhd)
        #expect(report.findings.isEmpty && report.incomplete == nil)
        #expect(image.memory.length == max(size, 512) + 512)
        let whole = MappedExtent(range: GuestRange(0, length: size), mapping: .raw(FileOffset(0)))
        #expect(try image.extents(.vhd) == (size > 0 ? [whole] : []))
        guard size > 0 else { return }
        let last = try EncodedImage(
            .vhd, virtualSize: size, units: [(size - 1) / 65536], options: ["subformat": "fixed"])
        #expect(Array(last.places.values) == [FileOffset((size - 1) / 65536 * 65536)])
    }

    @Test func smallBatchesOfExtentsAddUpToTheSameMapping() throws {
        let image = try EncodedImage(.vhd, virtualSize: 40 * Self.block, units: [0, 1, 3, 20, 21, 39])
        #expect(try image.extents(.vhd, batch: 1) == image.extents(.vhd, batch: 100))
    }

    // MARK: Layout

    @Test func everyStructureStandsWhereItShould() throws {
        let image = try EncodedImage(.vhd, virtualSize: 5 * Self.block + 512, units: [1, 5])
        let memory = image.memory
        #expect(image.places == [1: FileOffset(4096), 5: FileOffset(4096 + Self.block + 4096)])
        #expect(memory.length == 4096 + Self.block + 4096 + Self.block + 512)
        #expect(memory[0..<8] == Array("conectix".utf8))
        #expect(memory[0..<512] == memory[memory.length - 512..<memory.length])
        #expect(memory[512..<528] == Array("cxsparse".utf8) + [UInt8](repeating: 0xFF, count: 8))
        // Table offset, version, entries, block size.
        #expect(memory[528..<536] == [0, 0, 0, 0, 0, 0, 6, 0])
        #expect(memory[536..<548] == [0, 1, 0, 0, 0, 0, 0, 6, 0, 0x20, 0, 0])
        // Entries are the sectors of the bitmaps: 3584 / 512 and (4096 + 2 MiB + 3584) / 512.
        let unused: [UInt8] = [255, 255, 255, 255]
        #expect(
            memory[1536..<1560] == unused + [0, 0, 0, 7] + unused + unused + unused + [0, 0, 0x10, 0x0F])
        #expect(memory[1560..<2048] == [UInt8](repeating: 0xFF, count: 488))
        #expect(memory[3584..<4096] == [UInt8](repeating: 0xFF, count: 512))
        #expect(memory[2048..<3584] == [UInt8](repeating: 0, count: 1536))
    }

    @Test func theFooterSaysWhatEveryReaderNeeds() throws {
        let image = try EncodedImage(.vhd, virtualSize: 20 << 20, units: [])
        let footer = image.memory[0..<512]
        #expect(footer[8..<16] == [0, 0, 0, 2, 0, 1, 0, 0])
        #expect(footer[16..<24] == [0, 0, 0, 0, 0, 0, 2, 0])
        #expect(footer[24..<28] == [0, 0, 0, 0], "2000-01-01")
        #expect(Array(footer[28..<40]) == Array("win ".utf8) + [0, 6, 0, 3] + Array("Wi2k".utf8))
        #expect(footer[40..<48] == [0, 0, 0, 0, 1, 0x40, 0, 0])
        #expect(footer[48..<56] == [0, 0, 0, 0, 1, 0x40, 0, 0])
        // 40960 sectors: 602 cylinders of 4 heads and 17 sectors, and 24 sectors that no geometry reaches.
        #expect(footer[56..<60] == [0x02, 0x5A, 4, 17])
        #expect(footer[60..<64] == [0, 0, 0, 3])
        let sum = footer.enumerated().reduce(UInt32(0)) { (64..<68).contains($1.0) ? $0 : $0 + UInt32($1.1) }
        #expect(footer.bigEndian(UInt32.self, at: 64) == ~sum)
        #expect(footer[84...].allSatisfy { $0 == 0 })
        #expect(image.memory.length == 2560, "the footer follows the table where there is no block")
        let fixed = try EncodedImage(.vhd, virtualSize: 1024, units: [0], options: ["subformat": "fixed"])
        #expect(fixed.memory[1040..<1048] == [UInt8](repeating: 0xFF, count: 8))
        #expect(fixed.memory[1084..<1088] == [0, 0, 0, 2])
    }

    /// Sizes that geometries address exactly, and what the geometry of each is.
    static let geometries: [(UInt64, [UInt8])] = [
        (0, [0, 0, 4, 17]), (34_816, [0, 1, 4, 17]), (1_079_296, [0, 0x1F, 4, 17]), (3_168_256, [0, 0x5B, 4, 17]),
        (10_514_432, [0x01, 0x2E, 4, 17]), (20_994_048, [0x02, 0x5B, 4, 17]), (104_865_792, [0x03, 0xEC, 12, 17]),
        (1_073_995_776, [0x08, 0x21, 16, 63]), (10_737_893_376, [0x51, 0x46, 16, 63]),
        (136_899_993_600, [0xFF, 0xFF, 16, 255]), (128 << 30, [0xFF, 0xFF, 16, 255]),
        (largest, [0xFF, 0xFF, 16, 255]),
    ]

    @Test(arguments: geometries) func theGeometryIsTheOneOfTheSpecification(size: UInt64, expected: [UInt8]) throws {
        let exact = try EncodedImage(.vhd, virtualSize: size, units: [], options: ["subformat": "fixed"])
        let footer = exact.memory.length - 512
        #expect(exact.memory[footer + 56..<footer + 60] == expected)
    }

    @Test func aGeometryIsRoundedDown() throws {
        let image = try EncodedImage(.vhd, virtualSize: 1_079_296 - 512, units: [])
        #expect(image.memory[56..<60] == [0, 0x1E, 4, 17])
    }

    @Test func identifiersFollowTheContent() throws {
        let first = try EncodedImage(.vhd, virtualSize: Self.block, units: [0], fingerprint: 1)
        let again = try EncodedImage(.vhd, virtualSize: Self.block, units: [0], fingerprint: 1)
        let other = try EncodedImage(.vhd, virtualSize: Self.block, units: [0], fingerprint: 2)
        #expect(first.memory == again.memory)
        #expect(first.memory[68..<84] != other.memory[68..<84])
        #expect(!first.memory[68..<84].isZero)
    }

    @Test(
        arguments: [
            (0, 0), (946_684_799, 0), (946_684_800, 0), (946_684_801, 1), (946_684_800 + 0xFFFF_FFFF, 0xFFFF_FFFF),
        ] as [(UInt64, UInt32)])
    func theTimeCountsFrom2000(timestamp: UInt64, expected: UInt32) throws {
        let parameters = EncoderParameters(contentLength: 0, virtualSize: 0, timestamp: timestamp)
        var encoder = try FormatCatalog.encoder(for: .vhd, parameters: parameters)
        var metadata: [MetadataSegment] = []
        _ = try encoder.finish(content: ContentIdentity(fingerprint: 0, virtualSize: 0), metadata: &metadata)
        var memory = SparseMemory()
        for segment in metadata { try memory.write(segment) }
        #expect(memory[24..<28].bigEndian(UInt32.self, at: 0) == expected)
    }

    // MARK: Refusals of the encoder

    @Test func aDiskOfMoreThan2040GiBIsRefused() throws {
        for subformat in ["dynamic", "fixed"] {
            let error = try #require(throws: ImageError.self) {
                try EncodedImage(
                    .vhd, virtualSize: Self.largest + 512, units: [], options: ["subformat": subformat])
            }
            #expect(error.code == .limitExceeded)
            #expect(
                error.message
                    == "a disk of 2190433321472 bytes is too large for vhd, which holds at most 2190433320960 bytes "
                    + "(2040 GiB); convert to qcow2, vdi or raw")
        }
    }

    @Test func aTimeThatTheFooterCannotHoldIsRefused() throws {
        let parameters = EncoderParameters(contentLength: 0, virtualSize: 0, timestamp: 946_684_800 + 0x1_0000_0000)
        let error = try #require(throws: ImageError.self) {
            try FormatCatalog.encoder(for: .vhd, parameters: parameters)
        }
        #expect(error.code == .limitExceeded)
        #expect(error.message.contains("5241652096"))
    }

    @Test(arguments: [["subformat": "differencing"], ["force_size": "on"], ["cluster_size": "65536"]])
    func otherOptionsAreRefused(options: [String: String]) throws {
        let error = try #require(throws: ImageError.self) {
            try EncodedImage(.vhd, virtualSize: 512, units: [], options: options)
        }
        #expect(error.code == .invalidOption)
    }

    // MARK: What other writers do

    /// Changes a footer or header in place and makes its checksum right again.
    static func rewrite(
        _ memory: inout SparseMemory, at offset: UInt64, length: Int = 512, checksumAt place: Int = 64,
        _ change: (inout [UInt8]) -> Void
    ) {
        var bytes = memory[offset..<offset + UInt64(length)]
        change(&bytes)
        bytes.storeBigEndian(UInt32(0), at: place)
        bytes.storeBigEndian(~bytes.reduce(UInt32(0)) { $0 + UInt32($1) }, at: place)
        memory.write(bytes, at: offset)
    }

    static func rewriteFooters(_ memory: inout SparseMemory, _ change: (inout [UInt8]) -> Void) {
        rewrite(&memory, at: 0, change)
        rewrite(&memory, at: memory.length - 512, change)
    }

    static func rewriteHeader(_ memory: inout SparseMemory, _ change: (inout [UInt8]) -> Void) {
        rewrite(&memory, at: 512, length: 1024, checksumAt: 36, change)
    }

    /// The geometry of 20 MiB reaches 12,288 bytes less than its current size.
    @Test(
        arguments: [
            ("win ", 20_971_520), ("qem2", 20_971_520), ("tap\0", 20_971_520), ("CTXS", 20_971_520),
            ("d2v ", 20_971_520),
            ("vpc ", 20_959_232), ("qemu", 20_959_232), ("new!", 20_971_520),
        ] as [(String, UInt64)])
    func theSizeIsTheOneThatTheWriterMeant(creator: String, expected: UInt64) throws {
        var memory = try EncodedImage(.vhd, virtualSize: 20 << 20, units: [1]).memory
        Self.rewriteFooters(&memory) { $0.store(creator.utf8, at: 28) }
        #expect(try FormatCatalog.reader(for: .vhd, source: memory).virtualSize == expected)
        let report = FormatCatalog.check(memory, as: .vhd)
        #expect(report.corruptions == 0)
        #expect(report.warnings == (expected == 20 << 20 ? 0 : 1), "readers differ on the size")
    }

    @Test func aGeometryAtItsMaximumSaysNothingOfTheSize() throws {
        var memory = try EncodedImage(.vhd, virtualSize: 20 << 20, units: [1]).memory
        Self.rewriteFooters(&memory) {
            $0.store("qemu".utf8, at: 28)
            $0.store([0xFF, 0xFF, 16, 255], at: 56)
        }
        #expect(try FormatCatalog.reader(for: .vhd, source: memory).virtualSize == 20 << 20)
        let report = FormatCatalog.check(memory, as: .vhd)
        #expect(report.warnings == 1)
        #expect(
            report.findings.first?.message.contains(
                "the geometry in the footer is 65535/16/255, expected 602/4/17 at most") == true)
    }

    @Test func aTableElsewhereIsFound() throws {
        let image = try EncodedImage(.vhd, virtualSize: 3 * Self.block, units: [2])
        var memory = SparseMemory()
        memory.write(image.memory[0..<1536], at: 0)
        memory.write([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 32], at: 8192)
        memory.write([UInt8](repeating: 0xFF, count: 512), at: 16384)
        memory.write(image.memory[0..<512], at: 16896 + Self.block)
        Self.rewriteHeader(&memory) { $0.storeBigEndian(UInt64(8192), at: 16) }
        let reader = try FormatCatalog.reader(for: .vhd, source: memory)
        let extents = try reader.extents(in: GuestRange(0, length: 3 * Self.block), atMost: 9, from: memory)
        #expect(
            extents == [
                MappedExtent(range: GuestRange(0, length: 2 * Self.block), mapping: .hole),
                MappedExtent(range: GuestRange(2 * Self.block, length: Self.block), mapping: .raw(FileOffset(16896))),
            ])
        #expect(FormatCatalog.check(memory, as: .vhd).findings.isEmpty)
    }

    @Test func anOldFooterOf511BytesIsAFooter() throws {
        for subformat in ["dynamic", "fixed"] {
            var image = try EncodedImage(
                .vhd, virtualSize: 4 * Self.block, units: [1], options: ["subformat": subformat])
            let extents = try image.extents(.vhd)
            image.memory.truncate(to: image.memory.length - 1)
            #expect(try image.extents(.vhd) == extents)
            let report = FormatCatalog.check(image.memory, as: .vhd)
            #expect(report.findings.count == 1 && report.warnings == 1)
        }
    }

    @Test func sectorsThatTheBitmapLeavesOutReadAsZero() throws {
        var image = try EncodedImage(.vhd, virtualSize: 2 * Self.block, units: [0])
        // Sectors 0 to 2 and 11 on, as far as the third byte goes; the most significant bit is the first sector.
        image.memory.write([0b1110_0000, 0b0001_1111], at: 3584)
        image.memory.write([UInt8](repeating: 0, count: 500), at: 3596)
        let extents = try image.extents(.vhd, batch: 2)
        #expect(
            extents == [
                MappedExtent(range: GuestRange(0, length: 3 * 512), mapping: .raw(FileOffset(4096))),
                MappedExtent(range: GuestRange(3 * 512, length: 8 * 512), mapping: .zero),
                MappedExtent(range: GuestRange(11 * 512, length: 85 * 512), mapping: .raw(FileOffset(4096 + 11 * 512))),
                MappedExtent(range: GuestRange(96 * 512, length: Self.block - 96 * 512), mapping: .zero),
                MappedExtent(range: GuestRange(Self.block, length: Self.block), mapping: .hole),
            ])
        let reader = try FormatCatalog.reader(for: .vhd, source: image.memory)
        let part = try reader.extents(in: GuestRange(1000, length: 1000), atMost: 5, from: image.memory)
        #expect(
            part == [
                MappedExtent(range: GuestRange(1000, length: 536), mapping: .raw(FileOffset(5096))),
                MappedExtent(range: GuestRange(1536, length: 464), mapping: .zero),
            ])
        let report = FormatCatalog.check(image.memory, as: .vhd)
        #expect(report.findings.map(\.kind) == [.warning])
        #expect(report.findings.first?.message.contains("expected all bits set, as in all but 1 of the blocks") == true)
    }

    @Test(arguments: [4096, 8192, 512 << 10, 256 << 20] as [UInt64])
    func otherBlockSizesAreRead(blockSize: UInt64) throws {
        let bitmap = max(512, blockSize / 4096)
        var memory = try EncodedImage(.vhd, virtualSize: blockSize, units: []).memory
        let footer = memory[0..<512]
        memory.truncate(to: 1536)
        memory.write([0, 0, 0, 4] + [UInt8](repeating: 0xFF, count: 508), at: 1536)
        memory.write([UInt8](repeating: 0xFF, count: Int(bitmap)), at: 2048)
        memory.write(footer, at: 2048 + bitmap + blockSize)
        Self.rewriteHeader(&memory) {
            $0.storeBigEndian(UInt32(1), at: 28)
            $0.storeBigEndian(UInt32(blockSize), at: 32)
        }
        let reader = try FormatCatalog.reader(for: .vhd, source: memory)
        #expect(reader.unitSize == blockSize)
        let whole = GuestRange(0, length: blockSize)
        #expect(
            try reader.extents(in: whole, atMost: 4, from: memory)
                == [MappedExtent(range: whole, mapping: .raw(FileOffset(2048 + bitmap)))])
        #expect(FormatCatalog.check(memory, as: .vhd).findings.isEmpty)
    }

    @Test(arguments: [0, 512, 2048, 3 << 20, 512 << 20] as [UInt32])
    func aBlockSizeThatCannotBeIsRefused(blockSize: UInt32) throws {
        var memory = try EncodedImage(.vhd, virtualSize: Self.block, units: []).memory
        Self.rewriteHeader(&memory) { $0.storeBigEndian(blockSize, at: 32) }
        let error = try #require(throws: ImageError.self) { try FormatCatalog.reader(for: .vhd, source: memory) }
        #expect(error.code == .corrupt)
        #expect(
            error.message == "VHD block size is \(blockSize), expected a power of two from 4 KiB to 256 MiB")
    }

    // MARK: Damage

    @Test func eitherFooterOfADynamicDiskWillDo() throws {
        let image = try EncodedImage(.vhd, virtualSize: 3 * Self.block, units: [0, 2])
        let extents = try image.extents(.vhd)
        for place in [0, image.memory.length - 512] {
            for damagedByte: UInt64 in [0, 100] {
                var damaged = image
                damaged.memory.write([0xAA], at: place + damagedByte)
                #expect(try damaged.extents(.vhd) == extents)
                let report = FormatCatalog.check(damaged.memory, as: .vhd)
                #expect(report.corruptions == 1 && report.findings.count == 1)
            }
        }
        var cut = image
        cut.memory.truncate(to: image.memory.length - 512)
        #expect(try cut.extents(.vhd) == extents)
        #expect(FormatCatalog.check(cut.memory, as: .vhd).corruptions == 1)
    }

    @Test func aWrongChecksumShowsBothValues() throws {
        var image = try EncodedImage(.vhd, virtualSize: 1 << 20, units: [], options: ["subformat": "fixed"])
        let stored = image.memory[(1 << 20) + 64..<(1 << 20) + 68].bigEndian(UInt32.self, at: 0)
        image.memory.write([1], at: (1 << 20) + 200)
        let error = try #require(throws: ImageError.self) {
            try FormatCatalog.reader(for: .vhd, source: image.memory)
        }
        #expect(error.code == .corrupt)
        #expect(error.offset == FileOffset((1 << 20) + 64))
        #expect(
            error.message
                == "VHD footer checksum is 0x\(String(stored, radix: 16)), but its bytes add up to "
                + "0x\(String(stored - 1, radix: 16)); the footer is damaged: run 'lathe check'")
        var dynamic = try EncodedImage(.vhd, virtualSize: 1 << 20, units: [])
        dynamic.memory.write([1], at: 1400)
        let header = try #require(throws: ImageError.self) {
            try FormatCatalog.reader(for: .vhd, source: dynamic.memory)
        }
        #expect(header.message.hasPrefix("VHD dynamic header checksum is 0xffff"))
    }

    @Test func footersThatContradictEachOtherAreRefused() throws {
        var image = try EncodedImage(.vhd, virtualSize: 1 << 20, units: [])
        Self.rewrite(&image.memory, at: 0) { $0.storeBigEndian(UInt64(2 << 20), at: 48) }
        let error = try #require(throws: ImageError.self) {
            try FormatCatalog.reader(for: .vhd, source: image.memory)
        }
        #expect(error.code == .corrupt)
        #expect(
            error.message.contains(
                "the virtual size is 1048576 in the one at the end and 2097152 in the one at byte 0"))
        #expect(FormatCatalog.check(image.memory, as: .vhd).corruptions == 1)
    }

    @Test func aGuestThatWritesAFooterIntoAFixedDiskMisleadsNobody() throws {
        let guest = try EncodedImage(.vhd, virtualSize: 1 << 30, units: []).memory
        var image = try EncodedImage(.vhd, virtualSize: 1 << 20, units: [], options: ["subformat": "fixed"])
        let fixedFooter = image.memory[1 << 20..<(1 << 20) + 512]
        // A fixed disk's footer means nothing at byte 0, nor does a damaged one.
        image.memory.write(fixedFooter, at: 0)
        #expect(try FormatCatalog.reader(for: .vhd, source: image.memory).virtualSize == 1 << 20)
        image.memory.write(Array("conectix".utf8) + [UInt8](repeating: 0, count: 504), at: 0)
        #expect(try FormatCatalog.reader(for: .vhd, source: image.memory).virtualSize == 1 << 20)
        image.memory.write(guest[0..<512], at: 0)
        let error = try #require(throws: ImageError.self) {
            try FormatCatalog.reader(for: .vhd, source: image.memory)
        }
        #expect(error.message.contains("the disk type is fixed in the one at the end and dynamic"))
    }

    @Test func aDifferencingDiskIsRefused() throws {
        var image = try EncodedImage(.vhd, virtualSize: Self.block, units: [])
        Self.rewriteFooters(&image.memory) { $0[63] = 4 }
        let error = try #require(throws: ImageError.self) {
            try FormatCatalog.reader(for: .vhd, source: image.memory)
        }
        #expect(error.code == .externalReference)
        let report = FormatCatalog.check(image.memory, as: .vhd)
        #expect(report.incomplete == nil, "what is in the file is checked without the parent")
        #expect(report.findings.map(\.expected).contains("one or more"), "there is no locator")
    }

    @Test func aFixedDiskThatIsCutShortIsRefused() throws {
        let image = try EncodedImage(.vhd, virtualSize: 1 << 20, units: [], options: ["subformat": "fixed"])
        var short = SparseMemory()
        short.write(image.memory[1 << 20..<(1 << 20) + 512], at: 1 << 19)
        let error = try #require(throws: ImageError.self) { try FormatCatalog.reader(for: .vhd, source: short) }
        #expect(error.code == .truncated)
        #expect(
            error.message
                == "the VHD is a fixed disk of 1048576 bytes, but its footer stands at byte 524288; the file is cut "
                + "short")
        var long = SparseMemory()
        long.write(image.memory[1 << 20..<(1 << 20) + 512], at: 1 << 21)
        #expect(FormatCatalog.check(long, as: .vhd).leaks == 1)
    }

    @Test func aTableTooShortForTheDiskIsRefused() throws {
        var image = try EncodedImage(.vhd, virtualSize: 3 * Self.block, units: [])
        Self.rewriteHeader(&image.memory) { $0[31] = 2 }
        let error = try #require(throws: ImageError.self) {
            try FormatCatalog.reader(for: .vhd, source: image.memory)
        }
        #expect(error.code == .corrupt)
        #expect(error.message.hasSuffix("has 2 entries, but 6291456 bytes in blocks of 2097152 need 3"))
        Self.rewriteHeader(&image.memory) { $0[31] = 4 }
        #expect(try FormatCatalog.reader(for: .vhd, source: image.memory).virtualSize == 3 * Self.block)
        let report = FormatCatalog.check(image.memory, as: .vhd)
        #expect(report.findings.map(\.kind) == [.warning], "Azure wants exactly as many as there are blocks")
        Self.rewriteHeader(&image.memory) { $0.storeBigEndian(UInt32.max, at: 28) }
        let huge = try #require(throws: ImageError.self) { try FormatCatalog.reader(for: .vhd, source: image.memory) }
        #expect(huge.code == .limitExceeded)
    }

    @Test(arguments: [0, 512, 1024, UInt64.max - 511, 1 << 63] as [UInt64])
    func aTableThatCannotBeThereIsRefused(offset: UInt64) throws {
        var image = try EncodedImage(.vhd, virtualSize: 3 * Self.block, units: [])
        Self.rewriteHeader(&image.memory) { $0.storeBigEndian(offset, at: 16) }
        #expect(throws: ImageError.self) { try FormatCatalog.reader(for: .vhd, source: image.memory) }
        #expect(FormatCatalog.check(image.memory, as: .vhd).corruptions == 1)
    }

    /// Sectors of the second block's bitmap that the first block, at sectors 7 to 4103, leaves no room for.
    @Test(arguments: [7, 8, 4103, 4104] as [UInt32]) func blocksThatShareAByteAreACorruption(sector: UInt32) throws {
        var image = try EncodedImage(.vhd, virtualSize: 3 * Self.block, units: [0, 1])
        var entry = [UInt8](repeating: 0, count: 4)
        entry.storeBigEndian(sector, at: 0)
        image.memory.write(entry, at: 1540)
        // Neither bitmap is the matter here.
        image.memory.write([UInt8](repeating: 0xFF, count: 512), at: UInt64(sector) * 512)
        image.memory.write([UInt8](repeating: 0xFF, count: 512), at: 3584)
        let report = FormatCatalog.check(image.memory, as: .vhd)
        #expect(report.corruptions == (sector < 4104 ? 1 : 0))
        #expect(report.findings.filter { $0.kind == .corruption }.allSatisfy { $0.guestOffset == GuestOffset(2 << 20) })
    }

    @Test(arguments: [(0, true), (1, true), (3, true), (4, false), (0xFFFF_FFFE, true)] as [(UInt32, Bool)])
    func aBlockOnTopOfMetadataOrPastTheEndIsSeen(sector: UInt32, isBad: Bool) throws {
        var image = try EncodedImage(.vhd, virtualSize: 2 * Self.block, units: [1])
        var entry = [UInt8](repeating: 0, count: 4)
        entry.storeBigEndian(sector, at: 0)
        image.memory.write(entry, at: 1540)
        if !isBad { image.memory.write([UInt8](repeating: 0xFF, count: 512), at: 2048) }
        let report = FormatCatalog.check(image.memory, as: .vhd)
        #expect(report.corruptions == (isBad ? 1 : 0))
        if isBad { #expect(throws: ImageError.self) { try image.extents(.vhd) } }
    }

    @Test func aBlockThatReachesIntoTheFooterIsSeen() throws {
        var image = try EncodedImage(.vhd, virtualSize: 2 * Self.block, units: [1])
        image.memory.write([0, 0, 0, 8], at: 1540)
        #expect(throws: ImageError.self) { try image.extents(.vhd) }
        #expect(FormatCatalog.check(image.memory, as: .vhd).corruptions == 1)
    }

    @Test func onlyAGapThatABlockFitsIntoIsALeak() throws {
        var image = try EncodedImage(.vhd, virtualSize: 4 * Self.block, units: [0, 1, 2])
        #expect(FormatCatalog.check(image.memory, as: .vhd).leaks == 0)
        image.memory.write([0xFF, 0xFF, 0xFF, 0xFF], at: 1540)
        let report = FormatCatalog.check(image.memory, as: .vhd)
        #expect(report.leaks == 1 && report.findings.count == 1)
        #expect(report.findings.first?.fileOffset == FileOffset(4096 + Self.block))
        image.memory.write([0xFF, 0xFF, 0xFF, 0xFF], at: 1544)
        #expect(FormatCatalog.check(image.memory, as: .vhd).leaks == 1)
    }

    @Test func theReportCountsBlocks() throws {
        let image = try EncodedImage(.vhd, virtualSize: 9 * Self.block + 512, units: [0, 3, 9])
        let report = FormatCatalog.check(image.memory, as: .vhd)
        #expect(report.totalUnits == 10 && report.allocatedUnits == 3 && report.fragmentedUnits == 0)
        #expect(report.imageEnd == FileOffset(image.memory.length))
    }

    /// One change of a footer or header each, and what the checker calls it.
    static let fieldChanges: [(Bool, Int, UInt8, CheckFinding.Kind)] = [
        (true, 11, 0, .warning), (true, 11, 6, .warning), (true, 15, 1, .warning), (true, 84, 1, .warning),
        (true, 84, 2, .warning), (true, 85, 2, .warning), (true, 511, 1, .warning), (true, 55, 1, .warning),
        (false, 8, 0, .warning), (false, 27, 1, .warning), (false, 40, 1, .warning), (false, 59, 1, .warning),
        (false, 63, 1, .warning), (false, 64, 1, .warning), (false, 600, 1, .warning), (false, 1023, 1, .warning),
    ]

    @Test(arguments: fieldChanges)
    func everyFieldIsChecked(isFooter: Bool, index: Int, value: UInt8, kind: CheckFinding.Kind) throws {
        var memory = try EncodedImage(.vhd, virtualSize: 4 * Self.block, units: [1]).memory
        if isFooter {
            Self.rewriteFooters(&memory) { $0[index] = value }
        } else {
            Self.rewriteHeader(&memory) { $0[index] = value }
        }
        let report = FormatCatalog.check(memory, as: .vhd)
        #expect(report.findings.map(\.kind) == [kind])
    }

    @Test func aNullUUIDAndDifferingFootersAreCorruptions() throws {
        var memory = try EncodedImage(.vhd, virtualSize: Self.block, units: [0]).memory
        Self.rewriteFooters(&memory) { $0.store([UInt8](repeating: 0, count: 16), at: 68) }
        #expect(FormatCatalog.check(memory, as: .vhd).corruptions == 1)
        Self.rewrite(&memory, at: 0) { $0[68] = 1 }
        #expect(FormatCatalog.check(memory, as: .vhd).corruptions == 2)
        #expect(try FormatCatalog.reader(for: .vhd, source: memory).virtualSize == Self.block)
    }

    @Test func aFileWithoutAFooterIsRefused() throws {
        for length: UInt64 in [0, 100, 511, 512, 5000] {
            var memory = SparseMemory()
            memory.truncate(to: length)
            let error = try #require(throws: ImageError.self) { try FormatCatalog.reader(for: .vhd, source: memory) }
            #expect(error.code == .corrupt)
            #expect(FormatCatalog.check(memory, as: .vhd).corruptions == 1)
        }
    }
}
