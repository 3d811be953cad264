public import ImageModel

/// A source with some of its ranges replaced, and perhaps a hole behind its end: what a file will be when it is repaired.
public struct PatchedSource: ImageSource {
    public let name: String
    public let length: UInt64
    private let original: any ImageSource
    /// What replaces them, each range at its own offset.
    private let patches: any ImageSource
    /// In ascending order; none touches the next.
    private let ranges: [FileRange]

    init(_ original: any ImageSource, patches: any ImageSource, ranges: [FileRange], length: UInt64) {
        name = original.name
        self.length = length
        self.original = original
        self.patches = patches
        self.ranges = ranges
    }

    public var revision: String? { original.revision }

    public func requireUnchanged() throws(ImageError) { try original.requireUnchanged() }

    /// The first of the ranges that ends behind an offset.
    private func firstRange(endingBehind offset: FileOffset) -> Int {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].end <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }

    public func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result)
        throws(ImageError) -> Result
    {
        try requireHeld(range)
        let index = firstRange(endingBehind: range.start)
        let isPatched = index < ranges.count && ranges[index].start < range.end
        if !isPatched, range.end.bytes <= original.length { return try original.withBytes(of: range, body) }
        var bytes = [UInt8](repeating: 0, count: Int(range.length))
        try read(range, into: &bytes, at: 0)
        return try body(bytes.span)
    }

    public func read(_ range: FileRange, into buffer: inout [UInt8], at index: Int) throws(ImageError) {
        try requireHeld(range)
        let held = min(range.length, original.length - min(original.length, range.start.bytes))
        if held > 0 { try original.read(FileRange(start: range.start, length: held), into: &buffer, at: index) }
        for place in index + Int(held)..<index + Int(range.length) { buffer[place] = 0 }
        var next = firstRange(endingBehind: range.start)
        while next < ranges.count, ranges[next].start < range.end {
            let start = max(ranges[next].start, range.start)
            let part = FileRange(start: start, length: min(ranges[next].end, range.end) - start)
            try patches.read(part, into: &buffer, at: index + Int(start - range.start))
            next += 1
        }
    }

    public func nextData(from start: FileOffset, limit: FileOffset) throws(ImageError) -> FileRange? {
        guard start < limit else { return nil }
        var stored: FileRange?
        let end = min(limit, FileOffset(original.length))
        if start < end { stored = try original.nextData(from: start, limit: end) }
        let index = firstRange(endingBehind: start)
        guard index < ranges.count, ranges[index].start < limit else { return stored }
        let first = max(ranges[index].start, start)
        if let stored, stored.start <= first { return stored }
        return FileRange(start: first, length: min(ranges[index].end, limit) - first)
    }
}
