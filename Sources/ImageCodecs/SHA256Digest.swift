internal import Crypto
internal import FoundationEssentials

/// SHA-256 (FIPS 180-4) over bytes that come in order.
public struct SHA256Digest: Sendable {
    private var hash = SHA256()

    public init() {}

    public mutating func update(_ bytes: Span<UInt8>) {
        unsafe bytes.withUnsafeBytes { buffer in unsafe hash.update(bufferPointer: buffer) }
    }

    /// The digest so far, in lower-case hexadecimal.
    public func hexadecimal() -> String {
        let digits = Array("0123456789abcdef")
        return hash.finalize().reduce(into: "") { text, byte in
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
    }
}
