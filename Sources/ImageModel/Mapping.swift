/// How the stored bytes of a compressed unit are encoded.
public enum CompressionMethod: String, Hashable, Sendable {
    /// RFC 1951, no header and no checksum: qcow2 calls it zlib.
    case deflate
    /// What a member of RFC 1952 has behind its header: deflate, then CRC-32 and length of the content.
    case gzip
    /// RFC 1950, with an Adler-32 of the content: vmdk grains.
    case zlib
    /// RFC 8878 frames: qcow2's compression type 1.
    case zstd
}

/// A unit that is stored compressed: it must be inflated whole to read any part of it.
public struct CompressedUnit: Hashable, Sendable {
    /// Where its stored bytes are.
    ///
    /// The stream may end before the range does: qcow2 counts whole sectors.
    public var stored: FileRange
    /// The guest bytes that it inflates to.
    ///
    /// The last unit of a disk may reach past the virtual size.
    public var content: GuestRange
    public var method: CompressionMethod

    public init(stored: FileRange, content: GuestRange, method: CompressionMethod) {
        self.stored = stored
        self.content = content
        self.method = method
    }
}

/// Where the bytes of a guest range are.
public enum Mapping: Hashable, Sendable {
    /// Stored as they are, from this file offset on.
    case raw(FileOffset)
    /// Inside a compressed unit.
    case compressed(CompressedUnit)
    /// The image says that they are zero.
    case zero
    /// The image has no place for them; with no backing file they read as zero.
    case hole

    /// Whether the range reads as zero without a look at any stored byte.
    public var readsAsZero: Bool {
        switch self {
        case .zero, .hole: true
        case .raw, .compressed: false
        }
    }
}

/// A run of guest bytes of one kind, and where they are.
public struct MappedExtent: Hashable, Sendable {
    public var range: GuestRange
    public var mapping: Mapping
    /// How many images of a chain lie over the one that says so: 0 for the image that was asked for.
    public var depth: Int

    public init(range: GuestRange, mapping: Mapping, depth: Int = 0) {
        self.range = range
        self.mapping = mapping
        self.depth = depth
    }

    /// Takes `next` in where it goes on as this extent does: the same kind in the same image and, for stored bytes, the next file offset.
    ///
    /// - Returns: false, and no change, where it does not.
    public mutating func absorb(_ next: MappedExtent) -> Bool {
        guard next.range.start == range.end, next.depth == depth else { return false }
        switch (mapping, next.mapping) {
        case (.zero, .zero), (.hole, .hole): break
        case (.raw(let here), .raw(let there)) where here + range.length == there: break
        default: return false
        }
        range.length += next.range.length
        return true
    }
}

/// A growing list of extents in which neighbours of one kind are joined.
public struct ExtentList: Sendable {
    public private(set) var extents: [MappedExtent] = []

    public init() {}

    public var count: Int { extents.count }

    /// Adds an extent that starts where the last one ended.
    public mutating func append(_ extent: MappedExtent) {
        guard !extent.range.isEmpty else { return }
        if let last = extents.indices.last, extents[last].absorb(extent) { return }
        extents.append(extent)
    }
}
