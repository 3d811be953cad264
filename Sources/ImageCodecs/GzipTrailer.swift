internal import CDeflate
internal import ImageModel

/// CRC32 and ISIZE, which end a member of a gzip file.
///
/// Source: RFC 1952, section 2.3.1: the CRC-32 of the content, and its length modulo 2^32, both least significant byte first.
struct GzipTrailer: Hashable {
    /// In bytes.
    static let length = 8

    private let checksum: UInt32
    private let contentLength: UInt32

    init(of content: Span<UInt8>) {
        checksum = unsafe content.withUnsafeBytes { unsafe libdeflate_crc32(0, $0.baseAddress, $0.count) }
        contentLength = UInt32(truncatingIfNeeded: content.count)
    }

    var bytes: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.length)
        bytes.storeLittleEndian(checksum, at: 0)
        bytes.storeLittleEndian(contentLength, at: 4)
        return bytes
    }

    /// Whether the trailer stands in `stored` from `start` on.
    func stands(in stored: Span<UInt8>, at start: Int) -> Bool {
        guard start >= 0, stored.count - start >= Self.length else { return false }
        return stored.littleEndian(at: start) == checksum && stored.littleEndian(at: start + 4) == contentLength
    }
}
