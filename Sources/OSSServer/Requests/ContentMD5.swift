internal import Crypto
internal import FoundationEssentials
internal import OSSWire

/// The `Content-MD5` field of a request: 16 bytes in base64 (RFC 1864).
struct ContentMD5 {
    private let digest: [UInt8]
    private let text: String

    /// Nil where the request has none.
    ///
    /// - Throws: `InvalidDigest` where it is no MD5.
    init?(_ request: OSSRequest) throws(OSSFailure) {
        guard let text = request.field(HeaderName.contentMD5) else { return nil }
        guard let digest = Base64.decode(text), digest.count == 16 else {
            throw OSSFailure(
                400, "InvalidDigest", "The Content-MD5 you specified is no MD5 in base64.",
                details: [("Content-MD5", text)])
        }
        self.digest = digest
        self.text = text
    }

    /// - Throws: `InvalidDigest` where the body has another.
    func require(_ found: [UInt8]) throws(OSSFailure) {
        guard found != digest else { return }
        throw OSSFailure(
            400, "InvalidDigest", "The Content-MD5 you specified did not match what we received.",
            details: [("Content-MD5", text), ("Calculated-MD5", Base64.encode(found))])
    }

    func require(of bytes: [UInt8]) throws(OSSFailure) {
        try require(Array(Insecure.MD5.hash(data: bytes)))
    }
}
