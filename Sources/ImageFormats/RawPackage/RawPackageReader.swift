public import ImageModel

/// Which package a reader and a checker are for.
public protocol RawPackageKind: Sendable {
    static var packaging: RawPackaging { get }
}

public enum TarGzipPackage: RawPackageKind { public static let packaging = RawPackaging.tarGzip }
public enum GzipPackage: RawPackageKind { public static let packaging = RawPackaging.gzip }
public enum ZstandardPackage: RawPackageKind { public static let packaging = RawPackaging.zstandard }

/// Maps the bytes of a raw disk in a package that Lathe wrote: each unit is compressed on its own.
public struct RawPackageReader<Kind: RawPackageKind>: ImageReader {
    private let members: RawPackageMembers

    public let virtualSize: UInt64

    public init(source: any ImageSource) throws(ImageError) {
        members = try RawPackageMembers(Kind.packaging, source: source)
        guard let whole = members.size.roundedUp(toMultipleOf: sectorSize), whole <= ImageLimits.virtualSize else {
            throw ImageError(
                .limitExceeded, "the package says \(members.size) bytes, more than a disk can have", path: source.name)
        }
        virtualSize = whole
    }

    public var contentLength: UInt64 { members.size }
    public var unitSize: UInt64? { RawPackageEncoder.unitLength }

    public var details: [FormatDetail] {
        var details = [FormatDetail("package", .text(Kind.packaging.rawValue))]
        if let header = members.header {
            details.append(FormatDetail("member", .text(header.name)))
            details.append(FormatDetail("timestamp", .text(String(header.timestamp))))
        }
        return details + [FormatDetail("compressed", .flag(true))]
    }

    public func extents(in range: GuestRange, atMost count: Int, from source: any ImageSource) throws(ImageError)
        -> [MappedExtent]
    {
        var list = ExtentList()
        var position = range.start
        try members.forEachUnit(from: range.start, in: source) { (unit) throws(ImageError) in
            let end = min(unit.content.end, range.end)
            let part = GuestRange(start: position, length: end - position)
            let stored = CompressedUnit(stored: unit.stored, content: unit.content, method: Kind.packaging.method)
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
