import ImageModel
import LatheTestSupport
import Synchronization
import Testing

@testable import ImageFormats

/// Counts the bytes that are read of a file in memory.
final class CountingSource: ImageSource {
    let memory: SparseMemory
    let count = Mutex<UInt64>(0)

    init(_ memory: SparseMemory) { self.memory = memory }

    var name: String { memory.name }
    var length: UInt64 { memory.length }

    func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result) throws(ImageError)
        -> Result
    {
        count.withLock { $0 += range.length }
        return try memory.withBytes(of: range, body)
    }

    func nextData(from start: FileOffset, limit: FileOffset) throws(ImageError) -> FileRange? {
        try memory.nextData(from: start, limit: limit)
    }
}

@Suite struct VMDKSparseTests {
    static let grain = VMDKTests.grain
    /// The grain table of a disk of up to 32 MiB and its copy: behind a directory of one sector each.
    static let copy: UInt64 = 22 * 512
    static let table: UInt64 = 27 * 512

    static func image(size: UInt64 = 20 << 20, units: [UInt64], options: [String: String] = [:]) throws -> EncodedImage
    {
        try VMDKTests.image("monolithicSparse", size: size, units: units, options: options)
    }

    static func check(_ image: EncodedImage) -> CheckReport { FormatCatalog.check(image.memory, as: .vmdk) }

    @Test func everythingStandsWhereVMwareLaysIt() throws {
        let image = try Self.image(units: [1, 4])
        let head = image.memory[0..<80]
        #expect(head[0..<12] == [0x4B, 0x44, 0x4D, 0x56, 1, 0, 0, 0, 3, 0, 0, 0])
        let fields = (0..<7).map { head.littleEndian(UInt64.self, at: [12, 20, 28, 36, 48, 56, 64][$0]) }
        #expect(fields == [40960, 128, 1, 20, 21, 26, 128])
        #expect(head[44..<48] == [0, 2, 0, 0])
        #expect(head[72..<80] == [0, 10, 32, 13, 10, 0, 0, 0])
        #expect(image.memory[21 * 512..<21 * 512 + 8] == [22, 0, 0, 0, 0, 0, 0, 0])
        #expect(image.memory[26 * 512..<26 * 512 + 8] == [27, 0, 0, 0, 0, 0, 0, 0])
        let entries: [UInt8] = [0, 0, 0, 0, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
        #expect(image.memory[Self.copy..<Self.copy + 24] == entries)
        #expect(image.memory[Self.table..<Self.table + 24] == entries)
        #expect(image.places == [1: FileOffset(65536), 4: FileOffset(131072)])
        #expect(image.memory.length == 196_608)
    }

    @Test func everyTableHasItsPlaceInBothDirectories() throws {
        // 129 tables: a directory of two sectors.
        let image = try Self.image(size: 129 * VMDKTests.table, units: [128 * 512])
        let head = image.memory[0..<80]
        #expect(head.littleEndian(UInt64.self, at: 48) == 21)
        #expect(head.littleEndian(UInt64.self, at: 56) == 21 + 2 + 129 * 4)
        #expect(head.littleEndian(UInt64.self, at: 64) == 1152)
        for start in [21, 539] as [UInt64] {
            let directory = image.memory[start * 512..<(start + 2) * 512]
            for index in 0..<129 {
                #expect(UInt64(directory.littleEndian(UInt32.self, at: 4 * index)) == start + 2 + 4 * UInt64(index))
            }
            #expect(directory[516...].allSatisfy { $0 == 0 })
        }
        #expect(image.places[128 * 512] == FileOffset(1152 * 512))
    }

    @Test func anEmptyDiskIsItsMetadata() throws {
        #expect(try Self.image(size: 0, units: []).memory.length == 65536)
        #expect(try Self.image(size: 1 << 30, units: []).memory.length == 196_608)
    }

    @Test func aFileOfMoreThanTwoTebibytesIsRefused() throws {
        let plan = VMDKDescriptorPlan(
            subformat: .monolithicSparse, adapter: .ide, hardwareVersion: 4, capacity: 4 << 31)
        var encoder = VMDKSparseEncoder(plan)
        var metadata: [MetadataSegment] = []
        encoder.placedGrains = ((1 << 32) - encoder.overHead) / 128 - 1
        let last = try encoder.place(grain: 0, metadata: &metadata)
        #expect(last == FileOffset((2 << 40) - Self.grain))
        do throws(ImageError) {
            _ = try encoder.place(grain: 1, metadata: &metadata)
            Issue.record("a grain past 2 TiB was placed")
        } catch {
            #expect(error.code == .limitExceeded && error.message.contains("32-bit"))
        }
    }

    @Test func tablesThatAreHolesOfTheFileAreNotRead() throws {
        let image = try Self.image(size: 1 << 40, units: [1 << 20])
        let source = CountingSource(image.memory)
        let reader = try FormatCatalog.reader(for: .vmdk, source: source)
        let extents = try reader.extents(in: GuestRange(0, length: 1 << 40), atMost: 10, from: source)
        #expect(extents.map(\.mapping.readsAsZero) == [true, false, true])
        #expect(FormatCatalog.check(source, as: .vmdk).findings.isEmpty)
        // The directories have 128 KiB each, the tables 64 MiB.
        #expect(source.count.withLock { $0 } < 4 << 20)
    }

    // MARK: What the checker sees

    @Test func twoGrainsInOnePlaceAreACorruptionAndLeaveALeak() throws {
        var image = try Self.image(units: [0, 1, 2])
        for table in [Self.copy, Self.table] { image.memory.write([128, 0, 0, 0], at: table + 4) }
        let report = Self.check(image)
        #expect(report.corruptions == 1 && report.leaks == 1 && report.warnings == 0)
        #expect(report.findings.first?.guestOffset == GuestOffset(Self.grain))
        #expect(report.findings.last?.fileOffset == FileOffset(2 * Self.grain))
    }

    @Test func twoTablesInOnePlaceAreACorruption() throws {
        var image = try Self.image(size: 3 * VMDKTests.table, units: [])
        for directory in [21, 34] as [UInt64] {
            let first = image.memory[directory * 512..<directory * 512 + 4]
            image.memory.write(first, at: directory * 512 + 8)
        }
        let report = Self.check(image)
        #expect(report.corruptions == 1)
        #expect(report.findings.first?.guestOffset == GuestOffset(2 * VMDKTests.table))
    }

    @Test func tableAndCopyThatDifferAreACorruption() throws {
        var image = try Self.image(units: [0, 1, 2])
        image.memory.write([0, 0, 0, 0], at: Self.copy + 4)
        let report = Self.check(image)
        #expect(report.corruptions == 1)
        #expect(report.findings.first?.guestOffset == GuestOffset(Self.grain))
        #expect(report.findings.first?.fileOffset == FileOffset(Self.table + 4))
        image.memory.write([0, 0, 0, 0], at: 21 * 512)
        #expect(Self.check(image).findings.first?.message.contains("one of them is missing") == true)
    }

    @Test func aGrainOutsideOfTheFileOrInsideTheMetadataIsACorruption() throws {
        for (entry, reader) in [([0, 16, 0, 0], true), ([3, 0, 0, 0], true), ([64, 0, 0, 0], false)]
            as [([UInt8], Bool)]
        {
            var image = try Self.image(units: [0])
            for table in [Self.copy, Self.table] { image.memory.write(entry, at: table) }
            #expect(Self.check(image).corruptions == 1, "\(entry)")
            if reader { #expect(throws: ImageError.self) { try image.extents(.vmdk) } }
        }
    }

    @Test func oddButReadableImagesAreWarnings() throws {
        var unclean = try Self.image(units: [0])
        unclean.memory.write([1], at: 72)
        #expect(Self.check(unclean).warnings == 1 && Self.check(unclean).corruptions == 0)
        var unaligned = try Self.image(units: [0, 1])
        unaligned.memory.truncate(to: unaligned.memory.length + 4096)
        for table in [Self.copy, Self.table] { unaligned.memory.write([8, 1, 0, 0], at: table + 4) }
        #expect(Self.check(unaligned).warnings == 1 && Self.check(unaligned).corruptions == 0)
    }

    @Test func aTailThatNothingPointsAtIsALeak() throws {
        var image = try Self.image(units: [0])
        image.memory.truncate(to: image.memory.length + 4096)
        let report = Self.check(image)
        #expect(report.leaks == 1 && report.imageEnd == FileOffset(2 * Self.grain))
    }

    @Test func aGrainOfZerosIsZeroAndNoHole() throws {
        var image = try Self.image(units: [0])
        image.memory.write([2, 0, 0, 0, 7], at: 4)
        for table in [Self.copy, Self.table] { image.memory.write([1, 0, 0, 0], at: table + 4) }
        let extents = try image.extents(.vmdk)
        #expect(extents.map(\.mapping) == [.raw(FileOffset(Self.grain)), .zero, .hole])
        #expect(Self.check(image).findings.isEmpty)
    }

    @Test func theRedundantDirectoryServesWhereThereIsNoOther() throws {
        var image = try Self.image(units: [0, 9])
        let before = try image.extents(.vmdk)
        image.memory.write([0, 0], at: 56)
        #expect(try image.extents(.vmdk) == before)
    }

    @Test func aDirectoryEntryOfZeroIsAHoleOfAWholeTable() throws {
        var image = try Self.image(size: 3 * VMDKTests.table, units: [0, 600, 1200])
        let directory = image.memory[56..<64].littleEndian(UInt64.self, at: 0) * 512
        image.memory.write([0, 0, 0, 0], at: directory + 4)
        let holes = try image.extents(.vmdk).filter { $0.mapping == .hole }
        #expect(holes.first?.range == GuestRange(Self.grain, length: 1199 * Self.grain))
    }
}
