/// The bytes of an image file, wherever they are: what readers and checkers see of the world.
///
/// A source answers from many threads at once. Its bytes are not trusted: whoever reads them checks them.
public protocol ImageSource: Sendable {
    /// What error messages call it: a path, as a rule.
    var name: String { get }

    /// Its length in bytes.
    var length: UInt64 { get }

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

    public var revision: String? { nil }

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

    /// Refuses a range that the source does not hold whole.
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
