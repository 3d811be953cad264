internal import NIOCore

/// Whom connections are counted for: an IPv4 address, or the first 64 bits of an IPv6 one, of which a host has as many as it
/// likes (RFC 4291, section 2.5.4).
enum PeerNetwork: Hashable, Sendable {
    case v4(UInt32)
    case v6(UInt64)
    /// No address is known of it.
    case unknown

    init(_ address: SocketAddress?) {
        guard let address else {
            self = .unknown
            return
        }
        // Where the address stands in what the system has of it (ip(7), ipv6(7)).
        let bytes = unsafe address.withSockAddr { pointer, length in
            unsafe Array(UnsafeRawBufferPointer(start: pointer, count: length))
        }
        switch address {
        case .v4 where bytes.count >= 8: self = .v4(Self.number(bytes[4..<8]))
        case .v6 where bytes.count >= 24: self.init(Array(bytes[8..<24]))
        default: self = .unknown
        }
    }

    /// - Parameter bytes: the 16 of an IPv6 address; one that stands for an IPv4 one is that.
    init(_ bytes: [UInt8]) {
        let isMapped = bytes.count == 16 && bytes[..<10].allSatisfy { $0 == 0 } && bytes[10..<12] == [0xFF, 0xFF]
        if isMapped {
            self = .v4(Self.number(bytes[12...]))
        } else {
            self = .v6(Self.number(bytes[..<8]))
        }
    }

    private static func number<Number: FixedWidthInteger>(_ bytes: ArraySlice<UInt8>) -> Number {
        bytes.reduce(0) { $0 << 8 | Number($1) }
    }
}
