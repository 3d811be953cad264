import ImageModel
import LatheTestSupport
import Testing

@testable import ImageFormats

/// What the checker sees in qcow2 images with extended L2 entries or a data file, and in headers that are wrong about tables.
@Suite struct QCOW2CheckTests {
    static let cluster: UInt64 = 64 << 10
    static let copied: UInt64 = 1 << 63
    static let compressed: UInt64 = 1 << 62

    /// Header, data, L2, L1, refcount block, refcount table, a cluster each.
    static func check(_ entries: [UInt64], features: UInt8, refcounts: [UInt8] = [], _ writes: [(UInt64, [UInt8])] = [])
        throws -> CheckReport
    {
        let memory = try QCOW2Tests.image(
            entries: entries, header: [(79, [features])] + writes, refcounts: refcounts)
        return FormatCatalog.check(memory, as: .qcow2)
    }

    // MARK: Extended L2 entries

    static let extended: UInt8 = 16

    @Test(
        arguments: [
            [copied | cluster, 0xFFFF_FFFF], [copied | cluster, 0xFFFF_0000_0000_FFFF], [copied | cluster, 0],
            [copied | cluster, 0xFFFF_FFFF_0000_0000], [copied | cluster, 1 << 32, 0, 0xFFFF_FFFF_0000_0000],
        ] as [[UInt64]]) func subclustersThatAreOneThingEachAreSound(entries: [UInt64]) throws
    {
        let report = try Self.check(entries, features: Self.extended)
        #expect(report.findings.isEmpty, "\(report.findings.map(\.message))")
        #expect(report.allocatedUnits == 1 && report.totalUnits == 4)
    }

    /// An entry and its bitmap, and what was expected of them.
    static let faults: [(UInt64, UInt64, String)] = [
        (copied | cluster, 0x0000_0001_0000_0001, "no subcluster both allocated and zero"),
        (0, 0x0000_0000_0000_0100, "no allocated subcluster, since the entry has no cluster"),
        (copied | cluster | 1, 0xFFFF_FFFF, "the reserved bits 0x0000000000000001 clear"),
        (copied | cluster | 512, 0xFFFF_FFFF, "a multiple of the cluster size 65536"),
        (compressed | cluster, 1, "no subclusters, since a compressed cluster is one piece"),
    ]

    @Test(arguments: faults) func bitmapsThatContradictThemselvesAreCorruptions(
        entry: UInt64, bitmap: UInt64, expected: String
    ) throws {
        let report = try Self.check([entry, bitmap], features: Self.extended)
        #expect(report.corruptions == 1, "\(report.findings.map(\.message))")
        #expect(report.findings.first { $0.kind == .corruption }?.expected?.hasPrefix(expected) == true)
        #expect(report.findings.first?.guestOffset == GuestOffset(0))
    }

    @Test func theSecondEntryIsBehindTheFirstOnesBitmap() throws {
        let report = try Self.check([0, 0, Self.copied | Self.cluster, 0x1_0000_0001], features: Self.extended)
        let corruption = try #require(
            report.findings.first { $0.expected?.contains("both allocated and zero") == true })
        #expect(corruption.fileOffset == FileOffset(2 * Self.cluster + 16))
        #expect(corruption.guestOffset == GuestOffset(Self.cluster))
    }

    /// QEMU writes no more of a new cluster than the subclusters that a guest writes.
    @Test(arguments: [(0b11, true), (0b01, true), (0b100, false), (0x8000_0000, false)] as [(UInt64, Bool)])
    func theFileMayEndBehindTheLastSubclusterThatIsAllocated(bitmap: UInt64, isSound: Bool) throws {
        let last = 6 * Self.cluster
        let report = try Self.check(
            [Self.copied | last, bitmap], features: Self.extended,
            refcounts: [0, 1, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1], [(last + 2 * 2048 - 1, [1])])
        #expect(report.findings.isEmpty == isSound, "\(report.findings.map(\.message))")
        #expect(report.corruptions == 0 && report.warnings == (isSound ? 0 : 1))
    }

    @Test func subclustersNeedClustersOf16KiB() throws {
        let memory = HandmadeHeader.image(clusterBits: 12, features: Self.extended)
        let report = FormatCatalog.check(memory, as: .qcow2)
        #expect(
            report.findings.contains {
                $0.message.contains("take clusters of 16 KiB or more") && $0.fileOffset == FileOffset(20)
            })
    }

    // MARK: A data file

    static let dataFile: UInt8 = 4

    @Test func whatIsInADataFileHasNoRefcountHere() throws {
        // The cluster that the entries of a whole image would own is free.
        let report = try Self.check(
            [Self.copied, Self.copied | 7 << 30, 0, 0], features: Self.dataFile, refcounts: [0, 1, 0, 0])
        #expect(report.findings.isEmpty, "\(report.findings.map(\.message))")
        #expect(report.allocatedUnits == 2 && report.fragmentedUnits == 1)
    }

    @Test func aDataFileHasItsOwnRules() throws {
        let refcounts: [UInt8] = [0, 1, 0, 0]
        let unflagged = try Self.check([7 << 30], features: Self.dataFile, refcounts: refcounts)
        #expect(unflagged.corruptions == 1)
        #expect(unflagged.findings.first?.expected?.contains("which all clusters in a data file have") == true)
        let packed = try Self.check([Self.compressed | Self.cluster], features: Self.dataFile, refcounts: refcounts)
        #expect(packed.corruptions == 1)
        let misplaced = try Self.check([Self.copied | 512], features: Self.dataFile, refcounts: refcounts)
        #expect(misplaced.corruptions == 1)
        let memory = try QCOW2Tests.snapshotImage(
            refcounts: [0, 1, 0, 0, 0, 2, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1], isCopied: false)
        var image = memory
        image.write([4], at: 79)
        let report = FormatCatalog.check(image, as: .qcow2)
        #expect(report.findings.contains { $0.expected?.hasPrefix("0, since the content is in a data file") == true })
    }

    @Test func whatQEMURefusesThoughTheContentIsThereIsAFinding() throws {
        let whole = [Self.copied | Self.cluster]
        let snapshots = try Self.check(whole, features: 0, [(71, [9])])
        #expect(snapshots.warnings == 1 && snapshots.findings.first?.fileOffset == FileOffset(64))
        let rawData = try Self.check(whole, features: 0, [(95, [2])])
        #expect(rawData.corruptions == 1 && rawData.findings.first?.fileOffset == FileOffset(88))
    }

    // MARK: Refcount tables that can't be

    @Test(
        arguments: [
            (48, [1, 0, 0, 0, 0, 0, 0, 0]), (54, [1]), (56, [0, 0, 0, 129]), (48, [0, 0, 0, 0, 0, 0, 0, 0]),
        ] as [(UInt64, [UInt8])]) func aRefcountTableThatIsNowhereLeavesTheRestToBeChecked(
            offset: UInt64, bytes: [UInt8]
        )
        throws
    {
        let report = try Self.check([Self.cluster + 512], features: 0, [(offset, bytes)])
        #expect(report.corruptions == 2 && report.incomplete == nil, "\(report.findings.map(\.message))")
        #expect(report.findings.first?.fileOffset == FileOffset(48))
        #expect(report.findings.last?.found == "66048", "the entry is checked all the same")
    }
}

/// A header of a qcow2 image, and nothing else that holds.
private enum HandmadeHeader {
    static func image(clusterBits: UInt32, features: UInt8) -> SparseMemory {
        var header = [UInt8](repeating: 0, count: 4 << clusterBits)
        header.storeBigEndian(UInt32(0x5146_49FB), at: 0)
        header.storeBigEndian(UInt32(3), at: 4)
        header.storeBigEndian(clusterBits, at: 20)
        header.storeBigEndian(UInt64(1 << 20), at: 24)
        header.storeBigEndian(UInt32(1), at: 36)
        header.storeBigEndian(UInt64(1 << clusterBits), at: 40)
        header.storeBigEndian(UInt64(2 << clusterBits), at: 48)
        header.storeBigEndian(UInt32(1), at: 56)
        header[79] = features
        header.storeBigEndian(UInt32(4), at: 96)
        header.storeBigEndian(UInt32(104), at: 100)
        return SparseMemory(header)
    }
}
