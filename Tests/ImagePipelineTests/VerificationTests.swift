import ImageCodecs
import ImageFormats
import ImageModel
import LatheTestSupport
import Synchronization
import Testing

@testable import ImagePipeline

/// An image in memory, with a manifest in parts so short that few bytes make many of them.
struct ProvenImage {
    static let partLength: UInt64 = 64 << 10
    static let content =
        SampleDisk.numbered(length: 300_032, seed: 101) + [UInt8](repeating: 0, count: 399_872)
        + SampleDisk.mixed(length: 400_384, seed: 102)
    static let disk = SparseMemory(content, name: "disk")

    let variant: OutputVariant
    let bytes: [UInt8]
    let manifest: Manifest

    init(_ variant: OutputVariant, checksums: ChecksumSelection = [.sha256, .sha256Tree]) throws {
        self.variant = variant
        let conversion = Conversion(
            try DiskImage(Self.disk, format: .raw), to: variant.format, options: FormatOptions(variant.options),
            checksums: checksums)
        let sink = MemorySink()
        let result = try conversion.run(into: sink)
        let bytes = sink.bytes
        var manifest = try Manifest(
            conversion, result, object: DiskImage.checksums(ofBytesOf: sink.memory, checksums))
        var sums = PartSums(partLength: Self.partLength)
        sums.add(bytes.span, at: FileOffset(0))
        manifest.parts = sums.checksums(length: UInt64(bytes.count)).parts
        self.manifest = manifest
        self.bytes = bytes
    }

    /// Compared here, so that a failed expectation does not print a megabyte.
    func isWhole(_ found: [UInt8]) -> Bool { found == bytes }

    func verify(_ bytes: [UInt8], manifest: Bool = true, reference: DiskImage? = nil) throws -> VerificationReport {
        try Verification(
            SparseMemory(bytes, name: "image"), format: variant.format, manifest: manifest ? self.manifest : nil,
            reference: reference, work: WorkOptions(threads: 3, chunkSize: 64 << 10)
        ).run()
    }

    /// Repairs and answers the bytes of the file then.
    func repair(_ bytes: [UInt8], from donors: [RepairDonor]) throws -> (bytes: [UInt8], report: RepairReport) {
        let target = PatchedMemory(bytes)
        let parts = try verify(bytes).damagedParts
        let report = try Repair(manifest: manifest).run(
            parts, of: SparseMemory(bytes), from: donors
        ) { _ in
            target
        } by: {
            PatchedMemory([])
        }
        return (target.bytes, report)
    }
}

/// A file in memory that can be written over and read back.
final class PatchedMemory: ImageSpool {
    let isSequential = false
    private let memory: Mutex<SparseMemory>

    init(_ bytes: [UInt8]) { memory = Mutex(SparseMemory(bytes)) }

    var bytes: [UInt8] { memory.withLock { $0[0..<$0.length] } }

    func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        let copy = unsafe data.withUnsafeBufferPointer { unsafe Array($0) }
        memory.withLock { $0.write(copy, at: offset.bytes) }
    }

    func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try write(data: metadata, at: offset)
    }
    func finish(length: UInt64) throws(ImageError) { memory.withLock { $0.truncate(to: length) } }
    func spooled() throws(ImageError) -> any ImageSource { memory.withLock { $0 } }
}

@Suite struct VerificationTests {
    @Test(arguments: OutputVariant.all) func anImageThatIsWholeIsWhole(variant: OutputVariant) throws {
        let image = try ProvenImage(variant)
        let reference = try DiskImage(ProvenImage.disk, format: .raw)
        let report = try image.verify(image.bytes, reference: reference)
        #expect(report.verdict == .whole)
        #expect(report.checks.allSatisfy { $0.outcome == .passed || $0.outcome == .notApplicable })
        #expect(
            report.checks.map(\.subject) == [
                .structure, .format, .length, .object, .objectSHA256, .objectSHA256Tree, .content, .contentSHA256,
                .contentSHA256Tree, .source,
            ])
        #expect(report.content == image.manifest.content && report.object == image.manifest.object)
        #expect(report.damagedParts.isEmpty && report.differences?.isEmpty == true)
    }

    @Test(arguments: OutputVariant.all) func everyFlippedByteIsLocatedAndRepaired(variant: OutputVariant) throws {
        let image = try ProvenImage(variant, checksums: .crc64ecma)
        var generator = SeededGenerator(seed: 103)
        let raw = RepairDonor(ProvenImage.disk, format: .raw)
        let ends = [0, 511, image.bytes.count - 1]
        let places = ends + (0..<25).map { _ in Int.random(in: 0..<image.bytes.count, using: &generator) }
        for place in places {
            var damaged = image.bytes
            damaged[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            let report = try image.verify(damaged)
            #expect(report.verdict == .damaged, "byte \(place)")
            #expect(report.damagedParts.map(\.index) == [place / Int(ProvenImage.partLength)], "byte \(place)")
            let repaired = try image.repair(damaged, from: [raw])
            #expect(image.isWhole(repaired.bytes), "byte \(place)")
            #expect(repaired.report.remaining.isEmpty && repaired.report.repaired.values.allSatisfy { $0 == "disk" })
        }
    }

    @Test(arguments: OutputVariant.all) func theGuestBytesOfADamagedPartAreThoseThatDiffer(variant: OutputVariant)
        throws
    {
        let image = try ProvenImage(variant, checksums: .crc64ecma)
        let reference = try DiskImage(ProvenImage.disk, format: .raw)
        var checked = 0
        for place in stride(from: 1000, to: image.bytes.count, by: 31_013) {
            var damaged = image.bytes
            damaged[place] ^= 0x55
            let report = try image.verify(damaged, reference: reference)
            let part = try #require(report.damagedParts.first)
            for difference in report.differences?.ranges ?? [] {
                checked += 1
                #expect(
                    part.guests?.contains {
                        $0.start <= difference.start && difference.end.bytes <= $0.end.bytes.roundedUp512
                    } == true, "byte \(place)")
            }
        }
        // A stream's grain that does not inflate can't be compared.
        #expect(checked > 5 || variant.isCompressed)
    }

    @Test(arguments: OutputVariant.all) func everyTruncationIsFoundAndRepaired(variant: OutputVariant) throws {
        let image = try ProvenImage(variant, checksums: .crc64ecma)
        let count = image.bytes.count
        for length in [1, 512, 65536, 65537, 200_000, count - 512, count - 1] {
            let cut = Array(image.bytes[..<length])
            let report = try image.verify(cut)
            #expect(report.verdict == .damaged, "\(length) bytes")
            #expect(report.damagedParts.first?.index == length / 65536 && report.damagedParts.first?.found == nil)
            guard length >= 65536 else { continue }
            #expect(image.isWhole(try image.repair(cut, from: [RepairDonor(ProvenImage.disk, format: .raw)]).bytes))
        }
    }

    @Test(arguments: OutputVariant.all) func whatIsAddedAtTheEndIsFoundAndCutOff(variant: OutputVariant) throws {
        let image = try ProvenImage(variant, checksums: .crc64ecma)
        let longer = image.bytes + [UInt8](repeating: 7, count: 100_000)
        let report = try image.verify(longer)
        #expect(report.verdict == .damaged && report.damagedParts.isEmpty)
        #expect(report.checks.contains { $0.subject == .length && $0.outcome == .failed })
        #expect(image.isWhole(try image.repair(longer, from: [RepairDonor(ProvenImage.disk)]).bytes))
    }

    @Test func twoCopiesThatAreDamagedInDifferentPlacesMakeOneThatIsWhole() throws {
        let image = try ProvenImage(OutputVariant.named("qcow2"))
        var (one, two) = (image.bytes, image.bytes)
        for place in [70_000, 300_000] { one[place] ^= 1 }
        for place in [10, 200_000] { two[place] ^= 1 }
        let repaired = try image.repair(one, from: [RepairDonor(SparseMemory(two, name: "copy"))])
        #expect(image.isWhole(repaired.bytes))
        #expect(Set(repaired.report.repaired.values) == ["copy"])
        #expect(try image.verify(repaired.bytes).verdict == .whole)
    }

    @Test(arguments: OutputVariant.all) func aDiskInAnyFormatIsADonor(variant: OutputVariant) throws {
        let image = try ProvenImage(OutputVariant.named("vdi"))
        let donor = try ProvenImage(variant)
        var damaged = image.bytes
        damaged[Int(1.5 * 1024 * 1024)] ^= 9
        let repaired = try image.repair(
            damaged, from: [RepairDonor(SparseMemory(donor.bytes, name: "donor"), format: variant.format)])
        #expect(image.isWhole(repaired.bytes))
    }

    @Test func aDonorOfOtherContentChangesNothing() throws {
        let image = try ProvenImage(OutputVariant.named("qcow2"))
        var damaged = image.bytes
        damaged[100_000] ^= 1
        var other = ProvenImage.content
        other[5] ^= 1
        let donors = [
            RepairDonor(SparseMemory(other, name: "other"), format: .raw),
            RepairDonor(SparseMemory(Array(other.dropLast(512)), name: "short"), format: .raw),
            RepairDonor(SparseMemory(damaged, name: "copy"), format: .qcow2),
        ]
        let repaired = try image.repair(damaged, from: donors)
        let isUntouched = repaired.bytes == damaged
        #expect(isUntouched)
        #expect(repaired.report.repaired.isEmpty && repaired.report.remaining == [1])
        for donor in donors {
            #expect(repaired.report.notes.contains { $0.hasPrefix(donor.source.name) }, "\(repaired.report.notes)")
        }
    }

    @Test func anotherImageIsNotOverwritten() throws {
        let image = try ProvenImage(OutputVariant.named("qcow2"))
        let foreign = [UInt8](repeating: 3, count: image.bytes.count)
        let error = #expect(throws: ImageError.self) {
            try image.repair(foreign, from: [RepairDonor(ProvenImage.disk, format: .raw)])
        }
        #expect(error?.message.contains("nothing in common") == true)
    }

    @Test func anotherDiskIsNotOverwrittenForTheZerosThatItShares() throws {
        let image = try ProvenImage(OutputVariant.named("raw"))
        let foreign = image.bytes.map { $0 == 0 ? 0 : $0 ^ 0x5a }
        let report = try image.verify(foreign)
        #expect(report.damagedParts.count < image.manifest.parts.crc64ecma.count)
        let error = #expect(throws: ImageError.self) {
            try image.repair(foreign, from: [RepairDonor(ProvenImage.disk, format: .raw)])
        }
        #expect(error?.code == .mismatch)
    }

    @Test(arguments: OutputVariant.all) func theFileIsReadOnce(variant: OutputVariant) throws {
        let image = try ProvenImage(variant, checksums: .crc64ecma)
        let source = CountingSource(image.bytes)
        let report = try Verification(source, format: variant.format, manifest: image.manifest).run()
        #expect(report.verdict == .whole)
        // Compressed grains are inflated out of the file, and counted as bytes of it: twice.
        let passes = variant.isCompressed ? 2 : 1
        #expect(source.contentBytes <= passes * image.bytes.count)
        #expect(report.content?.crc64ecma == image.manifest.content.crc64ecma)
    }

    @Test func bytesThatStandForTwoGuestRangesAreCountedForBoth() throws {
        let image = try ProvenImage(OutputVariant.named("vdi"))
        var shared = image.bytes
        // Both blocks of the map point at the first one: a corruption, but a disk that can be read.
        let map = 1 << 20
        shared.replaceSubrange(map + 4..<map + 8, with: shared[map..<map + 4])
        let report = try image.verify(shared)
        let disk = try DiskImage(SparseMemory(shared), format: .vdi)
        #expect(report.content?.crc64ecma == (try disk.fingerprint()))
        #expect(report.verdict == .damaged)
    }

    @Test func withoutManifestAndSourceOnlyTheStructureIsProved() throws {
        let raw = try ProvenImage(OutputVariant.named("raw"))
        #expect(try raw.verify(raw.bytes, manifest: false).verdict == .undecided)
        let qcow2 = try ProvenImage(OutputVariant.named("qcow2"))
        #expect(try qcow2.verify(qcow2.bytes, manifest: false).verdict == .whole)
        // An image of another program's feature is not damaged by having it: here, a backing file with a name of 9 bytes.
        var foreign = qcow2.bytes
        foreign.replaceSubrange(14..<20, with: [2, 0, 0, 0, 0, 9])
        #expect(try qcow2.verify(foreign, manifest: false).verdict == .undecided)
        #expect(try qcow2.verify(foreign).verdict == .damaged)
    }

    @Test func aManifestOfAnotherFormatOrDiskIsNoProof() throws {
        let qcow2 = try ProvenImage(OutputVariant.named("qcow2"))
        var manifest = qcow2.manifest
        manifest.options["cluster_size"] = "65536"
        manifest.virtualSize += 512
        let source = SparseMemory(qcow2.bytes)
        let larger = try Verification(source, format: .qcow2, manifest: manifest).run()
        #expect(larger.checks.contains { $0.subject == .format && $0.outcome == .failed })
        manifest.format = .vdi
        let other = try Verification(source, format: .qcow2, manifest: manifest).run()
        #expect(other.verdict == .damaged)
    }

    @Test func aDamagedSourceIsNotTheImagesFault() throws {
        let image = try ProvenImage(OutputVariant.named("vdi"), checksums: .crc64ecma)
        var damaged = try ProvenImage(OutputVariant.named("vmdk-streamOptimized")).bytes
        // In the compressed bytes of the first grain: its header can be read, its content can't.
        for index in 65_600..<66_000 { damaged[index] ^= 0xff }
        let reference = try DiskImage(SparseMemory(damaged, name: "source"), format: .vmdk)
        let report = try image.verify(image.bytes, reference: reference)
        #expect(report.checks.last?.subject == .source && report.checks.last?.outcome == .undecided)
        #expect(report.verdict == .undecided)
    }

    @Test func differencesAreTheSectorsThatDiffer() throws {
        var other = ProvenImage.content
        for place in [0, 511, 1024, 350_000, other.count - 1] { other[place] ^= 0xff }
        let one = try DiskImage(ProvenImage.disk, format: .raw)
        let two = try DiskImage(SparseMemory(other), format: .raw)
        let expected: [GuestRange] = [
            GuestRange(0, length: 512), GuestRange(1024, length: 512), GuestRange(349_696, length: 512),
            GuestRange(UInt64(other.count) - 512, length: 512),
        ]
        for threads in [1, 4] {
            let work = WorkOptions(threads: threads, chunkSize: 64 << 10)
            let all = try one.differences(from: two, atMost: 10, work)
            #expect(all.ranges == expected && all.differingBytes == 2048 && !all.sizesDiffer)
            let first = try two.differences(from: one, atMost: 2, work)
            #expect(first.ranges == Array(expected[..<2]) && first.differingBytes == 2048)
        }
        #expect(try one.differences(from: one, atMost: 10).isEmpty)
    }
}

extension UInt64 {
    fileprivate var roundedUp512: UInt64 { (self + 511) / 512 * 512 }
}

/// Counts the bytes that are read in large runs, which are content; tables are read in smaller ones.
final class CountingSource: ImageSource {
    let name = "counted"
    private let memory: SparseMemory
    private let count = Atomic<Int>(0)

    init(_ bytes: [UInt8]) { memory = SparseMemory(bytes) }

    var length: UInt64 { memory.length }
    var contentBytes: Int { count.load(ordering: .relaxed) }

    func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result) throws(ImageError)
        -> Result
    {
        try memory.withBytes(of: range, body)
    }

    func nextData(from start: FileOffset, limit: FileOffset) throws(ImageError) -> FileRange? {
        try memory.nextData(from: start, limit: limit)
    }

    func read(_ range: FileRange, into buffer: inout [UInt8], at index: Int) throws(ImageError) {
        count.add(Int(range.length), ordering: .relaxed)
        try memory.read(range, into: &buffer, at: index)
    }
}
