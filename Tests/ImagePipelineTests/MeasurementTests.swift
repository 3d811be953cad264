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
