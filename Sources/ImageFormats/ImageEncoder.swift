public import ImageModel

/// What every encoder is told of the disk before its first unit.
public struct EncoderParameters: Hashable, Sendable {
    /// The disk's size in bytes, a multiple of 512; the most that it may be where it is not known.
    public var virtualSize: UInt64
    /// The guest bytes that the source has: a raw file may end inside its last sector, and the rest of the sector is zero.
    public var contentLength: UInt64
    /// Whether the two are known before the first unit; else only an encoder that `takesSizeLast` can be had, and is told by
    /// `settle`.
    public var isSizeKnown: Bool
    /// The time that a format records, in seconds since 1970-01-01 UTC.
    public var timestamp: UInt64
    /// What the content comes to, where that is known before the first unit; a format whose head names it then hands out the head
    /// first, and the same bytes in the end.
    public var identity: ContentIdentity?
    /// What the image's file is called, without a directory.
    ///
    /// An image of several files names the others after it, and has their names in its descriptor; no other format looks at it.
    public var fileName: String

    /// 2000-01-01 UTC, which is 0 in a vhd: what an image says when nobody names a time, so that every run says the same.
    public static let defaultTimestamp: UInt64 = 946_684_800

    /// What an image is called that has no name of its own.
    public static let defaultFileName = "disk"

    public init(
        contentLength: UInt64, virtualSize: UInt64, isSizeKnown: Bool = true, timestamp: UInt64 = defaultTimestamp,
        identity: ContentIdentity? = nil, fileName: String = defaultFileName
    ) {
        self.isSizeKnown = isSizeKnown
        self.contentLength = contentLength
        self.virtualSize = virtualSize
        self.timestamp = timestamp
        self.identity = identity
        self.fileName = fileName
    }
}

/// How the bytes of a unit are stored.
public enum UnitStorage: Hashable, Sendable {
    /// As they are, zeros within a unit left as holes where the sink has them.
    case plain
    /// Compressed, each unit on its own and whole (the last one padded with zeros, unless the encoder `cutsLastUnit`).
    case compressed(UnitCompression)

    /// The most bytes that a unit can take in the file.
    public func greatestLength(ofUnit unitSize: UInt64) -> UInt64 {
        switch self {
        case .plain: unitSize
        case .compressed(let compression):
            // What does not compress is stored, with a few bytes for each 64 KiB and around the whole (RFC 1951, 3.2.4).
            compression.keepsIncompressible ? unitSize : unitSize + unitSize / 1024 + 64
        }
    }
}

/// Places the units of a disk in a file of one format.
///
/// An encoder is a value: it sees no descriptor, no thread and no data byte. The pipeline calls `place` once for each unit
/// that is not all zero, in ascending order, and puts the unit's bytes where it is told; then it calls `finish`. Both hand
/// out the metadata that is settled by then, so that what an encoder holds does not grow with the disk.
public protocol ImageEncoder: Sendable {
    /// The allocation unit in bytes, a power of two of at least 512.
    var unitSize: UInt64 { get }

    /// How units are stored.
    var storage: UnitStorage { get }

    /// Every option with what it came to, defaults included, and `timestamp` where the format records one: an encoder of
    /// the same format, options and disk makes the same bytes.
    var options: [String: String] { get }

    /// Whether the metadata holds identifiers that are made of the content's fingerprint.
    var recordsIdentity: Bool { get }

    /// Whether all that is handed out and placed ascends in the file, in the order in which it is, so that a sink that can't go
    /// back has it in one run.
    var goesForward: Bool { get }

    /// The virtual size of the image where it is more than the source's: an option rounds it up, and what is behind the source's
    /// end reads as zero. nil where it is the source's.
    var writtenSize: UInt64? { get }

    /// Whether the last of the units that are compressed ends with the guest bytes that the source has; else it is as long as the
    /// others.
    var cutsLastUnit: Bool { get }

    /// Whether the size of the disk shows in nothing that is placed or handed out before `finish`.
    var takesSizeLast: Bool { get }

    /// Settles where the bytes of a unit go.
    ///
    /// - Parameters:
    ///   - unit: the index of the unit, guest offset / `unitSize`; greater than that of the call before.
    ///   - storedLength: how many bytes it takes in the file: what compression left of it, or `unitSize` where it is stored as
    ///     it is.
    ///   - metadata: takes the segments that are settled now.
    /// - Throws: `limit-exceeded` where the format can't address the place.
    mutating func place(unit: UInt64, storedLength: UInt64, metadata: inout [MetadataSegment]) throws(ImageError)
        -> FileOffset

    /// What of the file may still be written to: by units that are placed later, and by metadata that are not handed out.
    ///
    /// The ranges ascend and do not overlap; the last one has no end (`FileRange(from:)`). What they leave out is settled: once
    /// the bytes that were placed there are written, nothing there changes any more.
    var unsettled: [FileRange] { get }

    /// The files that the image is divided into, the one that is opened first; none for an image of one file.
    ///
    /// All are placed in one address space, in this order. Names and starts hold from the beginning, lengths once `finish` was
    /// called. Starts are multiples of `MemberFile.alignment`; no two files touch.
    var files: [MemberFile] { get }

    /// The length that the image has when every unit of the disk is placed, each as long as it can be stored
    /// (`UnitStorage.greatestLength`): in bytes, of several files that of all. Arithmetic, asked of an encoder that has placed nothing.
    ///
    /// - Throws: `limit-exceeded` where the format can't address so much.
    func greatestLength() throws(ImageError) -> UInt64

    /// Takes the disk's size after the last unit, and before `finish`: what the parameters said, where that was known.
    ///
    /// - Throws: `limit-exceeded` for a disk too large.
    mutating func settle(contentLength: UInt64, virtualSize: UInt64) throws(ImageError)

    /// Hands out the rest of the metadata, after the last unit.
    ///
    /// - Returns: the length of the file in bytes; of several, where the last of them ends in the address space.
    mutating func finish(content: ContentIdentity, metadata: inout [MetadataSegment]) throws(ImageError) -> UInt64
}

extension ImageEncoder {
    public var recordsIdentity: Bool { true }
    public var cutsLastUnit: Bool { false }
    public var takesSizeLast: Bool { false }
    public mutating func settle(contentLength: UInt64, virtualSize: UInt64) throws(ImageError) {}
    public var goesForward: Bool { false }
    public var writtenSize: UInt64? { nil }
    public var files: [MemberFile] { [] }
}
