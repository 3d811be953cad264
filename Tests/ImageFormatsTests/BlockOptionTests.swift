import ImageModel
import LatheTestSupport
import Testing

@testable import ImageFormats

/// Options that change how blocks are laid out: `block_size` and `align` of vhd, `static` of vdi.
@Suite struct BlockOptionTests {
    private static func refusal(_ format: ImageFormat, size: UInt64 = 1 << 30, _ options: [String: String])
        -> ImageError?
    {
        let parameters = EncoderParameters(contentLength: size, virtualSize: size)
        do throws(ImageError) {
            _ = try FormatCatalog.encoder(for: format, parameters: parameters, options: FormatOptions(options))
            return nil
        } catch { return error }
    }

    // MARK: vhd

    @Test(arguments: ["512k", "1M", "2097152", "4m", "8M"]) func blocksOfEverySizeAreFound(size: String) throws {
        for units in allocationPatterns(unitCount: 23, seed: 5) {
            let block = try EncodedImage(.vhd, virtualSize: 8 << 20, units: [], options: ["block_size": size]).unitSize
            let image = try EncodedImage(
                .vhd, virtualSize: 23 * block - 512, units: units, options: ["block_size": size])
            #expect(image.memory[544..<548].bigEndian(UInt32.self, at: 0) == UInt32(image.unitSize), "Block Size")
            #expect(image.memory[540..<544].bigEndian(UInt32.self, at: 0) == 23, "Max Table Entries")
            #expect(image.places.values.allSatisfy { $0.bytes % 4096 == 0 })
            try image.expectFaithful(.vhd)
        }
    }

    @Test func aSmallerBlockOfTheLargestDiskIsRefusedWhereItsNumberEnds() throws {
        let size: UInt64 = 2040 << 30
        let parameters = EncoderParameters(contentLength: size, virtualSize: size)
        let options = FormatOptions(["block_size": "512k"])
        var encoder = try VHDEncoder(parameters: parameters, options: options)
        var metadata: [MetadataSegment] = []
        encoder.allocatedBlocks = 4_161_000
        let error = #expect(throws: ImageError.self) {
            for unit: UInt64 in 0..<3000 {
                _ = try encoder.place(unit: unit, storedLength: 512 << 10, metadata: &metadata)
            }
        }
        #expect(error?.code == .limitExceeded && error?.message.contains("block_size") == true)
    }

    @Test func sizesOfBlocksThatCannotBeAreRefused() {
        for size in ["256k", "16M", "3M", "0", "1.5M", "M", "", "512kk"] {
            #expect(Self.refusal(.vhd, ["block_size": size])?.message.contains("block_size is a power of two") == true)
        }
        let fixed = Self.refusal(.vhd, ["subformat": "fixed", "block_size": "2M"])
        #expect(fixed?.code == .invalidOption && fixed?.message.contains("subformat=dynamic") == true)
    }

    @Test(arguments: ["dynamic", "fixed"]) func anAlignedDiskIsRoundedUp(subformat: String) throws {
        let options = FormatOptions(["subformat": subformat, "align": "1M"])
        for (size, expected) in [(512, 1 << 20), (1 << 20, 1 << 20), (3 << 20 | 512, 4 << 20)] as [(UInt64, UInt64)] {
            let parameters = EncoderParameters(contentLength: size, virtualSize: size)
            var encoder = try FormatCatalog.encoder(for: .vhd, parameters: parameters, options: options)
            #expect(encoder.writtenSize == (size == expected ? nil : expected))
            #expect(encoder.options["align"] == "1048576")
            var metadata: [MetadataSegment] = []
            let content = ContentIdentity(fingerprint: 1, virtualSize: expected)
            let length = try encoder.finish(content: content, metadata: &metadata)
            var memory = SparseMemory()
            for segment in metadata { try memory.write(segment) }
            memory.truncate(to: length)
            #expect(try FormatCatalog.reader(for: .vhd, source: memory).virtualSize == expected)
            #expect(FormatCatalog.check(memory, as: .vhd).findings.isEmpty)
            if subformat == "fixed" { #expect(length == expected + 512) }
        }
    }

    @Test func whatAProgramDoesNotTakeIsARemarkAndNoFinding() throws {
        func report(_ format: ImageFormat, _ size: UInt64, _ options: [String: String]) throws -> CheckReport {
            let image = try EncodedImage(format, virtualSize: size, units: [], options: options)
            return FormatCatalog.check(image.memory, as: format)
        }
        for (format, options, program, whole) in [
            (ImageFormat.vhd, ["subformat": "fixed"], "Azure", 1 << 20),
            (.vmdk, ["subformat": "streamOptimized"], "VMware", 64 << 10),
        ] as [(ImageFormat, [String: String], String, UInt64)] {
            let odd = try report(format, whole + 512, options)
            #expect(odd.remarks.count == 1 && odd.remarks.first?.contains(program) == true)
            #expect(odd.isSound && odd.findings.isEmpty)
            #expect(try report(format, whole, options).remarks.isEmpty)
            let rounded = try report(format, whole + 512, options.merging(["align": "\(whole)"]) { $1 })
            #expect(rounded.remarks.isEmpty && rounded.findings.isEmpty)
        }
    }

    @Test func alignmentsThatCannotBeAreRefused() {
        for size in ["3M", "256", "2G"] { #expect(Self.refusal(.vhd, ["align": size])?.code == .invalidOption) }
        #expect(Self.refusal(.vhd, size: (2040 << 30) - 512, ["align": "1G"]) == nil)
        #expect(Self.refusal(.vhd, size: (2040 << 30) - (1 << 30), ["align": "1M"]) == nil)
        #expect(Self.refusal(.qcow2, ["align": "1M"])?.code == .invalidOption)
    }

    // MARK: vdi

    @Test func aStaticDiskHasEveryBlockAtItsPlace() throws {
        let image = try EncodedImage(.vdi, virtualSize: 5 << 20 | 512, units: [1, 4], options: ["static": "on"])
        #expect(image.memory[76..<80] == [2, 0, 0, 0], "VDI_IMAGE_TYPE_FIXED")
        #expect(image.memory[384..<392] == [6, 0, 0, 0, 6, 0, 0, 0], "cBlocks, cBlocksAllocated")
        #expect(image.memory[1 << 20..<(1 << 20) + 24].enumerated().allSatisfy { $1 == ($0 % 4 == 0 ? $0 / 4 : 0) })
        #expect(image.places == [1: FileOffset(3 << 20), 4: FileOffset(6 << 20)])
        #expect(image.memory.length == 8 << 20)
        #expect(
            try image.extents(.vdi) == [
                MappedExtent(range: GuestRange(0, length: 5 << 20 | 512), mapping: .raw(FileOffset(2 << 20)))
            ])
        let report = FormatCatalog.check(image.memory, as: .vdi)
        #expect(report.findings.isEmpty && report.allocatedUnits == 6)
    }

    @Test func bothNamesOfAStaticDiskMeanTheSame() throws {
        let parameters = EncoderParameters(contentLength: 512, virtualSize: 512)
        func options(_ given: [String: String]) throws -> [String: String] {
            try FormatCatalog.encoder(for: .vdi, parameters: parameters, options: FormatOptions(given)).options
        }
        let expected = ["static": "on", "subformat": "static"]
        #expect(try options(["static": "on"]) == expected && options(["subformat": "Static"]) == expected)
        #expect(try options(expected) == expected)
        let contradiction = Self.refusal(.vdi, ["static": "on", "subformat": "dynamic"])
        #expect(contradiction?.message.contains("drop one of them") == true)
        #expect(Self.refusal(.vdi, ["subformat": "fixed"])?.code == .invalidOption)
    }
}
