/// Several files in one address space: what an image reads that is not all in one file, or lies over others.
///
/// File `i` begins at `base(i)`, at a multiple of 1 MiB, and no two files touch: a range that reaches past the end of its file is
/// in none, and is refused. So one file's tables can't lead into the next by an offset that is a little too large.
public struct JoinedSource: ImageSource {
    /// Between the starts of files: a multiple of every block size, and of every unit that is shared or inflated at once.
    private static let alignment: UInt64 = 1 << 20

    /// In the order in which they were given.
    public let members: [any ImageSource]
    private let bases: [UInt64]
    /// Where the last file ends.
    public let length: UInt64

    /// - Parameter members: at least one; the first gives the whole its name.
    /// - Throws: `limit-exceeded` where they are too long for one address space of 63 bits.
    public init(_ members: [any ImageSource]) throws(ImageError) {
        precondition(!members.isEmpty, "there is no image of no file")
        var bases: [UInt64] = []
        var next: UInt64 = 0
        var end: UInt64 = 0
        for member in members {
            bases.append(next)
            let (memberEnd, overflow) = next.addingReportingOverflow(member.length)
            // One byte at least is left between two files.
            guard !overflow, memberEnd < UInt64(Int64.max) - 2 * Self.alignment,
                let start = (memberEnd + 1).roundedUp(toMultipleOf: Self.alignment)
            else {
                throw ImageError(
                    .limitExceeded,
                    "the files of this image have more than \(Int64.max) bytes together, with one of \(member.length)",
                    path: member.name)
            }
            end = memberEnd
            next = start
        }
        self.members = members
        self.bases = bases
        length = end
    }

    public var name: String { members[0].name }

    /// Where file `index` begins.
    public func base(_ index: Int) -> FileOffset { FileOffset(bases[index]) }

    /// The bytes of file `index`.
    public func range(of index: Int) -> FileRange { FileRange(bases[index], length: members[index].length) }

    /// The last file that begins at or before an offset.
    private func index(at offset: FileOffset) -> Int {
        var (low, high) = (0, bases.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if bases[middle] <= offset.bytes { low = middle } else { high = middle }
        }
        return low
    }

    /// The file that a range begins in, and the range in that file, which may be longer than the file.
    private func member(_ range: FileRange) -> (any ImageSource, FileRange) {
        let index = index(at: range.start)
        return (members[index], FileRange(range.start.bytes - bases[index], length: range.length))
    }

    // A member refuses what it does not hold whole, by its own name and offset.

    public func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result)
        throws(ImageError) -> Result
    {
        let (source, own) = member(range)
        return try source.withBytes(of: own, body)
    }

    public func read(_ range: FileRange, into buffer: inout [UInt8], at index: Int) throws(ImageError) {
        let (source, own) = member(range)
        try source.read(own, into: &buffer, at: index)
    }

    public func requireHeld(_ range: FileRange) throws(ImageError) {
        let (source, own) = member(range)
        try source.requireHeld(own)
    }

    public func nextData(from start: FileOffset, limit: FileOffset) throws(ImageError) -> FileRange? {
        guard start < limit else { return nil }
        for index in index(at: start)..<members.count where bases[index] < limit.bytes {
            let (member, base) = (members[index], bases[index])
            let first = max(start.bytes, base) - base
            let end = min(limit.bytes - base, member.length)
            if first < end, let data = try member.nextData(from: FileOffset(first), limit: FileOffset(end)) {
                return FileRange(start: data.start + base, length: data.length)
            }
        }
        return nil
    }

    /// Those of all files; nil where one has none.
    public var revision: String? {
        let all = members.compactMap(\.revision)
        return all.count == members.count ? all.joined(separator: " ") : nil
    }

    public func requireUnchanged() throws(ImageError) {
        for member in members { try member.requireUnchanged() }
    }

    public var files: [any ImageSource] { members.flatMap(\.files) }

    public func place(of offset: FileOffset) -> SourcePlace {
        let (source, own) = member(FileRange(start: offset, length: 0))
        return source.place(of: own.start)
    }
}

/// A part of a source, as a source of its own: one file's bytes out of those of several.
public struct SourceWindow: ImageSource {
    private let source: any ImageSource
    private let start: UInt64
    public let length: UInt64
    public let name: String
    /// Whether it counts as a file, and not as a part of those of the source.
    private let isFile: Bool

    /// - Parameters:
    ///   - range: within the source.
    ///   - name: of the part, where that is a file of its own; else it is called as the file that it lies in.
    public init(_ source: any ImageSource, _ range: FileRange, name: String? = nil) {
        self.source = source
        start = range.start.bytes
        length = range.length
        self.name = name ?? source.place(of: range.start).name
        isFile = name != nil
    }

    /// The range as the source has it.
    ///
    /// - Throws: `truncated` where it ends past the window.
    private func moved(_ range: FileRange) throws(ImageError) -> FileRange {
        try requireHeld(range)
        return FileRange(start: range.start + start, length: range.length)
    }

    public func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result)
        throws(ImageError) -> Result
    {
        try source.withBytes(of: moved(range), body)
    }

    public func read(_ range: FileRange, into buffer: inout [UInt8], at index: Int) throws(ImageError) {
        try source.read(moved(range), into: &buffer, at: index)
    }

    public func nextData(from first: FileOffset, limit: FileOffset) throws(ImageError) -> FileRange? {
        let end = min(limit.bytes, length)
        guard first.bytes < end else { return nil }
        let found = try source.nextData(from: first + start, limit: FileOffset(end + start))
        return found.map { FileRange($0.start.bytes - start, length: $0.length) }
    }

    public var revision: String? { source.revision }
    public func requireUnchanged() throws(ImageError) { try source.requireUnchanged() }
    public var files: [any ImageSource] { isFile ? [self] : source.files }

    public func place(of offset: FileOffset) -> SourcePlace {
        isFile ? SourcePlace(name: name, offset: offset) : source.place(of: offset + start)
    }
}
