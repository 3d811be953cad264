import ImageModel
import LatheTestSupport
import Testing

@testable import ImageFormats

/// What the checker finds in qcow2 images of the common layout, in their bitmaps and in their snapshots.
extension QCOW2Tests {
    /// Header, data, L2, L1, refcount block, refcount table: one cluster each.
    static func damaged(_ writes: [(UInt64, [UInt8])], entries: [UInt64] = [copied | cluster]) throws -> CheckReport {
        FormatCatalog.check(try image(entries: entries, header: writes), as: .qcow2)
    }

    @Test func aRefcountThatIsTooHighIsALeak() throws {
        let report = try Self.damaged([(4 * Self.cluster + 1, [2])])
        #expect(report.corruptions == 0 && report.leaks == 1)
        #expect(report.findings.first?.fileOffset == FileOffset(0))
    }

    @Test func aRefcountOfWhatNobodyUsesIsALeakAndMovesTheEnd() throws {
        var memory = try Self.image(entries: [Self.copied | Self.cluster], header: [(4 * Self.cluster + 201, [1])])
        memory.truncate(to: 200 * Self.cluster)
        let report = FormatCatalog.check(memory, as: .qcow2)
        #expect(report.corruptions == 0 && report.leaks == 1)
        #expect(report.findings.first?.fileOffset == FileOffset(100 * Self.cluster))
        #expect(report.imageEnd == FileOffset(101 * Self.cluster))
    }

    @Test func aRefcountBehindTheEndOfTheFileIsNoLeak() throws {
        let report = try Self.damaged([(4 * Self.cluster + 201, [1])])
        #expect(report.corruptions == 0 && report.leaks == 0 && report.warnings == 1)
        #expect(report.imageEnd == FileOffset(6 * Self.cluster))
    }

    @Test func aFileThatClaimsToBeHugeIsCheckedWhereItHasSomething() throws {
        let far: UInt64 = 1 << 55
        var memory = try Self.image(entries: [Self.copied | Self.cluster, Self.copied | far])
        memory.truncate(to: 1 << 60)
        let report = FormatCatalog.check(memory, as: .qcow2)
        // No refcount block covers it: the refcount is zero, and the flag says one.
        #expect(report.corruptions == 2)
        #expect(report.imageEnd == FileOffset(far + Self.cluster))
    }

    @Test func anL1EntryWithAFlagAndNoTableIsACorruption() throws {
        var image = try EncodedImage(.qcow2, virtualSize: 2 * Self.coverage, units: [0])
        image.memory.write([0x80], at: 3 * Self.cluster + 8)
        #expect(FormatCatalog.check(image.memory, as: .qcow2).corruptions == 1)
    }

    @Test func aRefcountThatIsTooLowIsACorruption() throws {
        // Of data the flag is wrong with it, of the header it is the refcount alone.
        #expect(try Self.damaged([(4 * Self.cluster + 3, [0])]).corruptions == 2)
        let report = try Self.damaged([(4 * Self.cluster + 1, [0])])
        #expect(report.corruptions == 1 && report.leaks == 0)
    }

    @Test func aFlagOfASoleReferenceThatIsNotTrueIsACorruption() throws {
        let report = try Self.damaged([], entries: [Self.cluster])
        #expect(report.corruptions == 1)
        #expect(report.findings.first?.message.contains("without the flag of a sole reference") == true)
        #expect(report.findings.first?.guestOffset == GuestOffset(0))
        #expect(try Self.damaged([(3 * Self.cluster, [0])]).corruptions == 1)
        #expect(try Self.damaged([], entries: [Self.copied | Self.compressed | Self.cluster]).corruptions == 1)
    }

    @Test func twoGuestClustersShareOneThatIsCountedTwice() throws {
        let report = try Self.damaged([(4 * Self.cluster + 3, [2])], entries: [Self.cluster, Self.cluster])
        #expect(report.findings.isEmpty)
        let memory = try Self.image(entries: [Self.cluster, Self.cluster], header: [(4 * Self.cluster + 3, [2])])
        #expect(try Self.extents(memory, in: GuestRange(0, length: 2 * Self.cluster)).count == 2)
        // One that says that it is alone is written in place, and changes the other.
        let flagged = try Self.damaged(
            [(4 * Self.cluster + 3, [2])], entries: [Self.cluster, Self.copied | Self.cluster])
        #expect(flagged.corruptions == 1 && flagged.leaks == 0)
    }

    @Test func twoGuestClustersInOneThatIsCountedOnceAreACorruption() throws {
        let report = try Self.damaged([], entries: [Self.cluster, Self.cluster])
        #expect(report.corruptions == 3 && report.leaks == 0)
        #expect(report.findings.last?.message.contains("expected no more than its refcount of 1") == true)
    }

    @Test func aFileThatEndsInsideItsLastDataClusterReadsAsZerosThere() throws {
        for (stored, missing) in [(Self.cluster, 0), (512, Self.cluster - 512), (300, Self.cluster - 300)]
            as [(UInt64, UInt64)]
        {
            var memory = try Self.image(
                entries: [0, Self.copied | 6 * Self.cluster], refcounts: [0, 1, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1])
            memory.write([7], at: 6 * Self.cluster)
            memory.truncate(to: 6 * Self.cluster + stored)
            let report = FormatCatalog.check(memory, as: .qcow2)
            #expect(report.isSound && report.warnings == (missing > 0 ? 1 : 0))
            var expected = [
                MappedExtent(
                    range: GuestRange(Self.cluster, length: stored), mapping: .raw(FileOffset(6 * Self.cluster)))
            ]
            if missing > 0 {
                expected.append(
                    MappedExtent(range: GuestRange(Self.cluster + stored, length: missing), mapping: .zero))
            }
            #expect(try Self.extents(memory, in: GuestRange(Self.cluster, length: Self.cluster)) == expected)
        }
        // A cluster of which nothing is there was lost.
        var lost = try Self.image(entries: [Self.copied | 6 * Self.cluster])
        lost.truncate(to: 6 * Self.cluster)
        #expect(FormatCatalog.check(lost, as: .qcow2).corruptions > 0)
        #expect(throws: ImageError.self) { try Self.extents(lost, in: GuestRange(0, length: 512)) }
    }

    @Test(arguments: [0, 2, 3, 4, 5] as [UInt64]) func dataInAClusterOfMetadataIsACorruption(owner: UInt64) throws {
        let report = try Self.damaged([(4 * Self.cluster + 1 + 2 * owner, [2])], entries: [owner * Self.cluster])
        // A place of 0 is no place at all: then the refcounts of header and data are leaks.
        #expect((report.corruptions > 0) == (owner != 0))
    }

    @Test func twoL1EntriesWithOneTableAreACorruptionUnlessItIsCountedTwice() throws {
        var image = try EncodedImage(.qcow2, virtualSize: 2 * Self.coverage, units: [0])
        let entry = image.memory[3 * Self.cluster..<3 * Self.cluster + 8]
        image.memory.write(entry, at: 3 * Self.cluster + 8)
        let report = FormatCatalog.check(image.memory, as: .qcow2)
        #expect(report.findings.contains { $0.message.contains("referred to 2 times") })
        #expect(report.corruptions > 0)
        // With a refcount that says so, and without the flag of a sole reference, the table is copied before it changes.
        var entry2 = entry
        entry2[0] &= 0x7F
        for index: UInt64 in 0..<2 { image.memory.write(entry2, at: 3 * Self.cluster + 8 * index) }
        image.memory.write([0, 2, 0, 2], at: 4 * Self.cluster + 2)
        image.memory.write([0], at: 2 * Self.cluster)
        #expect(FormatCatalog.check(image.memory, as: .qcow2).findings.isEmpty)
    }

    /// With lazy refcounts, a program that is killed leaves such an image; whoever writes to it without counting anew loses content.
    @Test func staleRefcountsOfADirtyImageAreFound() throws {
        let stale: [(UInt64, [UInt8])] = [(4 * Self.cluster + 1, [0, 0, 0, 0, 2])]
        let (clean, dirty) = (try Self.damaged(stale), try Self.damaged([(79, [1])] + stale))
        #expect(dirty.corruptions == clean.corruptions && dirty.corruptions > 0 && dirty.leaks == clean.leaks)
        #expect(dirty.warnings == 1)
        #expect(try Self.damaged([(79, [1])]).isSound, "the mark alone says nothing of content")
        let shared = try Self.damaged([(79, [1])], entries: [Self.copied | 2 * Self.cluster])
        #expect(shared.corruptions == 1)
    }

    @Test func theCorruptBitIsReportedButTheDiskIsRead() throws {
        let memory = try Self.image(entries: [Self.copied | Self.cluster], header: [(79, [2])])
        #expect(FormatCatalog.check(memory, as: .qcow2).corruptions == 1)
        #expect(try Self.extents(memory, in: GuestRange(0, length: 512)).count == 1)
        let details = try FormatCatalog.reader(for: .qcow2, source: memory).details
        #expect(details.contains(FormatDetail("corrupt", .flag(true))))
    }

    @Test func aRefcountBlockOutsideTheFileIsACorruption() throws {
        let report = try Self.damaged([(5 * Self.cluster + 2, [1])])
        #expect(report.corruptions > 0)
        #expect(report.findings.first?.fileOffset == FileOffset(5 * Self.cluster))
    }

    @Test func anUnknownFeatureLeavesTheCheckUndone() throws {
        let report = try Self.damaged([(79, [32])])
        #expect(report.incomplete?.code == .unsupported)
        #expect(report.findings.isEmpty)
    }

    @Test func aBackingFileIsNoObstacleToACheck() throws {
        let report = try Self.damaged([(14, [2, 0, 0, 0, 0, 9])])
        #expect(report.findings.isEmpty && report.incomplete == nil)
    }

    /// The disk of `image(entries:)` with a bitmap: directory, table and bits in clusters 6, 7 and 8.
    static func bitmapImage(autoclear: UInt8 = 1, entry: UInt64 = 8 * cluster) throws -> SparseMemory {
        var data = zeros(32)
        data.storeBigEndian(QCOW2Header.Extension.bitmaps, at: 0)
        data.storeBigEndian(UInt32(24), at: 4)
        data.storeBigEndian(UInt32(1), at: 8)
        data.storeBigEndian(UInt64(32), at: 16)
        data.storeBigEndian(6 * cluster, at: 24)
        let refcounts = Array(repeatElement([0, 1] as [UInt8], count: 9).joined())
        var memory = try image(
            entries: [copied | cluster], header: [(112, data + zeros(8)), (95, [autoclear])], refcounts: refcounts)
        var directory = zeros(32)
        directory.storeBigEndian(7 * cluster, at: 0)
        directory.storeBigEndian(UInt32(2), at: 8)
        directory.store([0, 0, 0, 2, 1, 16, 0, 3], at: 12)
        memory.write(directory, at: 6 * cluster)
        var table = zeros(16)
        table.storeBigEndian(entry, at: 0)
        table.storeBigEndian(UInt64(1), at: 8)
        memory.write(table, at: 7 * cluster)
        memory.truncate(to: 9 * cluster)
        return memory
    }

    @Test func clustersOfBitmapsAreCounted() throws {
        let good = FormatCatalog.check(try Self.bitmapImage(), as: .qcow2)
        #expect(good.findings.isEmpty)
        let lost = FormatCatalog.check(try Self.bitmapImage(entry: 0), as: .qcow2)
        #expect(lost.leaks == 1 && lost.corruptions == 0)
        let shared = FormatCatalog.check(try Self.bitmapImage(entry: Self.cluster), as: .qcow2)
        #expect(shared.corruptions == 1 && shared.leaks == 1)
        let reserved = FormatCatalog.check(try Self.bitmapImage(entry: 2), as: .qcow2)
        #expect(reserved.corruptions == 1 && reserved.leaks == 1)
    }

    @Test func bitmapsThatAreVoidAreLeaks() throws {
        let report = FormatCatalog.check(try Self.bitmapImage(autoclear: 0), as: .qcow2)
        #expect(report.warnings == 1 && report.leaks == 3 && report.corruptions == 0)
    }

    @Test func refcountsOfEveryWidthAreTakenApart() {
        func values(_ word: UInt64, _ bits: UInt64) -> [UInt64: UInt64] {
            var found: [UInt64: UInt64] = [:]
            QCOW2Refcounts(word: word, bits: bits).forEachUsed { found[$0] = $1 }
            return found
        }
        // Narrow refcounts fill a byte from its low end on; the first byte of the block is the word's highest.
        #expect(values(0x0500_0000_0000_0080, 1) == [0: 1, 2: 1, 63: 1])
        #expect(values(0x0D00_0000_0000_00C0, 2) == [0: 1, 1: 3, 31: 3])
        #expect(values(0xA100_0000_0000_0000, 4) == [0: 1, 1: 10])
        #expect(values(0x0102_0000_0000_00FF, 8) == [0: 1, 1: 2, 7: 255])
        #expect(values(0x0001_0000_0000_FFFF, 16) == [0: 1, 3: 65535])
        #expect(values(0x0000_0001_8000_0000, 32) == [0: 1, 1: 1 << 31])
        #expect(values(.max, 64) == [0: .max])
    }

    // MARK: - Snapshots

    /// The disk of `image(entries:)` with a snapshot: its table in cluster 6, its L1 table, a copy, in cluster 7.
    static func snapshotImage(refcounts: [UInt8], isCopied: Bool) throws -> SparseMemory {
        let flag = isCopied ? copied : 0
        var memory = try image(
            entries: [flag | cluster], header: [(60, [0, 0, 0, 1]), (69, [6])], refcounts: refcounts)
        var entry = zeros(64)
        entry.storeBigEndian(7 * cluster, at: 0)
        entry.storeBigEndian(UInt32(1), at: 8)
        entry.storeBigEndian(UInt16(1), at: 12)
        entry.storeBigEndian(UInt32(16), at: 36)
        memory.write(entry, at: 6 * cluster)
        var l1 = zeros(8)
        l1.storeBigEndian(flag | 2 * cluster, at: 0)
        memory.write(l1, at: 3 * cluster)
        memory.write(l1, at: 7 * cluster)
        memory.truncate(to: 8 * cluster)
        return memory
    }

    @Test func whatASnapshotSharesIsCountedTwice() throws {
        let shared: [UInt8] = [0, 1, 0, 2, 0, 2, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
        let good = FormatCatalog.check(try Self.snapshotImage(refcounts: shared, isCopied: false), as: .qcow2)
        #expect(good.findings.isEmpty)
        #expect(good.imageEnd == FileOffset(8 * Self.cluster))
        let flagged = FormatCatalog.check(try Self.snapshotImage(refcounts: shared, isCopied: true), as: .qcow2)
        #expect(flagged.corruptions == 2)
        let sole: [UInt8] = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
        let low = FormatCatalog.check(try Self.snapshotImage(refcounts: sole, isCopied: true), as: .qcow2)
        #expect(low.corruptions == 2 && low.leaks == 0)
    }

    @Test func aSnapshotTableThatBreaksOffIsACorruption() throws {
        let shared: [UInt8] = [0, 1, 0, 2, 0, 2, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
        var memory = try Self.snapshotImage(refcounts: shared, isCopied: false)
        memory.write([0, 0, 4, 1], at: 6 * Self.cluster + 36)
        let report = FormatCatalog.check(memory, as: .qcow2)
        #expect(report.findings.first?.fileOffset == FileOffset(6 * Self.cluster))
        #expect(report.corruptions > 0)
    }
}
