/// The bytes of an image file, wherever they are: what readers and checkers see of the world.
///
/// A source answers from many threads at once. Its bytes are not trusted: whoever reads them checks them.
public protocol ImageSource: Sendable {
    /// What error messages call it: a path, as a rule.
    var name: String { get }

    /// Its length in bytes; while it is not known, the most that it may be.
    var length: UInt64 { get }

    /// Whether the length is known: that of a pipe is when its end has come.
    var isLengthKnown: Bool { get }

    /// What tells this state of the bytes from another, as far as that is known without reading them: a file's time of change,
    /// an object's tag; nil where nothing does.
    var revision: String? { get }

    /// Lends the bytes of a range; the span is good until `body` returns.
    ///
    /// - Throws: `truncated` where the source ends before the range does; `input-output` or `source-changed` where the
    ///   bytes can't be had; what `body` throws.
    func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result) throws(ImageError)
        -> Result

    /// The first run at or behind `start`, and before `limit`, that may hold something other than zeros.
    ///
    /// - Returns: nil where all is known to be a hole. A source that knows no holes answers `start ..< limit`.
    func nextData(from start: FileOffset, limit: FileOffset) throws(ImageError) -> FileRange?

    /// Copies the bytes of a range into a buffer, from `index` on; for content, which comes in large runs.
    ///
    /// - Throws: as `withBytes`.
    func read(_ range: FileRange, into buffer: inout [UInt8], at index: Int) throws(ImageError)

    /// Refuses a source that has changed since it was opened; asked when all is read.
    ///
    /// - Throws: `source-changed`.
    func requireUnchanged() throws(ImageError)

    /// Ends all waiting for bytes, now and later, with `cancelled`: the work has failed elsewhere, and more may never come.
    func abandon()

    /// Refuses a range that the source does not hold whole.
    ///
    /// - Throws: `truncated`.
    func requireHeld(_ range: FileRange) throws(ImageError)

    /// The files that it consists of, itself where it is one.
    var files: [any ImageSource] { get }

    /// Which of the files an offset is in, and where in that.
    func place(of offset: FileOffset) -> SourcePlace

    /// What tells the file from all others of this machine, and when it was written to; nil for what is no regular file.
    var identity: FileIdentity? { get }
}

/// A place in one file.
public struct SourcePlace: Hashable, Sendable {
    /// What the file's source is called.
    public var name: String
    public var offset: FileOffset

    public init(name: String, offset: FileOffset) {
        self.name = name
        self.offset = offset
    }
}

/// Which file a source is.
public struct FileIdentity: Sendable {
    public var device: UInt64
    public var inode: UInt64
    /// When it was last written to, in seconds since 1970.
    public var modificationTime: Int64

    public init(device: UInt64, inode: UInt64, modificationTime: Int64) {
        self.device = device
        self.inode = inode
        self.modificationTime = modificationTime
    }

    /// Whether both are of one file, whatever was written in between.
    public func isSameFile(as other: FileIdentity) -> Bool { device == other.device && inode == other.inode }
}

extension ImageSource {
    public func read(_ range: FileRange, into buffer: inout [UInt8], at index: Int) throws(ImageError) {
        try withBytes(of: range) { (bytes) throws(ImageError) in
            unsafe buffer.withUnsafeMutableBytes { target in
                unsafe bytes.withUnsafeBytes { source in
                    let room = unsafe UnsafeMutableRawBufferPointer(rebasing: target[index..<index + source.count])
                    unsafe room.copyMemory(from: source)
                }
            }
        }
    }

    public func requireUnchanged() throws(ImageError) {}

    public func abandon() {}

    public var isLengthKnown: Bool { true }
    public var revision: String? { nil }
    public var files: [any ImageSource] { [self] }
    public var identity: FileIdentity? { nil }

    public func place(of offset: FileOffset) -> SourcePlace { SourcePlace(name: name, offset: offset) }

    public func nextData(from start: FileOffset, limit: FileOffset) throws(ImageError) -> FileRange? {
        start < limit ? FileRange(start: start, length: limit - start) : nil
    }

    /// A copy of the bytes of a range; for headers and tables, which are small or read in slices.
    ///
    /// Copied and not lent from a mapping: to look at a hole of a mapped file on tmpfs allocates it.
    public func read(_ range: FileRange) throws(ImageError) -> [UInt8] {
        try requireHeld(range)
        var bytes = [UInt8](repeating: 0, count: Int(range.length))
        try read(range, into: &bytes, at: 0)
        return bytes
    }

    public func requireHeld(_ range: FileRange) throws(ImageError) {
        let (end, overflow) = range.start.bytes.addingReportingOverflow(range.length)
        guard !overflow, end <= length else {
            throw ImageError(
                .truncated,
                "the file ends at byte \(length), but \(range.length) bytes at \(range.start.bytes) are needed; "
                    + "it is cut short or its tables are damaged",
                path: name, offset: range.start)
        }
    }
}
