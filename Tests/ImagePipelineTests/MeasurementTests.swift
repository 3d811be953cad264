import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Testing

/// What is measured is what is written.
@Suite struct MeasurementTests {
    private static let full = SampleDisk.full(length: 2 << 20, seed: 12)

    private static func conversion(
        _ source: any ImageSource, _ variant: OutputVariant, policy: SparsePolicy = .allHoles
    ) throws -> Conversion {
        Conversion(
            try DiskImage(source, format: .raw), to: variant.format, options: FormatOptions(variant.options),
            sparsePolicy: policy, work: WorkOptions(threads: 2))
    }

    @Test(arguments: OutputVariant.all) func whatIsMeasuredIsWhatIsWrittenToTheByte(variant: OutputVariant) throws {
        for shape in GoldenTests.shapes {
            let conversion = try Self.conversion(SparseMemory(shape.content), variant)
            let sink = MemorySink()
            let written = try conversion.run(into: sink)
            let measured = try conversion.measure()
            #expect(measured.required == written.objectLength, "\(shape.name)")
            #expect(measured.required == UInt64(sink.bytes.count), "\(shape.name)")
            let most = try #require(measured.fullyAllocated)
            #expect(most >= measured.required, "\(shape.name)")
        }
    }

    /// What is placed unit by unit comes to what arithmetic says, on both sides of every border where a table or a block is added.
    @Test(arguments: layouts) func aWholeDiskByArithmeticIsAWholeDiskPlaced(variant: OutputVariant) throws {
        let mebibyte: UInt64 = 1 << 20
        var sizes: [UInt64] = [0, 512, 1024, 65_024, 65_536, 66_048, mebibyte - 512, mebibyte, mebibyte + 512]
        sizes += [2 * mebibyte + 512, 31 * mebibyte + 512, 33 * mebibyte, 64 * mebibyte + 512]
        if variant.options["cluster_size"] != "512" { sizes += [513 * mebibyte, 1025 * mebibyte + 512] }
        if variant.options["subformat"]?.hasPrefix("twoGb") ?? false { sizes += [4096 * mebibyte + 512] }
        for size in sizes {
            let parameters = EncoderParameters(contentLength: size, virtualSize: size)
            var encoder = try FormatCatalog.encoder(
                for: variant.format, parameters: parameters, options: FormatOptions(variant.options))
            let greatest = try encoder.greatestLength()
            var metadata: [MetadataSegment] = []
            for unit in 0..<size.dividedRoundingUp(by: encoder.unitSize) {
                _ = try encoder.place(
                    unit: unit, storedLength: encoder.storage.greatestLength(ofUnit: encoder.unitSize),
                    metadata: &metadata)
                metadata.removeAll(keepingCapacity: true)
            }
            let identity = ContentIdentity(fingerprint: 0, virtualSize: size)
            let length = try encoder.finish(content: identity, metadata: &metadata)
            let all = encoder.files.isEmpty ? length : encoder.files.reduce(0) { $0 + $1.range.length }
            #expect(greatest == all, "\(size)")
        }
    }

    static let layouts =
        OutputVariant.all + OutputVariant.ofSeveralFiles + [
            OutputVariant(.qcow2, ["cluster_size": "512"]), OutputVariant(.qcow2, ["cluster_size": "4k"]),
            OutputVariant(.qcow2, ["cluster_size": "512", "refcount_bits": "64"]),
            OutputVariant(.qcow2, ["cluster_size": "512", "refcount_bits": "1", "compress": "on"]),
            OutputVariant(.qcow2, ["cluster_size": "512", "refcount_bits": "64", "compress": "on"]),
            OutputVariant(.qcow2, ["cluster_size": "16k", "extended_l2": "on"]),
            OutputVariant(.qcow2, ["cluster_size": "2M", "extended_l2": "on", "compress": "on"]),
            OutputVariant(.vhd, ["block_size": "512k", "align": "1M"]), OutputVariant(.vhd, ["align": "1G"]),
            OutputVariant(.vhd, ["subformat": "fixed", "align": "1M"]),
            OutputVariant(.vmdk, ["align": "64k"]),
            OutputVariant(.vmdk, ["subformat": "streamOptimized", "align": "1M"]),
            OutputVariant(.vmdk, ["subformat": "monolithicFlat", "align": "64k"]),
        ]

    /// Some programs take only files of whole sectors, and QEMU fills its own up to one.
    @Test(arguments: OutputVariant.all.filter { $0.format == .qcow2 })
    func aQCOW2EndsWithAWholeSector(variant: OutputVariant) throws {
        for shape in GoldenTests.shapes {
            let written = try Self.conversion(SparseMemory(shape.content), variant).run(into: NullSink())
            #expect(written.objectLength % sectorSize == 0, "\(shape.name)")
        }
    }

    @Test(arguments: OutputVariant.all.filter { !$0.isCompressed })
    func aDiskWithoutZerosTakesWhatIsFullyAllocated(variant: OutputVariant) throws {
        let full = try Self.conversion(SparseMemory(Self.full), variant).measure()
        let empty = try Self.conversion(BlankSource(name: "blank", length: 2 << 20), variant).measure()
        #expect(full.required == full.fullyAllocated)
        #expect(empty.fullyAllocated == full.fullyAllocated)
        let dense = try Self.conversion(
            BlankSource(name: "blank", length: 2 << 20), variant, policy: .noHoles
        ).measure()
        #expect(dense.required == full.fullyAllocated)
    }
}
