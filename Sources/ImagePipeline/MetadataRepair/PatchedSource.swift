import ImageModel

/// A source with some of its ranges replaced, and perhaps a hole behind its end: what a file will be when it is repaired.
struct PatchedSource: ImageSource {
    let name: String
    let length: UInt64
    private let original: any ImageSource
    /// In ascending order; none shares a byte with the next.
    private let patches: [RecordedRepair.Patch]
    private let spool: any ImageSource

    init(_ original: any ImageSource, _ patches: [RecordedRepair.Patch], in spool: any ImageSource, length: UInt64) {
        name = original.name
        self.length = length
        self.original = original
        self.patches = patches
        self.spool = spool
    }

    var revision: String? { original.revision }

    func requireUnchanged() throws(ImageError) { try original.requireUnchanged() }

    /// The first of the patches that ends behind an offset.
    private func firstPatch(endingBehind offset: FileOffset) -> Int {
        var (low, high) = (0, patches.count)
        while low < high {
            let middle = (low + high) / 2
            if patches[middle].range.end <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result)
        throws(ImageError) -> Result
    {
        try requireHeld(range)
        let index = firstPatch(endingBehind: range.start)
        let isPatched = index < patches.count && patches[index].range.start < range.end
        if !isPatched, range.end.bytes <= original.length { return try original.withBytes(of: range, body) }
        var bytes = [UInt8](repeating: 0, count: Int(range.length))
        try read(range, into: &bytes, at: 0)
        return try body(bytes.span)
    }

    func read(_ range: FileRange, into buffer: inout [UInt8], at index: Int) throws(ImageError) {
        try requireHeld(range)
        let held = min(range.length, original.length - min(original.length, range.start.bytes))
        if held > 0 { try original.read(FileRange(start: range.start, length: held), into: &buffer, at: index) }
        for place in index + Int(held)..<index + Int(range.length) { buffer[place] = 0 }
        var next = firstPatch(endingBehind: range.start)
        while next < patches.count, patches[next].range.start < range.end {
            let patch = patches[next]
            let start = max(patch.range.start, range.start)
            let part = FileRange(
                start: patch.stored + (start - patch.range.start), length: min(patch.range.end, range.end) - start)
            try spool.read(part, into: &buffer, at: index + Int(start - range.start))
            next += 1
        }
    }

    func nextData(from start: FileOffset, limit: FileOffset) throws(ImageError) -> FileRange? {
        guard start < limit else { return nil }
        var stored: FileRange?
        let end = min(limit, FileOffset(original.length))
        if start < end { stored = try original.nextData(from: start, limit: end) }
        let index = firstPatch(endingBehind: start)
        guard index < patches.count, patches[index].range.start < limit else { return stored }
        let range = patches[index].range
        let first = max(range.start, start)
        if let stored, stored.start <= first { return stored }
        return FileRange(start: first, length: min(range.end, limit) - first)
    }
}
