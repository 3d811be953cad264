import ImageModel
import LatheTestSupport
import Testing

@testable import ImageFormats

/// What both subformats share.
@Suite struct VMDKTests {
    static let grain: UInt64 = 64 << 10
    /// What one grain table covers.
    static let table: UInt64 = 32 << 20
    /// Sizes on both sides of a sector, a grain, a table, a sector of the directory and a slice of it.
    static let sizes: [UInt64] = [
        0, 512, grain - 512, grain, grain + 512, table - 512, table, table + 512, 128 * table, 128 * table + 512,
        2 << 40, (2 << 40) + 512,
    ]
    static let subformats = ["monolithicSparse", "streamOptimized"]

    /// A stored length for each unit, on both sides of what fills sectors and up to what can't be compressed.
    static func storedLength(_ unit: UInt64) -> UInt64 { [1, 500, 501, 40_000, 65_541][Int(unit % 5)] }

    static func image(
        _ subformat: String, size: UInt64, units: [UInt64], options: [String: String] = [:], fingerprint: UInt64 = 7
    ) throws -> EncodedImage {
        let isStream = subformat == "streamOptimized"
        return try EncodedImage(
            .vmdk, virtualSize: size, units: units, options: options.merging(["subformat": subformat]) { $1 },
            fingerprint: fingerprint, storedLength: { isStream ? storedLength($0) : nil })
    }

    static func descriptor(_ image: EncodedImage) -> String {
        String(decoding: image.memory[512..<1536].prefix { $0 != 0 }, as: UTF8.self)
    }

    static func refusal(_ memory: SparseMemory) -> ImageError? {
        do throws(ImageError) {
            _ = try FormatCatalog.reader(for: .vmdk, source: memory)
            return nil
        } catch {
            return error
        }
    }

    static func encoderRefusal(_ options: [String: String], size: UInt64 = 1 << 20) -> ImageError? {
        do throws(ImageError) {
            let parameters = EncoderParameters(contentLength: size, virtualSize: size)
            _ = try FormatCatalog.encoder(for: .vmdk, parameters: parameters, options: FormatOptions(options))
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: sizes, subformats) func theReaderGivesBackWhatTheEncoderPlaced(size: UInt64, subformat: String)
        throws
    {
        let grains = size.dividedRoundingUp(by: Self.grain)
        let patterns = allocationPatterns(unitCount: grains, seed: size + 1)
        // On a disk of terabytes one pattern says what there is to say, and every walk of its tables takes its time.
        for units in size < 1 << 40 ? patterns : [[0, 511, 512, grains - 1]] {
            try Self.image(subformat, size: size, units: units).expectFaithful(.vmdk)
        }
    }

    @Test(arguments: subformats) func aDiskOfSixteenTebibytesHasTablesOfThatSizeAndNothingElse(subformat: String) throws
    {
        let size: UInt64 = 16 << 40
        let last = size / Self.grain - 1
        let image = try Self.image(subformat, size: size, units: [0, last])
        #expect(image.metadata.count < 20)
        let reader = try FormatCatalog.reader(for: .vmdk, source: image.memory)
        #expect(reader.virtualSize == size)
        let start = try reader.extents(in: GuestRange(0, length: 4 * Self.table), atMost: 9, from: image.memory)
        #expect(start.map(\.mapping.readsAsZero) == [false, true])
        let end = try reader.extents(
            in: GuestRange(size - 2 * Self.grain, length: 2 * Self.grain), atMost: 9, from: image.memory)
        #expect(end.map(\.mapping.readsAsZero) == [true, false])
    }

    @Test(arguments: subformats) func smallBatchesOfExtentsAddUpToTheSameMapping(subformat: String) throws {
        let image = try Self.image(subformat, size: 3 * Self.table, units: [0, 1, 3, 511, 512, 1535])
        #expect(try image.extents(.vmdk, batch: 1) == image.extents(.vmdk, batch: 100))
    }

    @Test(arguments: subformats) func aRangeInsideAGrainIsMappedToItsOwnBytes(subformat: String) throws {
        let image = try Self.image(subformat, size: Self.table, units: [2])
        let reader = try FormatCatalog.reader(for: .vmdk, source: image.memory)
        let range = GuestRange(2 * Self.grain + 1024, length: 512)
        let answer = try reader.extents(in: range, atMost: 5, from: image.memory)
        let place = try #require(image.places[2])
        if subformat == "monolithicSparse" {
            #expect(answer == [MappedExtent(range: range, mapping: .raw(place + 1024))])
        } else {
            let unit = CompressedUnit(
                stored: FileRange(start: place, length: Self.storedLength(2)),
                content: GuestRange(2 * Self.grain, length: Self.grain), method: .zlib)
            #expect(answer == [MappedExtent(range: range, mapping: .compressed(unit))])
        }
    }

    // MARK: The descriptor

    @Test func theDescriptorSaysWhatEveryProgramWantsToKnow() throws {
        let image = try Self.image("monolithicSparse", size: 20 << 20, units: [])
        let lines = Self.descriptor(image).split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count == 19 && lines.last == "")
        #expect(lines[0] == "# Disk DescriptorFile")
        #expect(lines[1] == "version=1")
        #expect(lines[3] == "parentCID=ffffffff")
        #expect(lines[4] == "createType=\"monolithicSparse\"")
        #expect(lines[7] == "RW 40960 SPARSE \"disk.vmdk\"")
        #expect(lines[13] == "ddb.geometry.cylinders = \"40\"")
        #expect(lines[14] == "ddb.geometry.heads = \"16\"")
        #expect(lines[15] == "ddb.geometry.sectors = \"63\"")
        #expect(lines[17] == "ddb.virtualHWVersion = \"4\"")
        #expect(lines[2].hasPrefix("CID=") && lines[2].count == 12)
        #expect(lines[16].hasSuffix(lines[2].dropFirst(4) + "\""))
    }

    @Test func aStreamSaysThatItIsReadOnlyAndForRecentHardware() throws {
        let text = Self.descriptor(try Self.image("streamOptimized", size: 20 << 20, units: []))
        #expect(text.contains("\nRDONLY 40960 SPARSE \"disk.vmdk\"\n"))
        #expect(text.contains("\ncreateType=\"streamOptimized\"\n"))
        #expect(text.contains("\nddb.virtualHWVersion = \"8\"\n"))
    }

    @Test(arguments: [
        ("ide", 16383, 16), ("lsilogic", 65535, 255), ("buslogic", 65535, 255), ("legacyESX", 65535, 255),
    ])
    func theAdapterSettlesTheGeometry(adapter: String, mostCylinders: Int, heads: Int) throws {
        let options = ["adapter_type": adapter.uppercased(), "hwversion": "14"]
        let text = Self.descriptor(
            try Self.image("monolithicSparse", size: 2 << 40, units: [], options: options))
        #expect(text.contains("ddb.adapterType = \"\(adapter)\"\n"))
        #expect(text.contains("ddb.geometry.cylinders = \"\(mostCylinders)\"\n"))
        #expect(text.contains("ddb.geometry.heads = \"\(heads)\"\n"))
        #expect(text.contains("ddb.virtualHWVersion = \"14\"\n"))
    }

    @Test(arguments: subformats) func identifiersFollowTheContent(subformat: String) throws {
        let first = try Self.image(subformat, size: Self.grain, units: [0], fingerprint: 1)
        let again = try Self.image(subformat, size: Self.grain, units: [0], fingerprint: 1)
        let other = try Self.image(subformat, size: Self.grain, units: [0], fingerprint: 2)
        #expect(first.memory == again.memory)
        #expect(Self.descriptor(first) != Self.descriptor(other))
        #expect(first.memory[0..<512] == other.memory[0..<512])
    }

    @Test func contentIDsThatMeanSomethingElseAreNotUsed() {
        for reserved in [0, 0xFFFF_FFFE, 0xFFFF_FFFF] as [UInt64] {
            #expect(!VMDKDescriptorPlan.isUsable(contentID: reserved))
        }
        #expect(VMDKDescriptorPlan.isUsable(contentID: 1) && VMDKDescriptorPlan.isUsable(contentID: 0xFFFF_FFFD))
    }

    @Test func anExtentWithRoomForADescriptorButNoTextIsRefused() throws {
        var image = try Self.image("monolithicSparse", size: 20 << 20, units: [])
        image.memory.write([0], at: 512)
        let error = try #require(Self.refusal(image.memory))
        #expect(error.code == .unsupported && error.message.contains("several extents"))
    }

    @Test func theReaderTellsWhatInfoShows() throws {
        let image = try Self.image("streamOptimized", size: Self.grain, units: [0])
        let details = try FormatCatalog.reader(for: .vmdk, source: image.memory).details
        #expect(
            details.map(\.key) == [
                "version", "create-type", "cid", "parent-cid", "compressed", "adapter-type", "hwversion",
            ])
        #expect(details[1].value == .text("streamOptimized"))
        #expect(details[3].value == .number(0xFFFF_FFFF))
        #expect(details[4].value == .flag(true))
    }

    // MARK: Options and limits

    @Test func aStreamIsCompressedAtTheLevelAskedFor() throws {
        func storage(_ options: [String: String]) throws -> UnitStorage {
            let parameters = EncoderParameters(contentLength: 512, virtualSize: 512)
            return try FormatCatalog.encoder(for: .vmdk, parameters: parameters, options: FormatOptions(options))
                .storage
        }
        #expect(try storage([:]) == .plain)
        #expect(
            try storage(["subformat": "streamoptimized"])
                == .compressed(UnitCompression(.zlib, by: .libdeflate, level: 5)))
        #expect(
            try storage(["subformat": "streamOptimized", "compression_level": "12"])
                == .compressed(UnitCompression(.zlib, by: .libdeflate, level: 12)))
    }

    @Test func optionsThatCanNotHoldAreRefused() throws {
        let level = try #require(Self.encoderRefusal(["compression_level": "3"]))
        #expect(Self.encoderRefusal(["subformat": "monolithicFlat", "compression_level": "3"])?.code == .invalidOption)
        #expect(level.code == .invalidOption && level.message.contains("needs subformat=streamOptimized"))
        for options in [
            ["compression_level": "0"], ["subformat": "vmfs"], ["adapter_type": "nvme"], ["hwversion": "new"],
            ["zeroed_grain": "on"], ["subformat": "streamOptimized", "compression_level": "13"],
        ] {
            #expect(Self.encoderRefusal(options)?.code == .invalidOption, "\(options)")
        }
    }

    @Test(arguments: subformats) func aDiskOfMoreTablesThanProgramsOpenIsRefused(subformat: String) throws {
        #expect(Self.encoderRefusal(["subformat": subformat], size: 1 << 50) == nil)
        let error = try #require(Self.encoderRefusal(["subformat": subformat], size: (1 << 50) + 512))
        #expect(error.code == .limitExceeded && error.message.contains("\(UInt64(1) << 50)"))
    }

    // MARK: What is not ours to read

    @Test func filesThatAreNoVMDKAreRefused() throws {
        func file(_ start: some Sequence<UInt8>) -> SparseMemory {
            var memory = SparseMemory(Array(start))
            memory.truncate(to: 8192)
            return memory
        }
        #expect(Self.refusal(file("# Disk DescriptorFile\nversion=1\n".utf8))?.code == .corrupt)
        #expect(Self.refusal(file("COWD".utf8))?.code == .unsupported)
        #expect(Self.refusal(file([0xBE, 0xBA, 0xFE, 0xCA, 0, 0, 0, 0]))?.code == .unsupported)
        #expect(Self.refusal(file("QFI".utf8))?.code == .corrupt)
        #expect(Self.refusal(SparseMemory([]))?.code == .truncated)
    }

    @Test(arguments: [
        ("parentCID=ffffffff", "parentCID=12345678", ImageError.Code.externalReference),
        ("parentCID=", "xarentCID=", .corrupt), ("\nCID=", "\nDID=", .corrupt),
        ("createType=", "createTyqe=", .corrupt),
        ("SPARSE", "FLAT  ", .externalReference),
        ("RW 40960", "XX 40960", .corrupt), ("#DDB", "RW 1", .corrupt),
        ("40960 SPARSE", "x0960 SPARSE", .corrupt),
        ("ddb.adapterType = \"ide\"", "RW 10 SPARSE \"b.vmdk\"  ", .externalReference),
        ("# Extent description", "parentFileNameHint=x", .corrupt),
        ("RW 40960 SPARSE", "NOACCESS 1 ZERO", .unsupported),
        ("SPARSE \"disk.vmdk\"", "VMFSRDM \"disk.vmd\"", .unsupported),
        ("monolithicSparse", "fullDevice\"      ", .unsupported),
    ])
    func aDescriptorOfADiskInSeveralFilesIsRefused(old: String, new: String, code: ImageError.Code) throws {
        var image = try Self.image("monolithicSparse", size: 20 << 20, units: [])
        let text = Self.descriptor(image)
        let place = try #require(Array(text.utf8).firstRange(of: Array(old.utf8)))
        image.memory.write(Array(new.utf8), at: 512 + UInt64(place.lowerBound))
        #expect(Self.refusal(image.memory)?.code == code)
    }

    @Test func headersThatCanNotBeAreRefused() throws {
        let image = try Self.image("monolithicSparse", size: 20 << 20, units: [0])
        func damaged(_ bytes: [UInt8], at offset: UInt64) -> ImageError? {
            var memory = image.memory
            memory.write(bytes, at: offset)
            return Self.refusal(memory)
        }
        let ones = [UInt8](repeating: 0xFF, count: 8)
        #expect(damaged([4], at: 4)?.code == .unsupported)
        #expect(damaged([0x0D, 0x0A], at: 73)?.message.contains("transferred as text") == true)
        #expect(damaged(ones, at: 12)?.code == .limitExceeded)
        #expect(damaged([0, 0, 0, 0, 0, 4], at: 12)?.code == .limitExceeded)
        #expect(damaged([0x81], at: 20)?.code == .corrupt)
        #expect(damaged([0], at: 20)?.code == .corrupt)
        #expect(damaged([0, 0], at: 28)?.code == .unsupported)
        #expect(damaged(ones, at: 28)?.code == .limitExceeded)
        #expect(damaged(ones, at: 36)?.code == .limitExceeded)
        #expect(damaged([0, 0, 0, 0], at: 44)?.code == .corrupt)
        #expect(damaged([0xFF, 0xFF, 0xFF, 0], at: 56)?.code == .truncated)
        #expect(damaged(ones, at: 64)?.code == .corrupt)
        #expect(damaged([1], at: 77)?.code == .corrupt)
        #expect(damaged([2], at: 77)?.code == .unsupported)
        #expect(damaged(ones, at: 56)?.code == .truncated)
    }
}
