public import ImageModel

/// A sparse file in memory: what encoders' segments are put into, and what readers and checkers read.
public struct SparseMemory: ImageSource, Hashable {
    public let name: String
    public private(set) var length: UInt64 = 0
    private var pages: [UInt64: [UInt8]] = [:]

    private static let pageSize: UInt64 = 4096
    private static let zeroPage = [UInt8](repeating: 0, count: Int(pageSize))

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
            let old = pages[page]
            var content = old ?? Self.zeroPage
            content.replaceSubrange(start..<start + count, with: bytes[done..<done + count])
            // Zeros written into a hole leave a hole, so that walks over tables stay fast.
            if old != nil || content != Self.zeroPage { pages[page] = content }
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
                bytes += Self.zeroPage[..<count]
            }
            place += UInt64(count)
        }
        return try body(bytes.span)
    }

    /// Pages that were never written are holes.
    public func nextData(from start: FileOffset, limit: FileOffset) throws(ImageError) -> FileRange? {
        let end = min(limit.bytes, length)
        guard start.bytes < end else { return nil }
        let candidates = start.bytes / Self.pageSize...(end - 1) / Self.pageSize
        let first =
            candidates.count <= pages.count
            ? candidates.first { pages[$0] != nil } : pages.keys.filter(candidates.contains).min()
        guard let first else { return nil }
        var last = first
        while last < candidates.upperBound, pages[last + 1] != nil { last += 1 }
        let dataStart = max(start.bytes, first * Self.pageSize)
        return FileRange(dataStart, length: min(end, (last + 1) * Self.pageSize) - dataStart)
    }

    /// One of several files that stand in this address space, as a file of its own.
    public func file(_ member: MemberFile) -> SparseMemory {
        var file = SparseMemory(name: member.name)
        let first = member.range.start.bytes / Self.pageSize
        for (page, content) in pages where page >= first && page * Self.pageSize < member.range.end.bytes {
            file.write(content, at: (page - first) * Self.pageSize)
        }
        file.truncate(to: member.range.length)
        return file
    }

    /// The bytes of a range; zeros where nothing was written.
    public subscript(range: Range<UInt64>) -> [UInt8] {
        (try? read(FileRange(range.lowerBound, length: UInt64(range.count)))) ?? []
    }
}
