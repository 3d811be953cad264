internal import ImageFormats
public import ImageModel

/// Walks the extents of a disk from its start to its end, with the holes of the file itself taken out.
///
/// The reader says what the image has stored; the file system says which of that was never written. Both are asked as the
/// walk goes on, never in advance, and what is not needed is never held.
public struct ExtentWalk: Sendable {
    private var walk: MappingWalk
    /// What is left of an extent whose front had a hole, or ended in one.
    private var rest: MappedExtent?
    private var holes: HoleCache

    public init(_ image: DiskImage) {
        walk = MappingWalk(image)
        holes = HoleCache(source: image.source)
    }

    /// The next extent; nil at the end of the disk.
    ///
    /// - Throws: what the reader throws, and what the source throws when it is asked for holes.
    public mutating func next() throws(ImageError) -> MappedExtent? {
        let given: MappedExtent?
        if let rest { given = rest } else { given = try walk.next() }
        rest = nil
        guard let extent = given, case .raw(let offset) = extent.mapping else { return given }

        let stored = FileRange(start: offset, length: extent.range.length)
        let (kind, length) = try holes.kind(of: stored)
        if length < stored.length { rest = extent.dropping(length) }
        return MappedExtent(
            range: GuestRange(start: extent.range.start, length: length),
            mapping: kind == .data ? extent.mapping : .zero, depth: extent.depth)
    }
}

/// Walks what an image's tables say of a disk, from its start to its end; holes of the file itself are not looked for.
struct MappingWalk: Sendable {
    private static let batchSize = 512

    private let image: DiskImage
    private var batch: ArraySlice<MappedExtent> = []
    /// Where the batch ends.
    private var position: UInt64 = 0

    init(_ image: DiskImage) { self.image = image }

    /// The next extent; nil at the end of the disk.
    ///
    /// - Throws: what the reader throws.
    mutating func next() throws(ImageError) -> MappedExtent? {
        if batch.isEmpty {
            guard position < image.virtualSize else { return nil }
            let rest = GuestRange(position, length: image.virtualSize - position)
            batch = try image.reader.extents(in: rest, atMost: Self.batchSize, from: image.source)[...]
        }
        guard let extent = batch.popFirst() else { return nil }
        position = extent.range.end.bytes
        return extent
    }
}

extension MappedExtent {
    /// The extent without its first `length` bytes.
    func dropping(_ length: UInt64) -> MappedExtent {
        let rest = GuestRange(start: range.start + length, length: range.length - length)
        guard case .raw(let offset) = mapping else { return MappedExtent(range: rest, mapping: mapping, depth: depth) }
        return MappedExtent(range: rest, mapping: .raw(offset + length), depth: depth)
    }

    /// The first `length` bytes of the extent, or all of it where it is shorter.
    func prefix(_ length: UInt64) -> MappedExtent {
        MappedExtent(
            range: GuestRange(start: range.start, length: min(length, range.length)), mapping: mapping, depth: depth)
    }
}

/// The last answer about a file's holes, so that neighbours do not each cost a system call.
private struct HoleCache: Sendable {
    enum Kind: Sendable {
        case data
        case hole
    }

    let source: any ImageSource
    /// From here to the start of `data` there is a hole.
    private var holeStart = FileOffset(0)
    private var data = FileRange(0, length: 0)

    init(source: any ImageSource) { self.source = source }

    /// What the front of a range is, and how far that goes.
    mutating func kind(of range: FileRange) throws(ImageError) -> (Kind, UInt64) {
        if range.start < holeStart || range.start >= data.end {
            let end = FileOffset(max(source.length, range.end.bytes))
            holeStart = range.start
            data = try source.nextData(from: range.start, limit: end) ?? FileRange(start: end, length: 0)
        }
        if range.start < data.start { return (.hole, min(range.length, data.start - range.start)) }
        return (.data, min(range.length, data.end - range.start))
    }
}
