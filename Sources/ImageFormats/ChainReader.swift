import ImageModel

/// Maps the guest's bytes in images that lie over one another: what an image has no place for is the next one's.
///
/// What lies behind the end of a shorter image under a longer one reads as zero, and is a hole of the longer one; what a longer one has behind the end of the one
/// over it is not seen.
struct ChainReader: ImageReader {
    /// The guest bytes that are mapped in one step at first.
    ///
    /// It doubles while steps find little, so that empty disks cost few
    /// steps, and starts small, so that no image is walked far for extents that another one hides from the answer.
    private static let firstStep: UInt64 = 64 << 20

    private struct Layer: Sendable {
        var reader: any ImageReader
        /// Its files in the address space of all.
        var files: FileRange
    }

    private let layers: [Layer]

    /// - Parameters:
    ///   - readers: from the image that was asked for down to the one under all.
    ///   - source: the sources of the readers, in their order.
    init(_ readers: [any ImageReader], in source: JoinedSource) {
        layers = readers.enumerated().map { Layer(reader: $1, files: source.range(of: $0)) }
    }

    init(source: any ImageSource) throws(ImageError) {
        throw ImageError(.unsupported, "a chain is made of images, and not read from one file", path: source.name)
    }

    var virtualSize: UInt64 { layers[0].reader.virtualSize }
    var details: [FormatDetail] { layers[0].reader.details }
    /// The largest of all: no chunk may cut the compressed units of any.
    var unitSize: UInt64? { layers.compactMap(\.reader.unitSize).max() }

    func details(in source: any ImageSource) throws(ImageError) -> [FormatDetail] {
        try layers[0].reader.details(in: SourceWindow(source, layers[0].files))
    }

    func extents(in range: GuestRange, atMost count: Int, from source: any ImageSource) throws(ImageError)
        -> [MappedExtent]
    {
        let sources = layers.map { SourceWindow(source, $0.files) }
        var list = ExtentList()
        var step = Self.firstStep
        var position = range.start
        while position < range.end, list.count <= count {
            let length = min(step, range.end - position)
            let before = list.count
            try map(GuestRange(start: position, length: length), layer: 0, sources, atMost: count, into: &list)
            position = list.extents.last?.range.end ?? range.end
            if list.count - before < max(count / 2, 2) { step = min(step * 2, 1 << 60) }
        }
        return Array(list.extents.prefix(count))
    }

    /// Maps a range in a layer and, where that has no place for it, in those under it; ends early with more than `count` extents.
    ///
    /// Goes no deeper than there are layers.
    private func map(
        _ range: GuestRange, layer: Int, _ sources: [SourceWindow], atMost count: Int, into list: inout ExtentList
    ) throws(ImageError) {
        let reader = layers[layer].reader
        let isLast = layer + 1 == layers.count
        // Behind a layer's end nothing is stored, in it or under it.
        let ownEnd = max(range.start, min(range.end, GuestOffset(reader.virtualSize)))
        var position = range.start
        while position < ownEnd, list.count <= count {
            let wanted = GuestRange(start: position, length: ownEnd - position)
            for extent in try reader.extents(in: wanted, atMost: count, from: sources[layer]) {
                if case .hole = extent.mapping, !isLast, extent.range.start.bytes < layers[layer + 1].reader.virtualSize
                {
                    try map(extent.range, layer: layer + 1, sources, atMost: count, into: &list)
                } else {
                    list.append(extent.moved(by: layers[layer].files.start, depth: layer))
                }
                guard list.count <= count else { return }
                position = extent.range.end
            }
        }
        guard list.count <= count else { return }
        list.append(
            MappedExtent(
                range: GuestRange(start: ownEnd, length: range.end - ownEnd), mapping: .hole, depth: max(layer, 1) - 1))
    }
}

extension MappedExtent {
    /// The same extent of an image of a chain, in an address space in which its file begins at `base`.
    func moved(by base: FileOffset, depth: Int = 0) -> MappedExtent {
        var moved = self
        moved.depth = depth
        switch mapping {
        case .zero, .hole: break
        case .raw(let offset): moved.mapping = .raw(base + offset.bytes)
        case .compressed(var unit):
            unit.stored = FileRange(start: base + unit.stored.start.bytes, length: unit.stored.length)
            moved.mapping = .compressed(unit)
        }
        return moved
    }
}
