import ImageExport
import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import ObjectStorage
import ObjectStoreConformance
import Testing

/// An export of a disk in memory to a store in memory, and what `convert` makes of the same disk.
struct ExportCase {
    var variant: OutputVariant
    var content: [UInt8]
    var threads = 2
    var partLength: UInt64?
    var parallel = 3
    var source: (any ImageSource)?

    func conversion() throws -> Conversion {
        Conversion(
            try DiskImage(source ?? SparseMemory(content), format: .raw), to: variant.format,
            options: FormatOptions(variant.options), work: WorkOptions(threads: threads))
    }

    func export(
        to store: any ObjectStore, replacing: Bool = false, checkpoint: String? = nil,
        progress: TransferProgress = .init()
    ) throws -> ObjectExport {
        ObjectExport(
            try conversion(), to: store, as: try ObjectKey("disk.img"), replacing: replacing,
            transfer: TransferOptions(parallel: parallel, partLength: partLength), checkpointPath: checkpoint,
            progress: progress)
    }

    /// What an offline conversion makes.
    func expected() throws -> (bytes: [UInt8], result: ConversionResult) {
        let sink = MemorySink()
        let result = try conversion().run(into: sink)
        return (sink.bytes, result)
    }
}

/// Fails where arrays differ, without printing them.
func expectSame(_ found: [UInt8]?, _ expected: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) {
    let isSame = found == expected
    #expect(isSame, "\(found?.count ?? -1) bytes, expected \(expected.count)", sourceLocation: sourceLocation)
}
