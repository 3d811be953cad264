internal import Crypto
internal import ImageCodecs
internal import OSSWire
internal import ObjectStorage

/// What a body's bytes come to, read once before they are sent.
struct BodyReading {
    /// 16 bytes, where it was asked for.
    let md5: [UInt8]?
    /// In hexadecimal, where it was asked for.
    let sha256: String?

    static let emptySHA256 = Hexadecimal.encode(SHA256().finalize())

    /// - Throws: `checksum-mismatch` where the bytes are not those that the body's CRC-64 is of.
    init(_ body: ObjectBody, md5 wantsMD5: Bool, sha256 wantsSHA256: Bool) throws(StoreError) {
        var md5 = wantsMD5 ? Insecure.MD5() : nil
        var sha256 = wantsSHA256 ? SHA256() : nil
        var crc64: UInt64 = 0
        try body.unpaced.forEachPiece { (piece) throws(StoreError) in
            crc64 = CRC64.checksum(piece, continuing: crc64)
            unsafe piece.withUnsafeBytes { bytes in
                unsafe md5?.update(bufferPointer: bytes)
                unsafe sha256?.update(bufferPointer: bytes)
            }
        }
        try Self.compare(crc64, body)
        self.md5 = md5.map { Array($0.finalize()) }
        self.sha256 = sha256.map { Hexadecimal.encode($0.finalize()) }
    }

    /// - Throws: `checksum-mismatch` where the bytes are not those that the body's CRC-64 is of.
    static func compare(_ crc64: UInt64, _ body: ObjectBody) throws(StoreError) {
        guard crc64 != body.crc64 else { return }
        throw StoreError(
            .checksumMismatch,
            "the CRC-64 of what is to be sent is \(crc64), but it was \(body.crc64) before: the source has changed, "
                + "or memory is failing", persistence: .transient)
    }
}
