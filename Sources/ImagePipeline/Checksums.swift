/// Which checksums a piece of work computes.
public struct ChecksumSelection: OptionSet, Hashable, Sendable {
    public let rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }

    /// Nothing: no fingerprint, and no way to tell damage.
    public static let none: ChecksumSelection = []
    /// CRC-64/XZ, which finds accidents and costs next to nothing.
    public static let crc64ecma = ChecksumSelection(rawValue: 1)
    /// SHA-256 over every byte in order, zeros included: one thread's speed, whatever the machine has.
    public static let sha256 = ChecksumSelection(rawValue: 2)
    /// SHA-256 over the SHA-256s of blocks of 64 KiB (`BlockTreeDigest`): all threads, and zeros cost next to nothing.
    public static let sha256Tree = ChecksumSelection(rawValue: 4)

    /// Those that must see the bytes in order.
    static let ordered: ChecksumSelection = [.sha256, .sha256Tree]
}

/// What was computed of some content.
public struct Checksums: Hashable, Sendable {
    /// CRC-64/XZ.
    public var crc64ecma: UInt64
    /// Nil where it was not asked for; in lower-case hexadecimal.
    public var sha256: String?
    /// Nil where it was not asked for; in lower-case hexadecimal.
    public var sha256Tree: String?

    public init(crc64ecma: UInt64, sha256: String? = nil, sha256Tree: String? = nil) {
        self.crc64ecma = crc64ecma
        self.sha256 = sha256
        self.sha256Tree = sha256Tree
    }
}
