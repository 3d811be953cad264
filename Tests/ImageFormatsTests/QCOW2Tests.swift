import ImageModel
import LatheTestSupport
import Testing

@testable import ImageFormats

@Suite struct QCOW2Tests {
    static let cluster: UInt64 = 64 << 10
    /// What one L2 table maps.
    static let coverage: UInt64 = 512 << 20
    /// Sizes on both sides of a sector, a cluster, an L2 table, two, and a slice of the L1 table.
    static let sizes: [UInt64] = [
        0, 512, cluster - 512, cluster, cluster + 512, coverage - 512, coverage, coverage + 512, 2 * coverage + 512,
        8192 * coverage, 8192 * coverage + 512,
    ]

    @Test(arguments: sizes) func theReaderGivesBackWhatTheEncoderPlaced(size: UInt64) throws {
        let clusters = size.dividedRoundingUp(by: Self.cluster)
        for units in allocationPatterns(unitCount: clusters, seed: size + 1) {
            // On a large disk every unit has an L2 table of its own.
            guard units.count < 20 || size < 3 * Self.coverage else { continue }
            try EncodedImage(.qcow2, virtualSize: size, units: units).expectFaithful(.qcow2)
        }
    }

    @Test func smallBatchesOfExtentsAddUpToTheSameMapping() throws {
        let image = try EncodedImage(
            .qcow2, virtualSize: 3 * Self.coverage, units: [0, 1, 3, 8191, 8192, 8193, 20_000])
        #expect(try image.extents(.qcow2, batch: 1) == image.extents(.qcow2, batch: 100))
    }

    @Test func unitsOnBothSidesOfATableAreSplitByTheTable() throws {
        let image = try EncodedImage(.qcow2, virtualSize: 2 * Self.coverage, units: [8191, 8192])
        #expect(image.places == [8191: FileOffset(Self.cluster), 8192: FileOffset(3 * Self.cluster)])
        try image.expectFaithful(.qcow2)
    }

    // MARK: - Layout

    @Test func tablesStandBehindWhatTheyMapAndRefcountsComeLast() throws {
        let image = try EncodedImage(.qcow2, virtualSize: Self.coverage + 512, units: [0, 2, 8192])
        func word(_ offset: UInt64) -> UInt64 { image.memory[offset..<offset + 8].bigEndian(at: 0) }
        // Header, data 0, data 2, L2, data 8192, L2, L1, refcount block, refcount table.
        #expect(image.memory.length == 9 * Self.cluster)
        #expect(image.places.mapValues { $0.bytes / Self.cluster } == [0: 1, 2: 2, 8192: 4])
        let copied: UInt64 = 1 << 63
        #expect(word(3 * Self.cluster) == copied | Self.cluster)
        #expect(word(3 * Self.cluster + 8) == 0)
        #expect(word(3 * Self.cluster + 16) == copied | 2 * Self.cluster)
        #expect(word(5 * Self.cluster) == copied | 4 * Self.cluster)
        #expect(word(6 * Self.cluster) == copied | 3 * Self.cluster)
        #expect(word(6 * Self.cluster + 8) == copied | 5 * Self.cluster)
        #expect(word(40) == 6 * Self.cluster)
        #expect(word(48) == 8 * Self.cluster)
        #expect(word(8 * Self.cluster) == 7 * Self.cluster)
        let refcounts = image.memory[7 * Self.cluster..<7 * Self.cluster + 20]
        #expect(refcounts == Array(repeatElement([0, 1], count: 9).joined()) + [0, 0])
    }

    @Test func theHeaderHasTheBytesThatQEMUWrites() throws {
        let image = try EncodedImage(.qcow2, virtualSize: 6 << 30, units: [])
        var expected: [UInt8] = [0x51, 0x46, 0x49, 0xFB, 0, 0, 0, 3] + Self.zeros(12) + [0, 0, 0, 16]
        expected += [0, 0, 0, 1, 0x80, 0, 0, 0] + Self.zeros(4) + [0, 0, 0, 12]
        expected += [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 1] + Self.zeros(12)
        expected += Self.zeros(24) + [0, 0, 0, 4, 0, 0, 0, 112] + Self.zeros(8)
        expected += [0x68, 0x03, 0xF8, 0x57, 0, 0, 1, 0x80]
        let names: [(UInt8, UInt8, String)] = [
            (0, 0, "dirty bit"), (0, 1, "corrupt bit"), (0, 2, "external data file"), (0, 3, "compression type"),
            (0, 4, "extended L2 entries"), (1, 0, "lazy refcounts"), (2, 0, "bitmaps"), (2, 1, "raw external data"),
        ]
        for (kind, bit, name) in names {
            expected += [kind, bit] + Array(name.utf8) + Self.zeros(46 - name.utf8.count)
        }
        expected += Self.zeros(8)
        #expect(image.memory[0..<512] == expected)
        #expect(image.memory[512..<Self.cluster].isZero)
    }

    static func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

    @Test func anEmptyDiskHasNoL1Table() throws {
        let image = try EncodedImage(.qcow2, virtualSize: 0, units: [])
        #expect(image.memory.length == 3 * Self.cluster)
        #expect(image.memory[36..<48].isZero)
        let reader = try FormatCatalog.reader(for: .qcow2, source: image.memory)
        #expect(reader.virtualSize == 0)
    }

    @Test func refcountsCountThemselves() {
        var header = QCOW2Header(
            version: 3, clusterBits: 16, diskSize: 0, l1EntryCount: 0, l1Offset: 0, refcountTableOffset: 0,
            refcountTableClusters: 0)
        func expect(_ clusters: UInt64, _ blocks: UInt64, _ table: UInt64) {
            let layout = QCOW2RefcountLayout(forClusters: clusters, header)
            #expect(layout.blocks == blocks && layout.tableClusters == table, "\(clusters) clusters")
            #expect(layout.blocks * 32768 >= clusters + layout.blocks + layout.tableClusters)
        }
        expect(1, 1, 1)
        expect(32766, 1, 1)
        // One cluster more makes a second block, which takes a cluster too.
        expect(32767, 2, 1)
        expect(65533, 2, 1)
        expect(65534, 3, 1)
        // A full cluster of the refcount table.
        expect(8192 * 32768 - 8193, 8192, 1)
        expect(8192 * 32768 - 8192, 8193, 2)
        // Some blocks are among the clusters already.
        let later = QCOW2RefcountLayout(forClusters: 65534, placed: 1, header)
        #expect(later.blocks == 2 && later.tableClusters == 1)
        // A refcount of a bit each: 524,288 to a block.
        header.refcountOrder = 0
        let narrow = QCOW2RefcountLayout(forClusters: 524_286, header)
        #expect(narrow.blocks == 1 && narrow.tableClusters == 1)
        #expect(QCOW2RefcountLayout(forClusters: 524_287, header).blocks == 2)
    }

    @Test func aFileOfMoreThanTwoGigabytesHasTwoRefcountBlocks() throws {
        // 32763 units with 4 L2 tables, header and L1 are 32769 clusters.
        let image = try EncodedImage(.qcow2, virtualSize: 4 * Self.coverage, units: Array(0..<32763))
        #expect(image.memory.length == 32772 * Self.cluster)
        let report = FormatCatalog.check(image.memory, as: .qcow2)
        #expect(report.findings.isEmpty)
        #expect(report.allocatedUnits == 32763)
        #expect(report.fragmentedUnits == 0)
        #expect(report.imageEnd == FileOffset(image.memory.length))
    }

    @Test func theImageDoesNotDependOnTheFingerprint() throws {
        let first = try EncodedImage(.qcow2, virtualSize: Self.coverage, units: [7], fingerprint: 1)
        let other = try EncodedImage(.qcow2, virtualSize: Self.coverage, units: [7], fingerprint: 2)
        #expect(first.memory == other.memory)
    }

    @Test func whatAnEncoderHandsOutDoesNotGrowWithTheDisk() throws {
        let image = try EncodedImage(.qcow2, virtualSize: 1 << 46, units: [(1 << 30) - 1])
        #expect(image.metadata.count < 12)
        let extents = try image.extents(.qcow2)
        #expect(extents.count == 2)
        #expect(extents.last?.range == GuestRange((1 << 46) - Self.cluster, length: Self.cluster))
    }

    // MARK: - Options and limits

    @Test(arguments: [
        ["compat": "1.1"], ["compat": "v3"], ["cluster_size": "65536"], ["cluster_size": "64K"],
        ["refcount_bits": "16"], ["extended_l2": "off"], ["compress": "off"], ["compression_type": "zlib"],
    ]) func optionsThatSayWhatIsWrittenAreTaken(options: [String: String]) throws {
        let plain = try EncodedImage(.qcow2, virtualSize: Self.coverage, units: [3])
        #expect(
            try EncodedImage(.qcow2, virtualSize: Self.coverage, units: [3], options: options).memory == plain.memory)
    }

    @Test(arguments: [
        ["lazy_refcounts": "on"], ["backing_file": "base.raw"], ["subformat": "dynamic"], ["data_file": "disk.raw"],
    ]) func otherOptionsAreRefused(options: [String: String]) {
        let error = #expect(throws: ImageError.self) {
            try EncodedImage(.qcow2, virtualSize: Self.cluster, units: [], options: options)
        }
        #expect(error?.code == .invalidOption)
    }

    @Test func aDiskWhoseL1TableWouldBeTooLongIsRefused() throws {
        let parameters = EncoderParameters(contentLength: (2 << 50) + 512, virtualSize: (2 << 50) + 512)
        let error = #expect(throws: ImageError.self) {
            try QCOW2Encoder(parameters: parameters, options: FormatOptions())
        }
        #expect(error?.code == .limitExceeded)
        #expect(error?.message.contains("holds at most 2251799813685248 bytes") == true)
    }

    // MARK: - Refusals

    /// What a header field is overwritten with, and what the reader says of it.
    struct Refusal: Sendable {
        var offset: UInt64
        var bytes: [UInt8]
        var code: ImageError.Code
        var word: String

        init(_ offset: UInt64, _ bytes: [UInt8], _ code: ImageError.Code, _ word: String) {
            self.offset = offset
            self.bytes = bytes
            self.code = code
            self.word = word
        }
    }

    static let refusals: [Refusal] = [
        Refusal(0, [0x50], .corrupt, "magic is 0x504649fb, expected 0x514649fb"),
        Refusal(7, [4], .unsupported, "version is 4; Lathe reads 2 and 3"),
        Refusal(14, [2, 0, 0, 0, 0, 9], .externalReference, "backing file"),
        Refusal(13, [2, 0, 0, 0, 0, 0, 9], .corrupt, "backing file name"),
        Refusal(23, [8], .unsupported, "cluster_bits is 8"),
        Refusal(23, [22], .unsupported, "cluster_bits is 22"),
        Refusal(24, [0, 0, 0, 0, 0x40, 0, 0, 0], .corrupt, "needs 2"),
        Refusal(35, [1], .unsupported, "encrypted"),
        Refusal(35, [3], .unsupported, "crypt_method is 3"),
        Refusal(36, [1], .limitExceeded, "at most 4194304"),
        Refusal(46, [1], .corrupt, "L1 table at"),
        Refusal(40, [0, 0, 0, 0, 0, 0, 0, 0], .corrupt, "L1 table at 0"),
        Refusal(40, [1], .corrupt, "L1 table at"),
        Refusal(54, [1], .corrupt, "refcount table at"),
        Refusal(56, [0, 0, 0, 129], .limitExceeded, "at most 8388608 bytes"),
        Refusal(60, [0, 1, 0, 1], .limitExceeded, "at most 65536"),
        Refusal(60, [0, 0, 0, 1], .corrupt, "snapshot table at 0"),
        Refusal(79, [4], .corrupt, "external data file"),
        Refusal(79, [32], .unsupported, "bits 0x0000000000000020"),
        Refusal(79, [8], .corrupt, "compression type is 0"),
        Refusal(99, [7], .corrupt, "refcount_order is 7"),
        Refusal(103, [96], .corrupt, "header_length is 96"),
        Refusal(103, [108], .corrupt, "header_length is 108"),
        Refusal(104, [1], .corrupt, "compression type is 1"),
        Refusal(104, [2], .unsupported, "compression type is 2"),
        Refusal(116, [0, 1, 0, 0], .corrupt, "header extension 0x6803f857"),
    ]

    @Test(arguments: refusals) func whatCannotBeReadIsRefusedByName(refusal: Refusal) throws {
        var image = try EncodedImage(.qcow2, virtualSize: 1 << 20, units: [0])
        image.memory.write(refusal.bytes, at: refusal.offset)
        let error = #expect(throws: ImageError.self) { try FormatCatalog.reader(for: .qcow2, source: image.memory) }
        #expect(error?.code == refusal.code)
        #expect(error?.message.contains(refusal.word) == true, "\(error?.message ?? "")")
    }

    @Test func aTableEntryThatCannotBeRightIsAnErrorWithItsPlace() throws {
        let image = try EncodedImage(.qcow2, virtualSize: 1 << 20, units: [0])
        // Data in cluster 1, L2 in 2, L1 in 3: a reserved bit, a place within a cluster, a place past the end.
        for table in [2 * Self.cluster, 3 * Self.cluster] {
            for (index, byte) in [(0, 0xC0), (0, 0xA0), (7, 0x04), (6, 0x02), (2, 0x01)] as [(UInt64, UInt8)] {
                guard index != 0 || byte != 0xC0 || table == 3 * Self.cluster else { continue }
                var damaged = image
                damaged.memory.write([byte], at: table + index)
                let reader = try FormatCatalog.reader(for: .qcow2, source: damaged.memory)
                let error = #expect(throws: ImageError.self) {
                    try reader.extents(in: GuestRange(0, length: 512), atMost: 1, from: damaged.memory)
                }
                #expect(error?.code == (index == 2 ? .truncated : .corrupt))
                #expect(index == 2 || error?.offset == FileOffset(table))
                #expect(FormatCatalog.check(damaged.memory, as: .qcow2).corruptions > 0)
            }
        }
    }

    // MARK: - Compressed and zero clusters

    /// An image of four clusters in which the entries of the only L2 table, at cluster 2, are as given.
    static func image(entries: [UInt64], header: [(UInt64, [UInt8])] = [], refcounts: [UInt8] = []) throws
        -> SparseMemory
    {
        var memory = try EncodedImage(.qcow2, virtualSize: 4 * cluster, units: [0]).memory
        var table = [UInt8](repeating: 0, count: 32)
        for (index, entry) in entries.enumerated() { table.storeBigEndian(entry, at: 8 * index) }
        memory.write(table, at: 2 * cluster)
        for (offset, bytes) in header { memory.write(bytes, at: offset) }
        memory.write(refcounts, at: 4 * cluster)
        return memory
    }

    static func extents(_ memory: SparseMemory, in range: GuestRange) throws -> [MappedExtent] {
        try FormatCatalog.reader(for: .qcow2, source: memory).extents(in: range, atMost: 100, from: memory)
    }

    static let copied: UInt64 = 1 << 63
    static let compressed: UInt64 = 1 << 62

    @Test func compressedClustersShareOneAndReadBackWithTheirSectors() throws {
        // 1000 bytes at 65536 + 10 are two sectors; the next stream starts behind it and has three.
        let first = Self.compressed | 1 << 54 | (Self.cluster + 10)
        let second = Self.compressed | 2 << 54 | (Self.cluster + 1010)
        let memory = try Self.image(entries: [first, second, 0, 1], refcounts: [0, 1, 0, 2])
        #expect(
            try Self.extents(memory, in: GuestRange(512, length: 4 * Self.cluster - 512)) == [
                MappedExtent(
                    range: GuestRange(512, length: Self.cluster - 512),
                    mapping: .compressed(
                        CompressedUnit(
                            stored: FileRange(Self.cluster + 10, length: 1014),
                            content: GuestRange(0, length: Self.cluster),
                            method: .deflate))),
                MappedExtent(
                    range: GuestRange(Self.cluster, length: Self.cluster),
                    mapping: .compressed(
                        CompressedUnit(
                            stored: FileRange(Self.cluster + 1010, length: 1038),
                            content: GuestRange(Self.cluster, length: Self.cluster), method: .deflate))),
                MappedExtent(range: GuestRange(2 * Self.cluster, length: Self.cluster), mapping: .hole),
                MappedExtent(range: GuestRange(3 * Self.cluster, length: Self.cluster), mapping: .zero),
            ])
        let report = FormatCatalog.check(memory, as: .qcow2)
        #expect(report.findings.isEmpty)
        #expect(report.totalUnits == 4 && report.allocatedUnits == 2)
        #expect(report.compressedUnits == 2 && report.fragmentedUnits == 2)
    }

    @Test func aCompressionTypeOfOneIsZstandard() throws {
        let header: [(UInt64, [UInt8])] = [(79, [8]), (104, [1])]
        let memory = try Self.image(entries: [Self.compressed | Self.cluster], header: header)
        let extent = try #require(try Self.extents(memory, in: GuestRange(0, length: 512)).first)
        guard case .compressed(let unit) = extent.mapping else {
            Issue.record("\(extent) is not compressed")
            return
        }
        #expect(unit.method == .zstd)
        #expect(unit.stored == FileRange(Self.cluster, length: 512))
        let details = try FormatCatalog.reader(for: .qcow2, source: memory).details
        #expect(details.contains(FormatDetail("compression-type", .text("zstd"))))
    }

    @Test func compressedBytesEndWithTheFile() throws {
        let end = 6 * Self.cluster
        var memory = try Self.image(entries: [Self.compressed | 127 << 54 | (end + 100)])
        memory.truncate(to: end + 300)
        let extent = try #require(try Self.extents(memory, in: GuestRange(0, length: 512)).first)
        guard case .compressed(let unit) = extent.mapping else {
            Issue.record("\(extent) is not compressed")
            return
        }
        #expect(unit.stored == FileRange(end + 100, length: 200))
        memory.truncate(to: end + 100)
        #expect(throws: ImageError.self) { try Self.extents(memory, in: GuestRange(0, length: 512)) }
    }

    @Test func aZeroClusterMayKeepItsPlaceAndIsNotReadFromIt() throws {
        let memory = try Self.image(entries: [Self.copied | Self.cluster | 1])
        #expect(
            try Self.extents(memory, in: GuestRange(0, length: Self.cluster)) == [
                MappedExtent(range: GuestRange(0, length: Self.cluster), mapping: .zero)
            ])
        #expect(FormatCatalog.check(memory, as: .qcow2).findings.isEmpty)
    }

    @Test func versionTwoHasNoZeroFlag() throws {
        let memory = try Self.image(entries: [Self.copied | Self.cluster | 1], header: [(7, [2])])
        let error = #expect(throws: ImageError.self) { try Self.extents(memory, in: GuestRange(0, length: 512)) }
        #expect(error?.message.contains("version 2") == true)
        #expect(FormatCatalog.check(memory, as: .qcow2).corruptions > 0)
    }

    @Test func versionTwoIsReadWithItsOwnDetails() throws {
        let memory = try Self.image(entries: [Self.copied | Self.cluster], header: [(7, [2]), (72, Self.zeros(40))])
        #expect(
            try Self.extents(memory, in: GuestRange(0, length: Self.cluster)) == [
                MappedExtent(range: GuestRange(0, length: Self.cluster), mapping: .raw(FileOffset(Self.cluster)))
            ])
        #expect(
            try FormatCatalog.reader(for: .qcow2, source: memory).details == [
                FormatDetail("compat", .text("0.10")), FormatDetail("compression-type", .text("zlib")),
                FormatDetail("refcount-bits", .number(16)),
            ])
        #expect(FormatCatalog.check(memory, as: .qcow2).findings.isEmpty)
    }

    @Test func detailsHaveTheKeysOfQEMU() throws {
        let memory = try Self.image(entries: [])
        #expect(
            try FormatCatalog.reader(for: .qcow2, source: memory).details == [
                FormatDetail("compat", .text("1.1")), FormatDetail("compression-type", .text("zlib")),
                FormatDetail("lazy-refcounts", .flag(false)), FormatDetail("refcount-bits", .number(16)),
                FormatDetail("corrupt", .flag(false)), FormatDetail("extended-l2", .flag(false)),
            ])
    }

    @Test func aSizeThatIsNotInWholeSectorsIsRoundedDown() throws {
        let memory = try Self.image(entries: [], header: [(31, [0xFF])])
        #expect(try FormatCatalog.reader(for: .qcow2, source: memory).virtualSize == 4 * Self.cluster)
        #expect(FormatCatalog.check(memory, as: .qcow2).warnings == 1)
    }
}
