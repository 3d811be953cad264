public import ImageModel

/// A raw image: every guest byte at its own offset.
///
/// A last sector that is not whole is filled with zeros, as QEMU does.
public struct RawReader: ImageReader {
    public let unitSize: UInt64? = nil
    public let details: [FormatDetail] = []
    /// The file, whose length may become known only while it is read.
    private let file: any ImageSource

    public init(source: any ImageSource) throws(ImageError) {
        guard source.length <= ImageLimits.rawLength else {
            throw ImageError(
                .limitExceeded, "the file has \(source.length) bytes, more than a disk can have", path: source.name)
        }
        file = source
    }

    public var contentLength: UInt64 { file.length }
    public var virtualSize: UInt64 { contentLength.dividedRoundingUp(by: sectorSize) * sectorSize }

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
