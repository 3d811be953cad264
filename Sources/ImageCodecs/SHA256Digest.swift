internal import Crypto
internal import FoundationEssentials

/// SHA-256 (FIPS 180-4) over bytes that come in order.
public struct SHA256Digest: Sendable {
    private var hash = SHA256()

    public init() {}

    public mutating func update(_ bytes: Span<UInt8>) {
        unsafe bytes.withUnsafeBytes { buffer in unsafe hash.update(bufferPointer: buffer) }
    }

    /// Adds so many bytes of zeros, each of which costs its time.
    public mutating func updateZeros(_ count: UInt64) {
        var rest = count
        while rest > 0 {
            let step = min(rest, UInt64(Self.zeros.count))
            update(Self.zeros.span.extracting(0..<Int(step)))
            rest -= step
        }
    }

    private static let zeros = [UInt8](repeating: 0, count: 64 << 10)

    /// The digest so far, 32 bytes.
    public func bytes() -> [UInt8] { Array(hash.finalize()) }

    /// The digest so far, in lower-case hexadecimal.
    public func hexadecimal() -> String {
        let digits = Array("0123456789abcdef")
        return bytes().reduce(into: "") { text, byte in
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
    }
}
