public import ImageModel

/// A sparse file in memory: what encoders' segments are put into, and what readers and checkers read.
public struct SparseMemory: ImageSource, Hashable {
    public let name: String
    public private(set) var length: UInt64 = 0
    private var pages: [UInt64: [UInt8]] = [:]

    private static let pageSize: UInt64 = 4096

    public init(name: String = "memory") { self.name = name }

    public init(_ bytes: [UInt8], name: String = "memory") {
        self.name = name
        write(bytes, at: 0)
    }

    public mutating func write(_ bytes: [UInt8], at offset: UInt64) {
        var done = 0
        while done < bytes.count {
            let place = offset + UInt64(done)
            let page = place / Self.pageSize
            let start = Int(place % Self.pageSize)
            let count = min(Int(Self.pageSize) - start, bytes.count - done)
            var content = pages[page] ?? [UInt8](repeating: 0, count: Int(Self.pageSize))
            content.replaceSubrange(start..<start + count, with: bytes[done..<done + count])
            pages[page] = content
            done += count
        }
        length = max(length, offset + UInt64(bytes.count))
    }

    public mutating func write(_ segment: MetadataSegment) throws(ImageError) {
        try segment.forEachPiece { (bytes, offset) throws(ImageError) in write(bytes, at: offset.bytes) }
    }

    /// Cuts the file short or lengthens it with a hole.
    public mutating func truncate(to newLength: UInt64) {
        if newLength < length {
            pages = pages.filter { $0.key * Self.pageSize < newLength }
            let tail = Int(newLength % Self.pageSize)
            if tail > 0, var page = pages[newLength / Self.pageSize] {
                page.replaceSubrange(tail..., with: repeatElement(0, count: page.count - tail))
                pages[newLength / Self.pageSize] = page
            }
        }
        length = newLength
    }

    public func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result)
        throws(ImageError) -> Result
    {
        try requireHeld(range)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(range.length))
        var place = range.start.bytes
        while place < range.end.bytes {
            let start = Int(place % Self.pageSize)
            let count = min(Int(Self.pageSize) - start, Int(range.end.bytes - place))
            if let page = pages[place / Self.pageSize] {
                bytes += page[start..<start + count]
            } else {
                bytes += [UInt8](repeating: 0, count: count)
            }
            place += UInt64(count)
        }
        return try body(bytes.span)
    }

    /// The bytes of a range; zeros where nothing was written.
    public subscript(range: Range<UInt64>) -> [UInt8] {
        (try? read(FileRange(range.lowerBound, length: UInt64(range.count)))) ?? []
    }
}
