import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Testing

/// Refcounts of every width, damaged from seeds, counted anew, and killed between any two writes.
@Suite struct RefcountRepairTests {
    typealias Image = HandmadeQCOW2

    /// Refcounts of 1 bit can't count a snapshot.
    static let widths: [Image] = (0...6).flatMap { order in
        [false, true].filter { !$0 || order > 0 }.map { Image(refcountOrder: order, hasSnapshot: $0) }
    }

    @Test(arguments: 0..<widths.count) func aHandmadeImageIsSound(width: Int) throws {
        let image = Self.widths[width].image()
        let report = FormatCatalog.check(image, as: .qcow2)
        #expect(report.findings.isEmpty, "\(report.findings.map(\.message))")
        #expect(try !RepairTrial(image: image, format: .qcow2).prepared().hasChanges)
    }

    @Test(arguments: 0..<widths.count, [1, 2, 3] as [UInt64])
    func refcountsThatAreTooLowAreCountedAnew(width: Int, seed: UInt64) throws {
        let maker = Self.widths[width]
        var image = maker.image()
        var generator = SeededGenerator(seed: seed)
        let greatest = UInt64(min(5, UInt64.max >> (64 - maker.refcountBits)))
        for cluster in 0..<20 as Range<UInt64> {
            maker.set(UInt64.random(in: 0...greatest, using: &generator), of: cluster, in: &image)
        }
        maker.set(0, of: 0, in: &image)
        try RepairTrial(image: image, format: .qcow2).expectRepair()
    }

    @Test(arguments: 1..<widths.count, [4, 5] as [UInt64])
    func refcountsThatAreTooHighAreLoweredWhereTheyStand(width: Int, seed: UInt64) throws {
        let maker = Self.widths[width]
        guard maker.refcountBits > 1 else { return }
        var image = maker.image()
        image.truncate(to: 64 * maker.clusterSize)
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<8 {
            maker.set(3, of: UInt64.random(in: 0..<60, using: &generator), in: &image)
        }
        for scope in RepairScope.allCases {
            let trial = RepairTrial(image: image, format: .qcow2)
            try trial.expectRepair(scope)
            #expect(try trial.repaired(scope).copy.length == image.length)
        }
    }

    @Test(arguments: 0..<widths.count) func flagsOfSoleReferencesFollowTheReferences(width: Int) throws {
        let maker = Self.widths[width]
        var image = maker.image()
        for place in [Image.l1 * maker.clusterSize, Image.l2 * maker.clusterSize + 16] {
            image.write([image[place..<place + 1][0] ^ 0x80], at: place)
        }
        try RepairTrial(image: image, format: .qcow2).expectRepair()
    }

    /// What the refcount table says of its first block: nothing, outside, between clusters, on an L2 table, on data.
    @Test(arguments: [0, 1 << 40, 2 * 4096 + 512, 4 * 4096, 12 * 4096, 4096, 1] as [UInt64])
    func aRefcountTableThatIsWrongIsLeftBehind(entry: UInt64) throws {
        for maker in [Image(), Image(hasSnapshot: true), Image(version: 2)] {
            var image = maker.image()
            maker.write(entry, at: Image.table * maker.clusterSize, to: &image)
            try RepairTrial(image: image, format: .qcow2).expectRepair()
        }
    }

    @Test(arguments: [1 << 40, 2 * 4096 + 512, 5] as [UInt64])
    func aRefcountTableEntryThatNothingNeedsIsLeftBehindToo(entry: UInt64) throws {
        var image = Image().image()
        Image().write(entry, at: Image.table * 4096 + 16, to: &image)
        try RepairTrial(image: image, format: .qcow2).expectRepair()
    }

    @Test func twoEntriesForOneBlockAreCountedAnew() throws {
        var image = Image().image()
        Image().write(2 * 4096, at: 4096 + 8, to: &image)
        try RepairTrial(image: image, format: .qcow2).expectRepair()
    }

    @Test func aFileThatEndsInsideAClusterIsFilledUpFirst() throws {
        var image = Image().image()
        image.write([1, 2, 3], at: image.length)
        Image().set(0, of: 0, in: &image)
        let trial = RepairTrial(image: image, format: .qcow2)
        try trial.expectRepair()
        #expect(try trial.repaired().copy.length % 4096 == 0)
    }

    @Test func marksGoWhenNothingIsLeftThatIsWrong() throws {
        for mark: UInt8 in [1, 2, 3] {
            var image = Image().image()
            image.write([mark], at: 79)
            Image().set(0, of: 12, in: &image)
            let trial = RepairTrial(image: image, format: .qcow2)
            try trial.expectRepair()
            #expect(try trial.repaired().copy[79..<80] == [0])
        }
        var marked = Image().image()
        marked.write([2], at: 79)
        try RepairTrial(image: marked, format: .qcow2).expectRepair()
    }

    @Test func marksStayWhenSomethingIsLeft() throws {
        let maker = Image(data: [10, 11, 11, 12])
        var image = maker.image()
        image.write([2], at: 79)
        maker.set(0, of: 0, in: &image)
        let (repair, copy) = try RepairTrial(image: image, format: .qcow2).repaired()
        #expect(copy[79..<80] == [2])
        #expect(repair.fixedCorruptions > 0)
        #expect(repair.after.corruptions == 1, "the mark: one of the two places may have been written over")
        #expect(try RepairTrial.fingerprint(copy, .qcow2) == RepairTrial.fingerprint(image, .qcow2))
    }

    // MARK: - What is not mended

    @Test func clustersThatADamagedEntryMeantAreNotGivenAway() throws {
        var image = Image().image()
        image.write([0x20], at: Image.l2 * 4096)
        Image().set(0, of: 0, in: &image)
        for scope in RepairScope.allCases {
            let repair = try RepairTrial(image: image, format: .qcow2).prepared(scope)
            #expect(!repair.hasChanges)
            #expect(repair.refusal?.message.contains("given away as free") == true)
            #expect(repair.refusal?.offset == FileOffset(Image.l2 * 4096))
            #expect(repair.after.corruptions == repair.before.corruptions)
        }
    }

    @Test func aReservedBitIsNoLeakOfWhatItsEntryRefersTo() throws {
        for table in [Image.l1, Image.l2] {
            var image = Image().image()
            image.write([0x88], at: table * 4096)
            let report = FormatCatalog.check(image, as: .qcow2)
            #expect(report.corruptions == 1 && report.leaks == 0, "\(report.findings.map(\.message))")
        }
    }

    /// Data where the L1 table, the L2 table, or the snapshot's L1 table is.
    @Test(arguments: [Image.l1, Image.l2, Image.snapshotL1]) func aTableThatIsAlsoDataIsNotWrittenTo(cluster: UInt64)
        throws
    {
        var maker = Image(hasSnapshot: true)
        maker.data = [10, 11, 12]
        var image = maker.image()
        maker.write(cluster * 4096, at: Image.l2 * 4096 + 8, to: &image)
        let repair = try RepairTrial(image: image, format: .qcow2).prepared()
        #expect(!repair.hasChanges)
        #expect(repair.refusal?.message.contains("one write would change two things") == true)
    }

    @Test func moreReferencesThanARefcountHoldsAreRefused() throws {
        let maker = Image(refcountOrder: 0, data: [10, 11, 11, 12])
        var image = maker.image()
        maker.set(0, of: 0, in: &image)
        let repair = try RepairTrial(image: image, format: .qcow2).prepared()
        #expect(!repair.hasChanges)
        #expect(repair.refusal?.message.contains("refcounts of 1 bits end at 1") == true)
    }

    @Test func aFileTooLongForAnyRefcountTableIsRefused() throws {
        let maker = Image(clusterBits: 9, refcountOrder: 6)
        var image = maker.image()
        maker.set(0, of: 0, in: &image)
        image.truncate(to: 1 << 50)
        let repair = try RepairTrial(image: image, format: .qcow2).prepared()
        #expect(!repair.hasChanges && repair.refusal?.code == .limitExceeded)
    }

    @Test func leaksAreLeftWhereTheRefcountsThemselvesStandOnData() throws {
        var image = Image().image()
        Image().write(12 * 4096, at: 4096, to: &image)
        let repair = try RepairTrial(image: image, format: .qcow2).prepared(.leaks)
        #expect(!repair.hasChanges)
    }

    // MARK: - Far apart

    @Test func clustersFarApartHaveBlocksOfTheirOwn() throws {
        // Clusters of 512 bytes: a window of the check is 2 GiB of file, and a block counts 128 KiB of it.
        var maker = Image(clusterBits: 9)
        maker.data = [10, 11, 300, 4_200_000]
        let image = maker.image()
        let trial = RepairTrial(image: image, format: .qcow2)
        let (repair, copy) = try trial.repaired()
        #expect(repair.after.isSound && repair.hasChanges)
        #expect(try RepairTrial.fingerprint(copy, .qcow2) == RepairTrial.fingerprint(image, .qcow2))
        // Three for what is there, and one more for the table's 257 clusters.
        #expect(repair.actions.first?.contains("into 4 blocks") == true)
        #expect(copy.length - image.length == (4 + 257) * 512)
    }
}
