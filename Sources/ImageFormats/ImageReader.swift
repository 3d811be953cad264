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

    /// The same, with what is in tables: snapshots, for one.
    ///
    /// - Parameter source: the image's own file.
    /// - Throws: `corrupt` or `truncated` where these can't be right.
    func details(in source: any ImageSource) throws(ImageError) -> [FormatDetail]

    /// Reads and checks the header, of this file alone: what is in other files is not looked for, and holes may be a parent's.
    ///
    /// Good for what a header says; content is read through `open`.
    ///
    /// - Throws: `corrupt`, `truncated`, `unsupported` or `limit-exceeded`.
    init(source: any ImageSource) throws(ImageError)

    /// Opens an image with the other files that its own content is in, the images under it left out.
    ///
    /// - Parameter snapshot: the internal snapshot to read in place of the disk as it is now.
    /// - Throws: as `init`; `external-reference` or `input-output` where a file can't be opened; `invalid-option` for a snapshot
    ///   that is not there.
    static func open(_ source: any ImageSource, _ references: any ReferencedFiles, snapshot: SnapshotSelection?)
        throws(ImageError) -> OpenedImage

    /// Opens the image whose content shows where this one has no place for any.
    ///
    /// - Parameter source: what `open` answered.
    /// - Returns: nil where the image is whole by itself.
    /// - Throws: `external-reference` or `input-output` where it can't be opened; `mismatch` where it is not the right one.
    func openParent(_ references: any ReferencedFiles, of source: any ImageSource) throws(ImageError) -> ParentImage?

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

    public static func open(
        _ source: any ImageSource, _ references: any ReferencedFiles, snapshot: SnapshotSelection?
    ) throws(ImageError) -> OpenedImage {
        try requireNone(snapshot, in: source)
        return OpenedImage(reader: try Self(source: source), source: source)
    }

    /// Refuses to look for a snapshot in a format that has none.
    ///
    /// - Throws: `invalid-option`.
    static func requireNone(_ snapshot: SnapshotSelection?, in source: any ImageSource) throws(ImageError) {
        guard let snapshot else { return }
        throw ImageError(
            .invalidOption,
            "the snapshot \(snapshot) can't be in this image: of the formats that Lathe reads, only qcow2 has "
                + "internal snapshots", path: source.name)
    }

    public func openParent(_ references: any ReferencedFiles, of source: any ImageSource) throws(ImageError)
        -> ParentImage?
    { nil }

    public func details(in source: any ImageSource) throws(ImageError) -> [FormatDetail] { details }
}

/// One line of what a header says.
public struct FormatDetail: Hashable, Sendable {
    public enum Value: Hashable, Sendable {
        case text(String)
        case number(UInt64)
        case flag(Bool)
        case texts([String])
        /// Several things, each with lines of its own.
        case records([[FormatDetail]])
    }

    /// As `qemu-img info --output json` has it under `format-specific`, where it has the same fact.
    public var key: String
    public var value: Value

    public init(_ key: String, _ value: Value) {
        self.key = key
        self.value = value
    }
}
