import ImageModel

/// The units of a package, found by what stands in front of each.
///
/// One walk over the headers notes where every 64th unit is, 8 bytes for 64 MiB of disk; from there a unit is found by
/// walking on.
struct RawPackageMembers: Sendable {
    private static let unitsPerMark: UInt64 = 64

    let packaging: RawPackaging
    /// Of the disk, in bytes.
    let size: UInt64
    /// nil where the package is no archive.
    let header: TarHeader?
    /// Where the package ends in the file.
    let end: FileOffset
    private let marks: [FileOffset]
    private let zeroUnit: [UInt8]
    /// A last unit of zeros that is shorter than the others.
    private let zeroRest: [UInt8]

    /// Walks over all units.
    ///
    /// - Throws: `unsupported` for a file of another program; `corrupt`, `truncated`, `limit-exceeded`.
    init(_ packaging: RawPackaging, source: any ImageSource) throws(ImageError) {
        self.packaging = packaging
        try Self.requireOurs(packaging, source)
        header = packaging == .tarGzip ? try Self.header(in: source) : nil
        if let header { size = header.size } else { size = try Self.sizeAtEnd(packaging, source) }
        guard size <= ImageLimits.virtualSize - TarHeader.recordSize else {
            throw ImageError(
                .limitExceeded, "the package says \(size) bytes, more than a disk can have", path: source.name)
        }
        zeroUnit = packaging.zeros(RawPackageEncoder.unitLength)
        zeroRest = size % RawPackageEncoder.unitLength == 0 ? [] : packaging.zeros(size % RawPackageEncoder.unitLength)
        var marks: [FileOffset] = []
        var walk = PackageWalk(packaging, source, from: FileOffset(packaging.headLength))
        for unit in 0..<size.dividedRoundingUp(by: RawPackageEncoder.unitLength) {
            if unit % Self.unitsPerMark == 0 { marks.append(walk.position) }
            _ = try Self.next(unit, of: size, in: &walk)
        }
        self.marks = marks
        let tail = packaging.tail(size: size)
        let tailRange = FileRange(start: walk.position, length: UInt64(tail.count))
        guard try source.read(tailRange) == tail else {
            throw ImageError(
                .corrupt, "the end of the package is not where the units' lengths lead to; run 'lathe check'",
                path: source.name, offset: walk.position)
        }
        end = tailRange.end
    }

    /// Refuses what does not begin as ours do.
    private static func requireOurs(_ packaging: RawPackaging, _ source: any ImageSource) throws(ImageError) {
        let start = try source.read(FileRange(0, length: min(source.length, 64)))
        guard !packaging.begins(start) else { return }
        func refusal(_ code: ImageError.Code, _ message: String) -> ImageError {
            ImageError(code, message, path: source.name, offset: FileOffset(0))
        }
        let (magic, name) =
            packaging == .zstandard ? (ZstandardFrame.magic, "zstd") : (GzipMember.magic, "gzip")
        let head = packaging == .zstandard ? ZstandardFrame.empty + packaging.fixedFields : packaging.fixedFields
        // Any part of our head may be what is left of one of ours.
        guard !head.starts(with: start) else {
            throw refusal(.truncated, "the file ends at byte \(source.length), inside the header of the package")
        }
        guard start.starts(with: magic) || packaging == .zstandard && start.starts(with: ZstandardFrame.skippableMagic)
        else {
            throw refusal(
                start.count < magic.count ? .truncated : .corrupt, "there is no \(name) header at the start of the file"
            )
        }
        throw refusal(
            .unsupported,
            "this is a \(name) file of another program, or another package than a raw.\(packaging.rawValue), in which nothing "
                + "can be found without unpacking all of it: unpack it first (\(FormatDetection.unpacking(name))), and take the "
                + "disk that was in it")
    }

    /// What the end of a package says that has no header.
    private static func sizeAtEnd(_ packaging: RawPackaging, _ source: any ImageSource) throws(ImageError) -> UInt64 {
        let length = UInt64(packaging.tail(size: 0).count)
        let start = source.length - min(source.length, length)
        let tail = try source.read(FileRange(start, length: source.length - start))
        guard let size = packaging.size(inTail: tail) else {
            throw ImageError(
                .truncated,
                "the file does not end with the size of the disk, as a raw.\(packaging.rawValue) of Lathe's does: it is cut short, or "
                    + "something stands behind it", path: source.name, offset: FileOffset(start))
        }
        return size
    }

    /// Reads the header of the archive.
    private static func header(in source: any ImageSource) throws(ImageError) -> TarHeader {
        let packaging = RawPackaging.tarGzip
        let length = packaging.headLength
        let start = try source.read(FileRange(0, length: min(source.length, length)))
        guard UInt64(start.count) == length else {
            throw ImageError(
                .truncated, "the file ends at byte \(source.length), inside the header of the archive",
                path: source.name, offset: FileOffset(0))
        }
        // Behind the header of the member and that of a stored block.
        let content = start.dropFirst(Int(packaging.headerLength) + 5).prefix(Int(TarHeader.blockSize))
        guard let header = TarHeader(Array(content)), packaging.head(header) == start else {
            throw ImageError(
                .corrupt, "the archive does not begin with the header of one regular file as Lathe writes it",
                path: source.name, offset: FileOffset(0))
        }
        return header
    }

    /// Passes over a unit, whose length must be one that its content can come to.
    private static func next(_ unit: UInt64, of size: UInt64, in walk: inout PackageWalk) throws(ImageError)
        -> FileRange
    {
        let content = min(RawPackageEncoder.unitLength, size - unit * RawPackageEncoder.unitLength)
        return try walk.next(contentLength: content, guest: unit * RawPackageEncoder.unitLength)
    }

    /// A unit of the disk and its place in the file.
    struct Unit {
        /// The bytes of the disk that are in it.
        var content: GuestRange
        /// What is inflated to them: the frame without its header.
        var stored: FileRange
        /// Whether it is the frame of a unit of zeros, byte by byte.
        var isZero: Bool
    }

    /// Hands out units in order, from the one that holds a guest offset on, until `body` answers false.
    func forEachUnit(
        from guest: GuestOffset, in source: any ImageSource, _ body: (Unit) throws(ImageError) -> Bool
    ) throws(ImageError) {
        guard guest.bytes < size else { return }
        let unitSize = RawPackageEncoder.unitLength
        let first = guest.bytes / unitSize
        var unit = first / Self.unitsPerMark * Self.unitsPerMark
        var walk = PackageWalk(packaging, source, from: marks[Int(first / Self.unitsPerMark)])
        while unit * unitSize < size {
            let frame = try Self.next(unit, of: size, in: &walk)
            let length = min(unitSize, size - unit * unitSize)
            if unit >= first {
                let isZero = try walk.lastFrame(is: length == unitSize ? zeroUnit : zeroRest)
                let stored = FileRange(
                    start: frame.start + packaging.headerLength, length: frame.length - packaging.headerLength)
                let content = GuestRange(unit * unitSize, length: length)
                guard try body(Unit(content: content, stored: stored, isZero: isZero)) else { return }
            }
            unit += 1
        }
    }
}

/// Goes from unit to unit; short ones, as those of zeros are, many at a read.
struct PackageWalk {
    private static let windowLength: UInt64 = 64 << 10
    /// Frames up to this length are taken to be followed by others like them.
    private static let shortLength: UInt64 = 4096

    private let packaging: RawPackaging
    private let source: any ImageSource
    /// Where the next frame starts.
    private(set) var position: FileOffset
    /// The last one.
    private var last: FileRange?
    private var window: [UInt8] = []
    private var windowStart = FileOffset(0)

    init(_ packaging: RawPackaging, _ source: any ImageSource, from start: FileOffset) {
        self.packaging = packaging
        self.source = source
        position = start
    }

    /// Passes over a frame, header included.
    ///
    /// - Parameters:
    ///   - contentLength: bytes of the disk in it.
    ///   - guest: the first of them, for messages.
    mutating func next(contentLength: UInt64, guest: UInt64) throws(ImageError) -> FileRange {
        let isShort = last.map { $0.length <= Self.shortLength } ?? false
        let bytes = try bytes(at: position, atLeast: packaging.headerLength, wanted: isShort ? Self.windowLength : 0)
        guard let length = packaging.length(of: bytes).map(UInt64.init) else {
            throw ImageError(
                .corrupt,
                "there is no header of the unit that holds guest bytes from \(guest) on; run 'lathe check'",
                path: source.name, offset: position)
        }
        let lengths = packaging.lengths(contentLength: contentLength)
        guard lengths.contains(length) else {
            throw ImageError(
                .corrupt,
                "the unit that holds guest bytes from \(guest) on says \(length) bytes, expected "
                    + "\(lengths.lowerBound) to \(lengths.upperBound); run 'lathe check'", path: source.name,
                offset: position)
        }
        let frame = FileRange(start: position, length: length)
        try source.requireHeld(frame)
        last = frame
        position = frame.end
        return frame
    }

    /// Whether the frame that was passed over last is these bytes.
    mutating func lastFrame(is bytes: [UInt8]) throws(ImageError) -> Bool {
        guard let last, last.length == UInt64(bytes.count) else { return false }
        return try self.bytes(at: last.start, atLeast: UInt64(bytes.count), wanted: Self.windowLength)
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
