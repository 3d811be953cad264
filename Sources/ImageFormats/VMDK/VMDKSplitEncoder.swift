import ImageModel

/// Lays out a twoGbMaxExtentSparse disk: sparse extents for 2 GiB of disk each, one after the other, and a descriptor.
struct VMDKSplitEncoder: Sendable {
    private let plan: VMDKDescriptorPlan
    private let layout: VMDKFileSet
    /// The extent that is being filled.
    private var index: UInt64 = 0
    private var current: VMDKSparseEncoder
    /// Of the files that are done, in bytes.
    private var lengths: [UInt64] = []

    init(_ plan: VMDKDescriptorPlan, _ layout: VMDKFileSet) {
        self.plan = plan
        self.layout = layout
        current = VMDKSparseEncoder(extentOf: layout.size(ofExtent: 0))
    }

    mutating func place(grain: UInt64, metadata: inout [MetadataSegment]) throws(ImageError) -> FileOffset {
        let grainsPerExtent = layout.extentSize / VMDKEncoder.grainSize
        while index < grain / grainsPerExtent { try finishExtent(metadata: &metadata) }
        let first = metadata.count
        let offset = try current.place(grain: grain % grainsPerExtent, metadata: &metadata)
        move(from: first, &metadata)
        return layout.start(ofExtent: index) + offset.bytes
    }

    /// The descriptor, what is open in this extent, and all behind it.
    var unsettled: [FileRange] {
        let start = layout.start(ofExtent: index)
        let ranges = [FileRange(0, length: MemberFile.alignment)]
        guard lengths.count <= index else { return ranges + [FileRange(from: start)] }
        return ranges
            + current.unsettled.map { range in
                range.length > UInt64(Int64.max)
                    ? FileRange(from: start + range.start.bytes)
                    : FileRange(start: start + range.start.bytes, length: range.length)
            }
    }

    var files: [MemberFile] {
        layout.members(descriptorLength: plan.length) { $0 < lengths.count ? lengths[Int($0)] : 0 }
    }

    /// All extents with the descriptor, in bytes.
    ///
    /// - Parameter content: how far the disk may hold anything, in sectors.
    func greatestLength(content: UInt64) throws(ImageError) -> UInt64 {
        var length = UInt64(plan.length)
        for extent in 0..<layout.count {
            let size = layout.size(ofExtent: extent)
            let rest = content - min(content, extent * layout.extentSize)
            length += try VMDKSparseEncoder(extentOf: size).greatestLength(content: min(size, rest))
        }
        return length
    }

    mutating func finish(content: ContentIdentity, metadata: inout [MetadataSegment]) throws(ImageError) -> UInt64 {
        while lengths.count < layout.count { try finishExtent(metadata: &metadata) }
        metadata.append(MetadataSegment(at: FileOffset(0), plan.text(for: content)))
        return layout.start(ofExtent: layout.count - 1).bytes + (lengths.last ?? 0)
    }

    /// Hands out what is left of this extent, and begins the next where there is one.
    private mutating func finishExtent(metadata: inout [MetadataSegment]) throws(ImageError) {
        let first = metadata.count
        lengths.append(try current.finish(metadata: &metadata))
        move(from: first, &metadata)
        guard index + 1 < layout.count else { return }
        index += 1
        current = VMDKSparseEncoder(extentOf: layout.size(ofExtent: index))
    }

    /// Moves segments of the extent to its place.
    private func move(from first: Int, _ metadata: inout [MetadataSegment]) {
        let start = layout.start(ofExtent: index).bytes
        for place in first..<metadata.count { metadata[place].offset = metadata[place].offset + start }
    }
}
