/// So many bytes of zeros of which none is stored: what a size alone says of a disk.
public struct BlankSource: ImageSource {
    public let name: String
    public let length: UInt64

    /// - Parameter length: in bytes.
    public init(name: String, length: UInt64) {
        self.name = name
        self.length = length
    }

    public func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result)
        throws(ImageError) -> Result
    {
        try requireHeld(range)
        return try body([UInt8](repeating: 0, count: Int(range.length)).span)
    }

    public func nextData(from start: FileOffset, limit: FileOffset) throws(ImageError) -> FileRange? { nil }
}
