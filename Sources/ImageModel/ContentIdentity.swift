/// What a disk holds, in so few bits that identifiers can be made of it.
///
/// Formats want UUIDs and content IDs; a clock or a random number would make every run differ, and a constant makes
/// VirtualBox refuse the second image. So they follow from the content: same content, format and role, same identifier.
public struct ContentIdentity: Hashable, Sendable {
    /// CRC-64/XZ over the whole guest content.
    public var fingerprint: UInt64
    /// In bytes.
    public var virtualSize: UInt64

    public init(fingerprint: UInt64, virtualSize: UInt64) {
        self.fingerprint = fingerprint
        self.virtualSize = virtualSize
    }

    /// A UUID of version 8 (RFC 9562, section 5.8) for one role in one format, in the order in which it is printed.
    ///
    /// - Parameter role: the format and the field, `vdi.uuidCreate` for one.
    public func uuid(for role: String) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 16)
        bytes.storeBigEndian(word(0, for: role), at: 0)
        bytes.storeBigEndian(word(1, for: role), at: 8)
        bytes[6] = bytes[6] & 0x0f | 0x80
        bytes[8] = bytes[8] & 0x3f | 0x80
        return bytes
    }

    /// 64 well-mixed bits for one role; `index` tells words of one role apart.
    public func word(_ index: UInt64, for role: String) -> UInt64 {
        var state = Self.mix(fingerprint)
        state = Self.mix(state ^ virtualSize)
        for byte in role.utf8 { state = Self.mix(state ^ UInt64(byte)) }
        return Self.mix(state ^ index)
    }

    /// One step of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a bijection that spreads every bit over all others.
    private static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value &+ 0x9e37_79b9_7f4a_7c15
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}
