import ImageModel
import LatheTestSupport
import Testing

@testable import ImageFormats

/// Differencing images are checked without their parents: by what they say of them.
@Suite struct ParentCheckTests {
    /// A differencing vhd of three blocks with one locator at byte 2048, of which some bytes of the header are overwritten.
    static func differencing(_ writes: [(Int, [UInt8])] = []) throws -> SparseMemory {
        var memory = try EncodedImage(.vhd, virtualSize: 6 << 20, units: [0, 2]).memory
        VHDTests.rewriteFooters(&memory) { $0[63] = 4 }
        var header = memory[512..<1536]
        header.store(1...16, at: 40)
        header.store([0, 0x70, 0, 0x61, 0, 0x2E, 0, 0x76], at: 64)
        header.store("W2ru".utf8, at: 576)
        header.storeBigEndian(UInt32(512), at: 580)
        header.storeBigEndian(UInt32(20), at: 584)
        header.storeBigEndian(UInt64(2048), at: 592)
        for (offset, bytes) in writes { header.store(bytes, at: offset) }
        header.storeBigEndian(vhdChecksum(header, checksumAt: 36), at: 36)
        memory.write(header, at: 512)
        // Not every sector was written: that is what such a disk is for.
        memory.write([0x0F], at: 3584)
        return memory
    }

    @Test func aDifferencingVHDIsSoundByItself() throws {
        let report = FormatCatalog.check(try Self.differencing(), as: .vhd)
        #expect(report.findings.isEmpty && report.incomplete == nil, "\(report.findings.map(\.message))")
        #expect(report.allocatedUnits == 2 && report.totalUnits == 3)
    }

    static let changes: [(Int, [UInt8], CheckFinding.Kind, UInt64)] = [
        (40, [UInt8](repeating: 0, count: 16), .corruption, 552),
        (64, [UInt8](repeating: 0, count: 8), .warning, 576),
        (576, [0, 0, 0, 0], .corruption, 1088),
        (576, [1, 2, 3, 4], .warning, 1088),
        // A length beyond the space; places at the table, in a block, behind the end, beyond all numbers.
        (584, [0, 0, 4, 0], .corruption, 1096),
        (592, [0, 0, 0, 0, 0, 0, 6, 0], .corruption, 1104),
        (592, [0, 0, 0, 0, 1, 0, 0, 0], .corruption, 1104),
        (592, [255, 255, 255, 255, 255, 255, 255, 255], .corruption, 1104),
    ]

    @Test(arguments: changes) func whatItSaysOfTheParentIsChecked(
        offset: Int, bytes: [UInt8], kind: CheckFinding.Kind, place: UInt64
    ) throws {
        let report = FormatCatalog.check(try Self.differencing([(offset, bytes)]), as: .vhd)
        let first = try #require(report.findings.first)
        #expect(first.kind == kind && first.fileOffset == FileOffset(place), "\(report.findings.map(\.message))")
    }

    @Test func aBlockOnALocatorIsACorruption() throws {
        let report = FormatCatalog.check(
            try Self.differencing([(592, [0, 0, 0, 0, 0, 0, 0x20, 0])]), as: .vhd)
        #expect(report.corruptions == 1)
        #expect(report.findings.first?.expected?.contains("one apart from a parent locator") == true)
    }

    @Test func aSpaceMayBeCountedInSectors() throws {
        let report = FormatCatalog.check(try Self.differencing([(580, [0, 0, 0, 1])]), as: .vhd)
        #expect(report.findings.isEmpty, "\(report.findings.map(\.message))")
    }

    @Test func itsFooterIsMendedWithoutTheParent() throws {
        let whole = try Self.differencing()
        var image = whole
        image.truncate(to: whole.length - 512)
        let report = FormatCatalog.check(image, as: .vhd)
        let plan = try #require(try FormatCatalog.repairPlan(for: image, as: .vhd, report, scope: .all))
        let before = image
        try plan.forEachStep { (step) throws(ImageError) in
            if case .write(let segment) = step { try image.write(segment) }
        }
        #expect(image == whole)
        try FormatCatalog.requireSameMapping(before, image, as: .vhd)
    }

    // MARK: vdi

    static func vdi(type: UInt8, linkage: UInt8) throws -> CheckReport {
        var memory = try EncodedImage(.vdi, virtualSize: 3 << 20, units: [0, 2]).memory
        memory.write([type], at: 76)
        memory.write([UInt8](repeating: linkage, count: 16), at: 424)
        return FormatCatalog.check(memory, as: .vdi)
    }

    @Test func aDifferencingVDIIsSoundByItself() throws {
        let report = try Self.vdi(type: 4, linkage: 7)
        #expect(report.findings.isEmpty && report.incomplete == nil, "\(report.findings.map(\.message))")
    }

    @Test func typeAndLinkageOfAVDIGoTogether() throws {
        #expect(try Self.vdi(type: 4, linkage: 0).findings.map(\.fileOffset) == [FileOffset(424)])
        #expect(try Self.vdi(type: 1, linkage: 7).findings.map(\.fileOffset) == [FileOffset(424)])
        let fixed = try Self.vdi(type: 2, linkage: 0)
        #expect(fixed.warnings == 1 && fixed.findings.first?.found == "one of 2 blocks")
    }
}
