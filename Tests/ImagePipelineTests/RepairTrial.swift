import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Testing

/// A spool in memory.
final class MemorySpool: ImageSpool {
    let isSequential = false
    private let sink = MemorySink()

    func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) { try sink.write(data: data, at: offset) }
    func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try sink.write(metadata: metadata, at: offset)
    }
    func finish(length: UInt64) throws(ImageError) { try sink.finish(length: length) }
    func spooled() throws(ImageError) -> any ImageSource { sink.memory }
}

/// A damaged image in memory, and what becomes of it.
struct RepairTrial {
    let image: SparseMemory
    let format: ImageFormat

    /// Prepares a repair, and makes the copy.
    func repaired(_ scope: RepairScope = .all) throws -> (repair: PreparedRepair, copy: SparseMemory) {
        let repair = try prepared(scope)
        let sink = MemorySink()
        try repair.copy(into: sink)
        try repair.prove(sink.memory)
        return (repair, sink.memory)
    }

    func prepared(_ scope: RepairScope = .all) throws(ImageError) -> PreparedRepair {
        try MetadataRepair(image, format: format, scope: scope, work: WorkOptions(threads: 1)).prepare { MemorySpool() }
    }

    /// The image after each number of writes, as a kill would leave it, the unrepaired one first.
    func kills(_ scope: RepairScope = .all) throws -> [SparseMemory] {
        let report = FormatCatalog.check(image, as: format)
        guard let plan = try FormatCatalog.repairPlan(for: image, as: format, report, scope: scope) else { return [] }
        var states = [image]
        var state = image
        state.truncate(to: max(plan.length, image.length))
        states.append(state)
        try plan.forEachStep { (step) throws(ImageError) in
            guard case .write(let segment) = step else { return }
            try state.write(segment)
            states.append(state)
        }
        return states
    }

    static func fingerprint(_ image: SparseMemory, _ format: ImageFormat) throws -> UInt64 {
        try DiskImage(image, format: format).fingerprint(WorkOptions(threads: 1))
    }

    /// All that a repair must do: what is wrong is gone, the content is the same at every step, and nothing gets worse.
    func expectRepair(_ scope: RepairScope = .all, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let content = try Self.fingerprint(image, format)
        let (repair, copy) = try repaired(scope)
        #expect(repair.refusal == nil && repair.hasChanges, sourceLocation: sourceLocation)
        #expect(!repair.before.isSound || repair.before.warnings > 0, sourceLocation: sourceLocation)
        #expect(repair.after.isSound, "\(repair.after.findings.map(\.message))", sourceLocation: sourceLocation)
        #expect(repair.fingerprint == content, sourceLocation: sourceLocation)
        #expect(try Self.fingerprint(copy, format) == content, sourceLocation: sourceLocation)
        for (count, state) in try kills(scope).enumerated() {
            #expect(
                try Self.fingerprint(state, format) == content, "after \(count) writes", sourceLocation: sourceLocation)
            let report = FormatCatalog.check(state, as: format)
            #expect(report.incomplete == nil, "after \(count) writes", sourceLocation: sourceLocation)
        }
        #expect(
            try !RepairTrial(image: copy, format: format).prepared(scope).hasChanges, sourceLocation: sourceLocation)
    }
}
