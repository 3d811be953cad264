import ImageModel
import LatheTestSupport
import Testing

@testable import ImageFormats

/// Makes COWD extents as ESX lays them out: tables and grains in the order in which they are needed.
struct COWDBuilder {
    var memory = SparseMemory(name: "d-delta.vmdk")
    var nextSector: UInt64
    let grainSize: UInt64
    private var tables: [UInt64: UInt64] = [:]
    /// Where each grain stands, in sectors.
    private(set) var places: [UInt64: UInt64] = [:]

    init(capacity: UInt64, grainSize: UInt64, grains: [UInt64]) {
        self.grainSize = grainSize
        let tableCount = capacity.dividedRoundingUp(by: grainSize * 4096)
        nextSector = 4 + (tableCount * 4).dividedRoundingUp(by: 512)
        for grain in grains {
            let table = grain / 4096
            if tables[table] == nil {
                tables[table] = nextSector
                write(UInt32(nextSector), at: 4 * 512 + table * 4)
                nextSector += 32
            }
            places[grain] = nextSector
            write(UInt32(nextSector), at: entryOffset(grain))
            memory.write([UInt8](repeating: 7, count: Int(grainSize) * 512), at: nextSector * 512)
            nextSector += grainSize
        }
        memory.write(Array("COWD".utf8), at: 0)
        for (offset, value) in [
            (4, 1), (8, 3), (12, capacity), (16, grainSize), (20, 4), (24, tableCount), (28, nextSector),
        ] as [(UInt64, UInt64)] { write(UInt32(value), at: offset) }
        memory.truncate(to: max(memory.length, nextSector * 512, 2048))
    }

    func entryOffset(_ grain: UInt64) -> UInt64 { (tables[grain / 4096] ?? 0) * 512 + grain % 4096 * 4 }

    mutating func write(_ value: UInt32, at offset: UInt64) {
        var bytes = [UInt8](repeating: 0, count: 4)
        bytes.storeLittleEndian(value, at: 0)
        memory.write(bytes, at: offset)
    }
}

/// Makes seSparse extents.
struct SESparseBuilder {
    var memory = SparseMemory(name: "d-sesparse.vmdk")
    static let (directory, tables): (UInt64, UInt64) = (2048, 2112)
    let grains: UInt64

    /// - Parameter entries: what the tables say, by grain: a raw entry.
    init(capacity: UInt64, entries: [UInt64: UInt64]) {
        let used = Set(entries.keys.map { $0 / 4096 }).sorted()
        grains = Self.tables + UInt64(used.count + 1) * 64
        // The tables stand in the file in the opposite order.
        for (index, table) in used.reversed().enumerated() {
            write(0x1000_0000_0000_0000 | UInt64(index), at: Self.directory * 512 + table * 8)
            for (grain, entry) in entries where grain / 4096 == table {
                write(entry, at: (Self.tables + UInt64(index) * 64) * 512 + grain % 4096 * 8)
            }
        }
        for (offset, value) in [
            (0, 0xCAFE_BABE), (8, 0x2_0000_0001), (16, capacity), (24, 8), (32, 64), (80, 1), (88, 1),
            (128, Self.directory),
            (136, 64), (144, Self.tables), (152, UInt64(used.count + 1) * 64), (192, grains), (200, 1024 * 8),
        ] as [(UInt64, UInt64)] { write(value, at: offset) }
        write(0xCAFE_CAFE, at: 512)
        memory.truncate(to: (grains + 64 * 8) * 512)
    }

    /// An allocated grain's entry: the low 12 bits of its number above, the others below.
    static func entry(_ index: UInt64) -> UInt64 { 0x3000_0000_0000_0000 | (index & 0xFFF) << 48 | index >> 12 }

    mutating func write(_ value: UInt64, at offset: UInt64) {
        var bytes = [UInt8](repeating: 0, count: 8)
        bytes.storeLittleEndian(value, at: 0)
        memory.write(bytes, at: offset)
    }
}

/// What ESX and ESXi keep of snapshots: COWD and seSparse extents.
@Suite struct VMDKHostExtentTests {
    static func open(_ file: SparseMemory, _ line: String) throws -> OpenedImage {
        try FormatCatalog.open(VMDKExtentTests.descriptor([line]), as: .vmdk, FilesInMemory([file]))
    }

    static func check(_ memory: SparseMemory) -> CheckReport { FormatCatalog.check(memory, as: .vmdk) }

    @Test(arguments: [1, 8, 128] as [UInt64]) func aCOWDExtentIsMapped(grainSize: UInt64) throws {
        let grains: [UInt64] = [5000, 3, 4, 4095, 0]
        let cowd = COWDBuilder(capacity: 5001 * grainSize, grainSize: grainSize, grains: grains)
        let opened = try Self.open(cowd.memory, "RW \(5001 * grainSize) VMFSSPARSE \"d-delta.vmdk\"")
        let base = try #require(opened.source as? JoinedSource).base(1)
        #expect(opened.reader.unitSize == grainSize * 512)
        var found: [UInt64: FileOffset] = [:]
        for extent in try VMDKExtentTests.extents(opened, batch: 3) {
            guard case .raw(let offset) = extent.mapping else {
                #expect(extent.mapping == .hole)
                continue
            }
            for step in stride(from: 0, to: extent.range.length, by: Int(grainSize) * 512) {
                found[(extent.range.start.bytes + step) / 512 / grainSize] = offset + step
            }
        }
        #expect(found == cowd.places.mapValues { base + $0 * 512 })
        let report = Self.check(cowd.memory)
        #expect(report.findings.isEmpty && report.incomplete == nil, "\(report.findings)")
        #expect(report.allocatedUnits == 5)
    }

    @Test func damageOfACOWDExtentIsFound() throws {
        func report(_ change: (inout COWDBuilder) -> Void) -> CheckReport {
            var cowd = COWDBuilder(capacity: 8192, grainSize: 1, grains: [7, 2, 5000])
            change(&cowd)
            return Self.check(cowd.memory)
        }
        #expect(report { _ in }.findings.isEmpty)
        #expect(report { $0.write(UInt32($0.places[2] ?? 0), at: $0.entryOffset(7)) }.corruptions == 1)
        #expect(report { $0.write(4, at: $0.entryOffset(7)) }.corruptions == 1)
        #expect(report { $0.write(9999, at: $0.entryOffset(7)) }.corruptions == 1)
        #expect(report { $0.write(6, at: $0.entryOffset(7)) }.findings.first?.message.contains("overlaps") == true)
        #expect(report { $0.write(UInt32($0.nextSector - 1), at: 28) }.findings.first?.fileOffset == FileOffset(28))
        #expect(report { $0.write(7, at: 8) }.findings.first?.fileOffset == FileOffset(8))
        #expect(report { $0.write(1, at: 1648) }.warnings == 1)
        #expect(report { $0.write(1, at: 24) }.corruptions == 1)
        #expect(report { $0.write(3, at: 16) }.corruptions == 1)
        #expect(report { $0.write(3, at: 20) }.corruptions == 1)
        #expect(report { $0.write(2, at: 4) }.incomplete?.code == .unsupported)
        #expect(report { $0.memory.truncate(to: $0.memory.length - 1) }.corruptions == 1)
    }

    @Test func anSESparseExtentIsMapped() throws {
        // Unallocated, unmapped, zero, and grains 5 and 0 of the file; in the second table its grain 7.
        let builder = SESparseBuilder(
            capacity: 2 * 32768,
            entries: [
                1: 1 << 60, 2: 2 << 60, 3: SESparseBuilder.entry(5), 4: SESparseBuilder.entry(0),
                4097: SESparseBuilder.entry(7),
            ])
        let opened = try Self.open(builder.memory, "RW 65530 SESPARSE \"d-sesparse.vmdk\"")
        let base = try #require(opened.source as? JoinedSource).base(1)
        func place(_ grain: UInt64) -> Mapping { .raw(base + (builder.grains + grain * 8) * 512) }
        let expected: [(UInt64, Mapping)] = [
            (1, .hole), (2, .zero), (1, place(5)), (1, place(0)), (4092, .hole), (1, place(7)), (4094, .hole),
        ]
        for batch in [1, 100] {
            let extents = try VMDKExtentTests.extents(opened, batch: batch)
            #expect(extents.map(\.mapping) == expected.map(\.1))
            #expect(extents.map(\.range.length).dropLast() == expected.map { $0.0 * 4096 }.dropLast())
        }
        #expect(opened.reader.virtualSize == 65530 * 512)
        let report = Self.check(builder.memory)
        #expect(report.findings.isEmpty && report.incomplete == nil, "\(report.findings)")
        #expect(report.allocatedUnits == 3)
    }

    @Test func numbersOfGrainsAreSplitInTheirEntries() {
        let index: UInt64 = 0x1234_5678_9ABC
        #expect(VMDKSESparseEntry(table: SESparseBuilder.entry(index)) == .index(index))
        #expect(VMDKSESparseEntry(table: 0x3ABC_0001_2345_6789) == .index(0x0012_3456_789A_BC))
        #expect(VMDKSESparseEntry(table: 1) == .invalid && VMDKSESparseEntry(table: 4 << 60) == .invalid)
        #expect(VMDKSESparseEntry(directory: 5) == .invalid)
        #expect(VMDKSESparseEntry(directory: 0x1000_0001_0000_0000) == .invalid)
    }

    @Test func damageOfAnSESparseExtentIsFound() throws {
        func report(_ offset: UInt64, _ value: UInt64) -> CheckReport {
            var builder = SESparseBuilder(
                capacity: 32768, entries: [0: SESparseBuilder.entry(1), 1: SESparseBuilder.entry(0)])
            builder.write(value, at: offset)
            return Self.check(builder.memory)
        }
        let (directory, table) = (SESparseBuilder.directory * 512, SESparseBuilder.tables * 512)
        #expect(report(8 * 1024, 0).findings.isEmpty)
        #expect(report(table, SESparseBuilder.entry(0)).findings.first?.expected == "a grain that no other entry has")
        #expect(report(table, SESparseBuilder.entry(64)).corruptions == 1)
        #expect(report(table, SESparseBuilder.entry(1 << 59)).corruptions == 1)
        #expect(report(table, 5 << 60).findings.first?.guestOffset == GuestOffset(0))
        #expect(report(directory, 0x1000_0000_0000_0002).corruptions == 1)
        #expect(report(directory, 3).corruptions == 1)
        #expect(report(512 + 24, 1).findings.first?.message.contains("replay_journal") == true)
        #expect(report(512, 1).corruptions == 1)
        #expect(report(144, 2050).findings.first?.fileOffset == FileOffset(144))
        #expect(report(128, 1 << 60).corruptions == 1)
        #expect(report(16, 1 << 40).corruptions == 1)
        for (field, value) in [(8, 1), (24, 16), (32, 32), (40, 1)] as [(UInt64, UInt64)] {
            #expect(report(field, value).incomplete?.code == .unsupported, "\(field)")
        }
    }

    @Test func anSESparseExtentWhoseJournalWasNotPlayedBackIsNotRead() throws {
        var builder = SESparseBuilder(capacity: 8, entries: [:])
        builder.write(1, at: 512 + 24)
        let opened = try Self.open(builder.memory, "RW 8 SESPARSE \"d-sesparse.vmdk\"")
        let error = try #require(throws: ImageError.self) {
            try opened.reader.extents(in: GuestRange(0, length: 4096), atMost: 1, from: opened.source)
        }
        #expect(error.code == .unsupported && error.message.contains("replay_journal"))
    }

    /// Every byte of header and tables, and every length: nothing may trap, and nothing that is cut off goes by unseen.
    @Test(arguments: ["cowd", "seSparse"]) func everyFlipAndEveryCutIsSurvived(kind: String) throws {
        let memory =
            kind == "cowd"
            ? COWDBuilder(capacity: 8192, grainSize: 8, grains: [7, 2, 900]).memory
            : SESparseBuilder(
                capacity: 32768, entries: [0: SESparseBuilder.entry(1), 5: 1 << 60, 9: SESparseBuilder.entry(63)]
            ).memory
        let type = kind == "cowd" ? "VMFSSPARSE" : "SESPARSE"
        func read(_ file: SparseMemory) -> CheckReport {
            if let opened = try? Self.open(file, "RW 8192 \(type) \"\(file.name)\"") {
                _ = try? opened.reader.extents(in: GuestRange(0, length: 8192 * 512), atMost: 100, from: opened.source)
            }
            return Self.check(file)
        }
        let starts: [UInt64] = kind == "cowd" ? [0, 2048, 2560] : [0, 512, 2048 * 512, 2112 * 512]
        for start in starts {
            for offset in start..<start + 208 {
                for flip: UInt8 in [1, 0x80, 0xFF] {
                    var damaged = memory
                    damaged.write([memory[offset..<offset + 1][0] ^ flip], at: offset)
                    _ = read(damaged)
                }
            }
        }
        let step = Int(memory.length / 150 | 1)
        for length in stride(from: 0, to: memory.length, by: step) {
            var cut = memory
            cut.truncate(to: length)
            let report = read(cut)
            #expect(report.corruptions > 0 || report.incomplete != nil, "cut to \(length) bytes")
        }
    }
}
