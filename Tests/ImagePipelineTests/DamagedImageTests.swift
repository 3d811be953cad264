import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Testing

/// Small images with content, damaged byte by byte and read to the end: nothing may crash, hang or go by unseen.
@Suite struct DamagedImageTests {
    static let variants = OutputVariant.all.filter { $0.format != .raw }

    @Test(arguments: OutputVariant.all) func theIntactImageHasNoFinding(variant: OutputVariant) throws {
        let image = try DamagedImage(variant)
        let report = FormatCatalog.check(image.memory, as: variant.format)
        #expect(report.findings.isEmpty && report.incomplete == nil)
        #expect(image.outcome(of: image.memory) == .same)
    }

    @Test(arguments: variants) func flipsOfTheMetadataAreSurvivedToTheLastContentByte(variant: OutputVariant) throws {
        let image = try DamagedImage(variant)
        // A seeded sample, since all content is read each time; the formats' own tests flip every byte and read mappings.
        var generator = SeededGenerator(seed: 102)
        for (offset, byte) in image.bytesWorthAFlip.shuffled(using: &generator).prefix(120) {
            let flip: UInt8 = [0x01, 0x80, 0xFF][Int(offset % 3)]
            var damaged = image.memory
            damaged.write([byte ^ flip], at: offset)
            _ = image.outcome(of: damaged)
            _ = FormatCatalog.check(damaged, as: variant.format)
        }
    }

    /// What the checker alone finds of flipped bits in the entries of allocated units, in percent, and not less.
    static let checkerShares: [String: Int] = [
        "vhd": 100, "qcow2": 98, "vmdk": 100, "vmdk-streamOptimized": 99, "vdi": 100, "vdi-static": 100,
        "raw.tar.gz": 100, "raw.gz": 100, "raw.zst": 100,
    ]

    @Test(arguments: variants) func everyFlippedBitOfAMappingEntryIsSeen(variant: OutputVariant) throws {
        guard let share = Self.checkerShares[variant.name] else { return }
        let image = try DamagedImage(variant)
        let entries = try MappingEntries.ofAllocatedUnits(in: image.memory, variant)
        #expect(entries.count >= 3)
        var flips = 0
        var found = 0
        for offset in entries.joined() {
            let byte = image.memory[offset..<offset + 1]
            for bit in 0..<8 {
                var damaged = image.memory
                damaged.write([byte[0] ^ 1 << UInt8(bit)], at: offset)
                let isFound = FormatCatalog.check(damaged, as: variant.format).hasAnything
                flips += 1
                found += isFound ? 1 : 0
                #expect(isFound || image.outcome(of: damaged) != .same, "bit \(bit) of byte \(offset)")
            }
        }
        #expect(found * 100 >= flips * share, "the checker finds \(found) of \(flips)")
    }

    @Test(arguments: variants) func everyTruncationIsSeen(variant: OutputVariant) throws {
        let seed: UInt64 = 101
        let image = try DamagedImage(variant)
        var generator = SeededGenerator(seed: seed)
        var lengths = (0..<100).map { _ in UInt64.random(in: 0..<image.memory.length, using: &generator) }
        lengths += (1...40).map { image.memory.length - min($0 * 13, image.memory.length) }
        lengths += [0, 1, 511, 512, 1023, 1024, 4096, 65_536].filter { $0 < image.memory.length }
        for length in lengths {
            var cut = image.memory
            cut.truncate(to: length)
            let isSeen = image.outcome(of: cut) != .same || FormatCatalog.check(cut, as: variant.format).hasAnything
            #expect(
                isSeen || image.hasOnlyPadding(after: length),
                "seed \(seed): cut to \(length) of \(image.memory.length)")
        }
    }

    @Test(arguments: variants) func randomDamageOfManyBytesIsSurvived(variant: OutputVariant) throws {
        let image = try DamagedImage(variant)
        let places = image.bytesWorthAFlip.map(\.offset)
        for seed: UInt64 in 0..<150 {
            var generator = SeededGenerator(seed: 1000 + seed)
            var damaged = image.memory
            for _ in 0..<Int.random(in: 1...30, using: &generator) {
                guard let place = places.randomElement(using: &generator) else { return }
                let bytes = (0..<Int.random(in: 1...8, using: &generator)).map { _ in
                    UInt8.random(in: 0...255, using: &generator)
                }
                damaged.write(bytes, at: min(place, image.memory.length - UInt64(bytes.count)))
            }
            if variant.format == .vhd { VHDChecksums.repair(&damaged) }
            let source = WatchedSource(damaged)
            _ = FormatCatalog.check(source, as: variant.format)
            image.walk(source)
            #expect(source.largestRead <= WatchedSource.bound, "seed \(1000 + seed)")
        }
    }
}

/// Numbers that no honest writer puts there, in every field of every header.
@Suite struct HostileHeaderTests {
    static let values: [UInt64] = [
        .max, .max >> 1, 1 << 63, 0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF, 1 << 62, 0xFFFF_FFFF_FFFF_FE00, 1 << 40,
    ]

    /// Where headers stand: from the start on, and at the end where there is a footer.
    private func fields(_ image: DamagedImage) -> [UInt64] {
        let head = image.variant.format == .vhd ? 1536 : UInt64(512)
        var starts = Array(stride(from: 0, to: min(head, image.memory.length), by: 4))
        if image.variant.format == .vhd || image.variant.name == "vmdk-streamOptimized" {
            starts += Array(stride(from: image.memory.length - 1024, to: image.memory.length - 8, by: 4))
        }
        // The fields of a vmdk header are packed: many start at a multiple of 4, none elsewhere but the text.
        return starts
    }

    @Test(arguments: DamagedImageTests.variants, [4, 8]) func hugeNumbersNeitherTrapNorHangNorFillMemory(
        variant: OutputVariant, width: Int
    ) throws {
        let image = try DamagedImage(variant)
        var slowest = Duration.zero
        for field in fields(image) where field + 8 <= image.memory.length {
            let old = image.memory[field..<field + 8]
            if old.isZero, field > 128, variant.format != .vdi { continue }
            for value in Self.values {
                var damaged = image.memory
                var bytes = [UInt8](repeating: 0, count: 8)
                let isBigEndian = variant.format == .vhd || variant.format == .qcow2
                if isBigEndian {
                    bytes.storeBigEndian(width == 4 ? value << 32 : value, at: 0)
                } else {
                    bytes.storeLittleEndian(value, at: 0)
                }
                damaged.write(Array(bytes.prefix(width)), at: field)
                if variant.format == .vhd { VHDChecksums.repair(&damaged) }
                let source = WatchedSource(damaged)
                let time = ContinuousClock().measure {
                    _ = FormatCatalog.check(source, as: variant.format)
                    image.walk(source)
                }
                slowest = max(slowest, time)
                #expect(source.largestRead <= WatchedSource.bound, "\(value) in \(width) bytes at \(field)")
            }
        }
        // A second is the aim; the rest is for machines that do other things as well.
        #expect(slowest < .seconds(4))
    }
}
