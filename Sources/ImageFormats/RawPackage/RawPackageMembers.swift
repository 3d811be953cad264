import ImageModel

/// The members of a package, found by what their headers say of their lengths.
///
/// One walk over the headers notes where every 64th unit is, 8 bytes for 64 MiB of disk; from there a unit is found by
/// walking on.
struct RawPackageMembers: Sendable {
    private static let unitsPerMark: UInt64 = 64

    let header: TarHeader
    /// Where the archive ends in the file.
    let end: FileOffset
    private let marks: [FileOffset]
    private let zeroUnit: [UInt8]
    /// A last unit of zeros that is shorter than the others.
    private let zeroRest: [UInt8]

    /// Bytes of the member that holds the tar header.
    private static let headLength = UInt64(GzipMember.storing([UInt8](repeating: 0, count: 512)).count)

    /// Walks over all members.
    ///
    /// - Throws: `unsupported` for a gzip file of another program; `corrupt`, `truncated`, `limit-exceeded`.
    init(source: any ImageSource) throws(ImageError) {
        header = try Self.header(in: source)
        guard header.size <= ImageLimits.virtualSize - TarHeader.recordSize else {
            throw ImageError(
                .limitExceeded, "the archive says \(header.size) bytes, more than a disk can have", path: source.name)
        }
        zeroUnit = GzipMember.zeros(RawPackageEncoder.unitLength)
        zeroRest = GzipMember.zeros(header.size % RawPackageEncoder.unitLength)
        var marks: [FileOffset] = []
        var walk = GzipMemberWalk(source, from: FileOffset(Self.headLength))
        for unit in 0..<header.size.dividedRoundingUp(by: RawPackageEncoder.unitLength) {
            if unit % Self.unitsPerMark == 0 { marks.append(walk.position) }
            _ = try Self.next(unit, of: header.size, in: &walk)
        }
        self.marks = marks
        let tail = GzipMember.zeros(TarHeader.tailLength(fileSize: header.size))
        let tailRange = FileRange(start: walk.position, length: UInt64(tail.count))
        guard try source.read(tailRange) == tail else {
            throw ImageError(
                .corrupt, "the end of the archive is not where the members' lengths lead to; run 'lathe check'",
                path: source.name, offset: walk.position)
        }
        end = tailRange.end
    }

    /// Reads the first member.
    private static func header(in source: any ImageSource) throws(ImageError) -> TarHeader {
        let start = try source.read(FileRange(0, length: min(source.length, headLength)))
        guard start.starts(with: GzipMember.magic) else {
            throw ImageError(
                start.count < GzipMember.magic.count ? .truncated : .corrupt,
                "there is no gzip header at the start of the file", path: source.name, offset: FileOffset(0))
        }
        guard GzipMember.fixedFields.starts(with: start.prefix(GzipMember.fixedFields.count)) else {
            throw ImageError(
                .unsupported,
                "this is a gzip file of another program, in which nothing can be found without unpacking all of it: unpack "
                    + "it first ('tar -xzf', or 'gzip -d' where it holds no archive), and take the disk that was in it",
                path: source.name, offset: FileOffset(0))
        }
        guard start.count == Int(headLength), let member = GzipMember(start[...]) else {
            throw ImageError(
                .truncated, "the file ends at byte \(source.length), inside the header of the archive",
                path: source.name, offset: FileOffset(0))
        }
        let content = start.dropFirst(Int(GzipMember.headerLength) + 5).prefix(Int(TarHeader.blockSize))
        guard UInt64(member.length) == headLength, let header = TarHeader(Array(content)),
            GzipMember.storing(header.encoded()) == start
        else {
            throw ImageError(
                .corrupt, "the archive does not begin with the header of one regular file as Lathe writes it",
                path: source.name, offset: FileOffset(0))
        }
        return header
    }

    /// Passes over the member of a unit, whose length must be one that the unit's content can come to.
    private static func next(_ unit: UInt64, of size: UInt64, in walk: inout GzipMemberWalk) throws(ImageError)
        -> (GzipMember, FileOffset)
    {
        let content = min(RawPackageEncoder.unitLength, size - unit * RawPackageEncoder.unitLength)
        return try walk.next(GzipMember.lengths(contentLength: content), guest: unit * RawPackageEncoder.unitLength)
    }

    /// A unit of the disk and its member.
    struct Unit {
        /// The bytes of the disk that are in it.
        var content: GuestRange
        var member: GzipMember
        var offset: FileOffset
        /// Whether it is the member of a unit of zeros, byte by byte.
        var isZero: Bool
    }

    /// Hands out units in order, from the one that holds a guest offset on, until `body` answers false.
    func forEachUnit(
        from guest: GuestOffset, in source: any ImageSource, _ body: (Unit) throws(ImageError) -> Bool
    ) throws(ImageError) {
        guard guest.bytes < header.size else { return }
        let unitSize = RawPackageEncoder.unitLength
        let first = guest.bytes / unitSize
        var unit = first / Self.unitsPerMark * Self.unitsPerMark
        var walk = GzipMemberWalk(source, from: marks[Int(first / Self.unitsPerMark)])
        while unit * unitSize < header.size {
            let (member, offset) = try Self.next(unit, of: header.size, in: &walk)
            let length = min(unitSize, header.size - unit * unitSize)
            if unit >= first {
                let isZero = try walk.lastMember(is: length == unitSize ? zeroUnit : zeroRest)
                let content = GuestRange(unit * unitSize, length: length)
                guard try body(Unit(content: content, member: member, offset: offset, isZero: isZero)) else { return }
            }
            unit += 1
        }
    }
}

/// Goes from member to member; short ones, as those of zeros are, many at a read.
struct GzipMemberWalk {
    private static let windowLength: UInt64 = 64 << 10
    /// Members up to this length are taken to be followed by others like them.
    private static let shortLength: UInt64 = 4096

    private let source: any ImageSource
    /// Where the next member starts.
    private(set) var position: FileOffset
    /// Where the last one does, and what it says.
    private var last: (member: GzipMember, offset: FileOffset)?
    private var window: [UInt8] = []
    private var windowStart = FileOffset(0)

    init(_ source: any ImageSource, from start: FileOffset) {
        self.source = source
        position = start
    }

    /// Passes over a member.
    ///
    /// - Parameters:
    ///   - lengths: those that it can have.
    ///   - guest: the first byte of the disk in it, for messages.
    mutating func next(_ lengths: ClosedRange<UInt64>, guest: UInt64) throws(ImageError) -> (GzipMember, FileOffset) {
        let isShort = last.map { UInt64($0.member.length) <= Self.shortLength } ?? false
        let bytes = try bytes(
            at: position, atLeast: GzipMember.headerLength, wanted: isShort ? Self.windowLength : 0)
        guard let member = GzipMember(bytes) else {
            throw ImageError(
                .corrupt,
                "there is no header of the member that holds guest bytes from \(guest) on; run 'lathe check'",
                path: source.name, offset: position)
        }
        let length = UInt64(member.length)
        guard lengths.contains(length) else {
            throw ImageError(
                .corrupt,
                "the member that holds guest bytes from \(guest) on says \(length) bytes, expected "
                    + "\(lengths.lowerBound) to \(lengths.upperBound); run 'lathe check'", path: source.name,
                offset: position)
        }
        try source.requireHeld(FileRange(start: position, length: length))
        let found = (member, position)
        last = (member, position)
        position = position + length
        return found
    }

    /// Whether the member that was passed over last is these bytes.
    mutating func lastMember(is bytes: [UInt8]) throws(ImageError) -> Bool {
        guard let last, UInt64(last.member.length) == UInt64(bytes.count) else { return false }
        return try self.bytes(at: last.offset, atLeast: UInt64(bytes.count), wanted: Self.windowLength)
            .starts(with: bytes)
    }

    /// At least so many bytes from an offset on, out of the window where it has them.
    private mutating func bytes(at offset: FileOffset, atLeast least: UInt64, wanted: UInt64) throws(ImageError)
        -> ArraySlice<UInt8>
    {
        let windowEnd = windowStart + UInt64(window.count)
        if offset < windowStart || offset + least > windowEnd {
            try source.requireHeld(FileRange(start: offset, length: least))
            let length = max(least, min(wanted, source.length - offset.bytes))
            window = try source.read(FileRange(start: offset, length: length))
            windowStart = offset
        }
        return window[Int(offset - windowStart)...]
    }
}
