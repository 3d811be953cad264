public import ImageModel

/// A raw image: every guest byte at its own offset.
///
/// A last sector that is not whole is filled with zeros, as QEMU does.
public struct RawReader: ImageReader {
    public let contentLength: UInt64
    public let virtualSize: UInt64
    public let unitSize: UInt64? = nil
    public let details: [FormatDetail] = []

    public init(source: any ImageSource) throws(ImageError) {
        contentLength = source.length
        guard let whole = contentLength.roundedUp(toMultipleOf: sectorSize), whole <= ImageLimits.virtualSize else {
            throw ImageError(
                .limitExceeded, "the file has \(contentLength) bytes, more than a disk can have", path: source.name)
        }
        virtualSize = whole
    }

    public func extents(in range: GuestRange, atMost count: Int, from source: any ImageSource) throws(ImageError)
        -> [MappedExtent]
    {
        let start = range.start.bytes
        let dataEnd = max(start, min(range.end.bytes, contentLength))
        var list = ExtentList()
        list.append(
            MappedExtent(range: GuestRange(start, length: dataEnd - start), mapping: .raw(FileOffset(start))))
        list.append(MappedExtent(range: GuestRange(dataEnd, length: range.end.bytes - dataEnd), mapping: .zero))
        return Array(list.extents.prefix(count))
    }
}
