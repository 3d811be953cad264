public import OSSWire

/// A key that the server lets in.
///
/// Like `Credentials`, its description never shows the secret or the token.
public struct ServerCredential: Hashable, Sendable {
    public var credentials: Credentials
    /// When it ends, in seconds since 1970-01-01 UTC; nil for a key that does not.
    public var expires: UInt64?
    /// The SHA-256 of the token that must come along, in lower-case hexadecimal digits, where only that is known.
    public var tokenSHA256: String?

    public init(_ credentials: Credentials, expires: UInt64? = nil, tokenSHA256: String? = nil) {
        self.credentials = credentials
        self.expires = expires
        self.tokenSHA256 = tokenSHA256
    }
}
