public import ImageModel

/// Maps the bytes of a raw disk in a `.tar.gz` that Lathe wrote: each unit is a gzip member of its own.
public struct RawPackageReader: ImageReader {
    private let members: RawPackageMembers

    public let virtualSize: UInt64

    public init(source: any ImageSource) throws(ImageError) {
        members = try RawPackageMembers(source: source)
        guard let whole = members.header.size.roundedUp(toMultipleOf: sectorSize), whole <= ImageLimits.virtualSize
        else {
            throw ImageError(
                .limitExceeded, "the archive says \(members.header.size) bytes, more than a disk can have",
                path: source.name)
        }
        virtualSize = whole
    }

    public var contentLength: UInt64 { members.header.size }
    public var unitSize: UInt64? { RawPackageEncoder.unitLength }

    public var details: [FormatDetail] {
        [
            FormatDetail("package", .text(RawPackageEncoder.package)),
            FormatDetail("member", .text(members.header.name)),
            FormatDetail("timestamp", .text(String(members.header.timestamp))),
            FormatDetail("compressed", .flag(true)),
        ]
    }

    public func extents(in range: GuestRange, atMost count: Int, from source: any ImageSource) throws(ImageError)
        -> [MappedExtent]
    {
        var list = ExtentList()
        var position = range.start
        try members.forEachUnit(from: range.start, in: source) { (unit) throws(ImageError) in
            let end = min(unit.content.end, range.end)
            let part = GuestRange(start: position, length: end - position)
            let stored = CompressedUnit(
                stored: unit.member.body(at: unit.offset), content: unit.content, method: .gzip)
            list.append(MappedExtent(range: part, mapping: unit.isZero ? .zero : .compressed(stored)))
            position = end
            return position < range.end && list.count <= count
        }
        // What is left of the last sector.
        if position.bytes >= contentLength {
            list.append(MappedExtent(range: GuestRange(start: position, length: range.end - position), mapping: .zero))
        }
        return Array(list.extents.prefix(count))
    }
}
