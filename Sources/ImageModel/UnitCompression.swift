/// How the units of an image are compressed: to which kind of stream, by which library, and how hard it tries.
///
/// A value that says it all: the same content and the same value give the same bytes, on every processor.
public struct UnitCompression: Hashable, Sendable {
    /// What compresses.
    public enum Library: String, Hashable, Sendable {
        /// Deflate with a window of 32 KiB, levels 1 to 12: the smallest.
        case libdeflate
        /// Deflate with a window of 512 bytes to 32 KiB, levels 1 and 2: the fastest.
        ///
        /// Its level 3 gives other bytes on other processors, so there is none.
        case isal = "isa-l"
        /// Deflate with a window of 512 bytes to 32 KiB, levels 1 to 9: what everybody else's streams are made by.
        case zlib
        /// Zstandard frames that say their content's size, levels 1 to 19.
        case zstd = "libzstd"
    }

    /// The kind of stream.
    public var method: CompressionMethod
    public var library: Library
    /// On the library's own scale.
    public var level: Int
    /// The base-2 logarithm of how far back a copy may reach, in bytes: deflate alone has it.
    public var windowBits: Int
    /// Whether a unit that does not become shorter is stored as it is, for the format to say so; without it, every unit
    /// becomes a stream, which may then be a little longer than the unit.
    public var keepsIncompressible: Bool
    /// Whether a zstd frame ends with a checksum of its content; other methods have one or have none.
    public var hasChecksum: Bool

    public init(
        _ method: CompressionMethod, by library: Library, level: Int, windowBits: Int = 15,
        keepsIncompressible: Bool = false, hasChecksum: Bool = false
    ) {
        self.method = method
        self.library = library
        self.level = level
        self.windowBits = windowBits
        self.keepsIncompressible = keepsIncompressible
        self.hasChecksum = hasChecksum
    }
}
