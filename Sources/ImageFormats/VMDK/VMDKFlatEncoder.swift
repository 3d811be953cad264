import ImageModel

/// Lays out a disk whose extents are the guest's bytes as they are: monolithicFlat in one file, twoGbMaxExtentFlat in pieces of
/// 2 GiB.
struct VMDKFlatEncoder: Sendable {
    private let plan: VMDKDescriptorPlan
    private let layout: VMDKFileSet
    /// Where the next unit can stand at the earliest.
    private var next: FileOffset

    init(_ plan: VMDKDescriptorPlan, _ layout: VMDKFileSet) {
        self.plan = plan
        self.layout = layout
        next = layout.start(ofExtent: 0)
    }

    mutating func place(grain: UInt64) -> FileOffset {
        let sector = grain * VMDKEncoder.grainSize
        let offset = layout.start(ofExtent: sector / layout.extentSize) + sector % layout.extentSize * sectorSize
        next = offset + VMDKEncoder.grainSize * sectorSize
        return offset
    }

    /// The descriptor, and all behind the last unit.
    var unsettled: [FileRange] { [FileRange(0, length: MemberFile.alignment), FileRange(from: next)] }

    var files: [MemberFile] {
        layout.members(descriptorLength: plan.length) { layout.size(ofExtent: $0) * sectorSize }
    }

    /// All extents with the descriptor, in bytes.
    func greatestLength() -> UInt64 { UInt64(plan.length) + layout.capacity * sectorSize }

    mutating func finish(content: ContentIdentity, metadata: inout [MetadataSegment]) -> UInt64 {
        metadata.append(MetadataSegment(at: FileOffset(0), plan.text(for: content)))
        return layout.start(ofExtent: layout.count - 1).bytes + layout.size(ofExtent: layout.count - 1) * sectorSize
    }
}
