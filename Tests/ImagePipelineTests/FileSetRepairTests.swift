import ImageFormats
import ImageModel
import LatheTestSupport
import Testing

@testable import ImagePipeline

/// An image of several files in memory, with its manifest.
private struct ProvenFileSet {
    let files: [[UInt8]]
    let manifest: Manifest

    init(_ subformat: String, of disk: SparseMemory) throws {
        var conversion = Conversion(
            try DiskImage(disk, format: .raw), to: .vmdk, options: FormatOptions(["subformat": subformat]),
            work: WorkOptions(threads: 2))
        conversion.fileName = "disk.vmdk"
        let spool = PatchedMemory([])
        let result = try conversion.run(into: JoinedFilesSink(spool))
        files = try conversion.files(of: result, in: spool.spooled()).map {
            try $0.read(FileRange(0, length: $0.length))
        }
        var manifest = try Manifest(conversion, result)
        var sums = PartSums(partLength: ProvenImage.partLength)
        for (file, bytes) in zip(manifest.members, files) { sums.add(bytes.span, at: file.range.start) }
        manifest.parts = sums.checksums(files: manifest.members).parts
        self.manifest = manifest
    }

    /// The files as they are found: nil for one that is missing.
    func written(_ files: [[UInt8]?], in folder: String) -> (first: SparseMemory, others: WrittenFiles) {
        let names = manifest.files.map(\.name)
        let present = files.indices.filter { files[$0] != nil }
        let sources = present.map { SparseMemory(files[$0] ?? [], name: "\(folder)/\(names[$0])") }
        return (sources[0], WrittenFiles(sources, names: present.map { names[$0] }))
    }

    func verify(_ files: [[UInt8]?]) throws -> VerificationReport {
        let image = written(files, in: "image")
        var verification = Verification(image.first, manifest: manifest, work: WorkOptions(threads: 2))
        verification.references = image.others
        return try verification.run()
    }

    /// Repairs and answers the files then, and which of them were opened for writing.
    func repair(_ files: [[UInt8]?], from donors: [RepairDonor]) throws -> (
        files: [[UInt8]?], opened: Set<Int>, report: RepairReport
    ) {
        let image = written(files, in: "image")
        let targets = files.map { PatchedMemory($0 ?? []) }
        var opened: Set<Int> = []
        let report = try Repair(manifest: manifest, work: WorkOptions(threads: 2)).run(
            verify(files).damagedParts, of: image.first, image.others, from: donors
        ) { index in
            opened.insert(index)
            return targets[index]
        } by: {
            PatchedMemory([])
        }
        let found = files.indices.map { files[$0] == nil && !opened.contains($0) ? nil : targets[$0].bytes }
        return (found, opened, report)
    }

    func copy(_ files: [[UInt8]?]) -> RepairDonor {
        let image = written(files, in: "copy")
        return RepairDonor(image.first, references: image.others)
    }
}

/// Damage to images of several files: found and located in each, and repaired there.
@Suite struct FileSetRepairTests {
    private static let disk: SparseMemory = {
        var disk = SparseMemory(SampleDisk.mixed(length: 1 << 20, seed: 41), name: "disk")
        disk.write(SampleDisk.mixed(length: 200_000, seed: 42), at: 2 << 30 - 100_000)
        disk.truncate(to: 4 << 30 + 512)
        disk.write([1], at: 4 << 30 + 100)
        return disk
    }()
    private static let shortDisk = SparseMemory(SampleDisk.mixed(length: 1_200_000, seed: 43), name: "disk")

    private static func image(_ subformat: String) throws -> ProvenFileSet {
        try ProvenFileSet(subformat, of: subformat == "twoGbMaxExtentSparse" ? disk : shortDisk)
    }

    private static func donor(_ subformat: String) -> RepairDonor {
        RepairDonor(subformat == "twoGbMaxExtentSparse" ? disk : shortDisk, format: .raw)
    }

    @Test(arguments: ["twoGbMaxExtentSparse", "monolithicFlat", "twoGbMaxExtentFlat"])
    func anyDamageToAnyFileIsLocatedAndRepaired(subformat: String) throws {
        let image = try Self.image(subformat)
        #expect(try image.verify(image.files).verdict == .whole)
        let seed: UInt64 = 44
        var generator = SeededGenerator(seed: seed)
        for round in 0..<24 {
            let index = round % image.files.count
            var files: [[UInt8]?] = image.files
            let length = image.files[index].count
            let place = Int.random(in: 0..<length, using: &generator)
            let kind = Int.random(in: 0..<4, using: &generator)
            switch kind {
            case 0: files[index] = Array(image.files[index][..<place])
            case 1: files[index] = image.files[index] + [7, 8, 9]
            case 2 where index > 0: files[index] = nil
            default: files[index]?[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            }
            let what: Comment = "seed \(seed), round \(round): kind \(kind) of damage to file \(index) at \(place)"
            let report = try image.verify(files)
            #expect(report.verdict == .damaged, what)
            #expect(report.damagedParts.allSatisfy { $0.fileIndex == index }, what)
            #expect(report.damagedParts.allSatisfy { $0.fileName == image.manifest.files[index].name }, what)
            if kind != 1 { #expect(!report.damagedParts.isEmpty, what) }
            let donor = round % 2 == 0 ? Self.donor(subformat) : image.copy(image.files)
            let repaired = try image.repair(files, from: [donor])
            let isWhole = repaired.files == image.files
            #expect(isWhole && repaired.report.remaining.isEmpty, what)
            #expect(repaired.opened == [index], what)
        }
    }

    @Test func theGuestBytesOfADamagedPartAreThoseOfItsFile() throws {
        let image = try Self.image("monolithicFlat")
        var files = image.files
        files[1][600_000] ^= 1
        let part = try #require(try image.verify(files).damagedParts.first)
        // The descriptor is the first part.
        #expect(part.index == 10 && part.fileIndex == 1 && part.file == FileRange(589_824, length: 65536))
        #expect(part.guests == [GuestRange(589_824, length: 65536)] && part.otherBytes == 0)

        let sparse = try Self.image("twoGbMaxExtentSparse")
        var extents = sparse.files
        extents[3][extents[3].count - 1] ^= 1
        let last = try #require(try sparse.verify(extents).damagedParts.first)
        #expect(last.fileName == "disk-s003.vmdk" && last.guests?.map(\.start.bytes) == [4 << 30], "\(last)")
    }

    @Test func copiesThatAreDamagedInDifferentFilesMakeOneThatIsWhole() throws {
        let image = try Self.image("twoGbMaxExtentSparse")
        var files: [[UInt8]?] = image.files
        (files[0], files[2]) = (Array("not a descriptor".utf8), nil)
        var copy: [[UInt8]?] = image.files
        copy[1]?[5000] ^= 1
        copy[3] = nil
        let repaired = try image.repair(files, from: [image.copy(copy)])
        let isWhole = repaired.files == image.files
        #expect(isWhole && repaired.opened == [0, 2])
        #expect(Set(repaired.report.repaired.values) == ["copy/disk.vmdk", "copy/disk-s002.vmdk"])
    }

    @Test func whatNoDonorHasStaysAndNothingIsCutOff() throws {
        let image = try Self.image("twoGbMaxExtentSparse")
        var files: [[UInt8]?] = image.files
        files[1]?[image.files[1].count - 2] ^= 1
        files[2]? += [1, 2, 3]
        var copy: [[UInt8]?] = image.files
        copy[1]?[image.files[1].count - 1] ^= 1
        let other = RepairDonor(Self.shortDisk, format: .raw)
        let repaired = try image.repair(files, from: [image.copy(copy), other])
        let isUntouched = repaired.files == files
        #expect(isUntouched && repaired.opened.isEmpty && repaired.report.remaining.count == 1)
        #expect(repaired.report.notes.contains { $0.contains("neither another copy nor the same disk") })
    }

    @Test func anotherImageIsNotOverwritten() throws {
        let image = try Self.image("monolithicFlat")
        let foreign = image.files.map { [UInt8](repeating: 3, count: $0.count) }
        let error = #expect(throws: ImageError.self) {
            let found = try image.repair(foreign, from: [Self.donor("monolithicFlat")])
            Issue.record("it was: \(found.report)")
        }
        #expect(error?.message.contains("nothing in common") == true, "\(String(describing: error))")
    }
}
