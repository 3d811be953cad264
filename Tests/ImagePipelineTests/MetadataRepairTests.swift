import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Testing

/// `check --repair` without files: vhd and vdi, what is refused, and how a repair is proved and written.
@Suite struct MetadataRepairTests {
    static let content: SparseMemory = {
        var bytes = [UInt8](repeating: 0, count: 7 << 20)
        for (index, place) in [0, 1 << 20, 3_300_000, 5 << 20].enumerated() {
            bytes.store(SampleDisk.full(length: 70_000, seed: 900 + UInt64(index)), at: place)
        }
        return SparseMemory(bytes)
    }()

    static func image(_ format: ImageFormat, _ options: [String: String] = [:]) throws -> SparseMemory {
        let sink = MemorySink()
        _ = try Conversion(
            try DiskImage(content, format: .raw), to: format, options: FormatOptions(options),
            work: WorkOptions(threads: 1)
        ).run(into: sink)
        return sink.memory
    }

    // MARK: vhd

    enum FooterDamage: String, CaseIterable {
        case tailLost, tailCut, tailOverwritten, tailWrongChecksum, tailShort, headLost, headWrongChecksum, bytesDiffer
        case tailShortAndHeadLost
    }

    @Test(arguments: FooterDamage.allCases) func aFooterComesFromItsCopy(damage: FooterDamage) throws {
        let whole = try Self.image(.vhd)
        var image = whole
        let tail = whole.length - 512
        switch damage {
        case .tailLost: image.truncate(to: tail)
        case .tailCut: image.truncate(to: tail + 300)
        case .tailOverwritten: image.write([UInt8](repeating: 0xA5, count: 512), at: tail)
        case .tailWrongChecksum: image.write([0xFF, 0xFF, 0xFF, 0xFF], at: tail + 64)
        case .tailShort: image.truncate(to: tail + 511)
        case .headLost: image.write([UInt8](repeating: 0, count: 512), at: 0)
        case .headWrongChecksum: image.write([0x99], at: 100)
        case .bytesDiffer:
            var footer = image[0..<512]
            footer[84] = 1
            footer.storeBigEndian(footer.bigEndian(UInt32.self, at: 64) - 1, at: 64)
            image.write(footer, at: 0)
        case .tailShortAndHeadLost:
            image.truncate(to: tail + 511)
            image.write([UInt8](repeating: 0, count: 512), at: 0)
        }
        let trial = RepairTrial(image: image, format: .vhd)
        try trial.expectRepair()
        #expect(try trial.repaired().copy == whole, "the repaired file has the bytes that it had before the damage")
    }

    @Test func aShortFooterOfAFixedDiskGetsItsByte() throws {
        let whole = try Self.image(.vhd, ["subformat": "fixed"])
        var image = whole
        image.truncate(to: whole.length - 1)
        let trial = RepairTrial(image: image, format: .vhd)
        try trial.expectRepair()
        #expect(try trial.repaired().copy == whole)
    }

    @Test func aFooterIsNeverWrittenOntoABlock() throws {
        // The file ends with its last block, so the last sector is the guest's.
        let whole = try Self.image(.vhd)
        var image = whole
        image.truncate(to: whole.length - 512)
        let plan = try #require(
            try FormatCatalog.repairPlan(
                for: image, as: .vhd, FormatCatalog.check(image, as: .vhd), scope: .all))
        #expect(plan.length == whole.length)
        #expect(plan.actions.first?.contains("byte \(whole.length - 512) is written anew") == true)
    }

    @Test func whatAGuestMayHaveWrittenIsNotCopied() throws {
        // A fixed disk whose guest wrote a dynamic header, and whose own footer is damaged.
        let dynamic = try Self.image(.vhd)
        var image = try Self.image(.vhd, ["subformat": "fixed"])
        image.write(dynamic[0..<2048], at: 0)
        image.write([0x55], at: image.length - 512 + 70)
        let repair = try RepairTrial(image: image, format: .vhd).prepared()
        #expect(!repair.hasChanges)
        #expect(repair.refusal?.message.contains("has disk type 2") == true, "\(String(describing: repair.refusal))")
        #expect(repair.after.corruptions > 0)
    }

    @Test func twoFootersThatContradictEachOtherStayAsTheyAre() throws {
        var image = try Self.image(.vhd)
        var footer = image[0..<512]
        footer[53] ^= 1
        footer.storeBigEndian(UInt32(0), at: 64)
        footer.storeBigEndian(~footer.reduce(UInt32(0)) { $0 &+ UInt32($1) }, at: 64)
        image.write(footer, at: 0)
        let repair = try RepairTrial(image: image, format: .vhd).prepared()
        #expect(!repair.hasChanges && repair.refusal != nil && repair.after.corruptions == 1)
    }

    // MARK: vdi

    @Test(arguments: [0, 1, 7, 200, UInt32.max]) func theNumberOfBlocksIsCountedAnew(number: UInt32) throws {
        let whole = try Self.image(.vdi)
        var image = whole
        var bytes = [UInt8](repeating: 0, count: 4)
        bytes.storeLittleEndian(number, at: 0)
        image.write(bytes, at: 388)
        let trial = RepairTrial(image: image, format: .vdi)
        try trial.expectRepair()
        #expect(try trial.repaired().copy == whole)
    }

    @Test func aSharedBlockStaysAndIsSaid() throws {
        var image = try Self.image(.vdi)
        image.write([0, 0, 0, 0], at: (1 << 20) + 4)
        image.write([9], at: 388)
        let (repair, copy) = try RepairTrial(image: image, format: .vdi).repaired()
        #expect(repair.fixedCorruptions == 1 && repair.after.corruptions == 1)
        #expect(copy[388..<389] != [9])
    }

    // MARK: the rest

    @Test(arguments: [ImageFormat.vmdk, .raw, .rawPackage]) func otherFormatsHaveNothingTwiceAndAreLeft(
        format: ImageFormat
    ) throws {
        let image = format == .raw ? Self.content : try Self.image(format == .rawPackage ? .raw : format)
        let repair = try RepairTrial(image: image, format: format == .rawPackage ? .raw : format).prepared()
        #expect(!repair.hasChanges && repair.refusal == nil)
    }

    @Test func leaksAreNotLookedForInFormatsWithoutRefcounts() throws {
        var image = try Self.image(.vdi)
        image.write([9], at: 388)
        let repair = try RepairTrial(image: image, format: .vdi).prepared(.leaks)
        #expect(!repair.hasChanges && repair.after.corruptions == 1)
    }

    @Test func whatWasPreparedIsNotWrittenToAFileThatHasChanged() throws {
        var image = try Self.image(.vdi)
        image.write([9], at: 388)
        let source = ChangingSource(image)
        let repair = try MetadataRepair(source, format: .vdi, scope: .all).prepare { MemorySpool() }
        source.change()
        let sink = MemorySink()
        #expect(throws: ImageError.self) { try repair.copy(into: sink) }
        #expect(sink.finishedLength == nil)
    }
}

/// A source that says that it was written to.
private final class ChangingSource: ImageSource {
    let name = "changing"
    let length: UInt64
    private let memory: SparseMemory
    private let cancellation = CancellationFlag()

    init(_ memory: SparseMemory) {
        self.memory = memory
        length = memory.length
    }

    func change() { cancellation.cancel() }

    func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result) throws(ImageError)
        -> Result
    {
        try memory.withBytes(of: range, body)
    }

    func requireUnchanged() throws(ImageError) {
        if cancellation.isCancelled { throw ImageError(.sourceChanged, "written to") }
    }
}
