public import ImageModel

/// Says where the guest's bytes are in a file of one format.
///
/// A reader is a value that holds the checked header and no table: `extents` reads the slices of the tables that it needs,
/// so that memory does not grow with the image and any number of threads can ask at once.
public protocol ImageReader: Sendable {
    /// The disk's size in bytes, a multiple of 512.
    var virtualSize: UInt64 { get }

    /// The guest bytes that are there; less than `virtualSize` only for a raw file that ends inside a sector.
    var contentLength: UInt64 { get }

    /// The allocation unit in bytes; nil where the format has none.
    var unitSize: UInt64? { get }

    /// What `info` shows of the header, in the order of the specification.
    var details: [FormatDetail] { get }

    /// Reads and checks the header.
    ///
    /// - Throws: `corrupt`, `truncated`, `unsupported`, `external-reference` or `limit-exceeded`.
    init(source: any ImageSource) throws(ImageError)

    /// Maps a guest range, from its start on.
    ///
    /// - Parameters:
    ///   - range: within the disk; not empty.
    ///   - count: how many extents are wanted at most, at least 1; the answer may end before the range does.
    /// - Returns: at least one extent, the first at the start of the range, each where the last ended, none past the range.
    /// - Throws: `corrupt` where a table entry can't be right; `truncated` where a table or stored bytes are not there.
    func extents(in range: GuestRange, atMost count: Int, from source: any ImageSource) throws(ImageError)
        -> [MappedExtent]
}

extension ImageReader {
    public var contentLength: UInt64 { virtualSize }
}

/// One line of what a header says.
public struct FormatDetail: Hashable, Sendable {
    public enum Value: Hashable, Sendable {
        case text(String)
        case number(UInt64)
        case flag(Bool)
    }

    /// As `qemu-img info --output json` has it under `format-specific`, where it has the same fact.
    public var key: String
    public var value: Value

    public init(_ key: String, _ value: Value) {
        self.key = key
        self.value = value
    }
}
