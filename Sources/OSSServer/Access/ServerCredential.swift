public import OSSWire

/// A key that the server lets in.
///
/// Like `Credentials`, its description never shows the secret or the token.
public struct ServerCredential: Hashable, Sendable {
    public var credentials: Credentials
    /// When it ends, in seconds since 1970-01-01 UTC; nil for a key that does not.
    public var expires: UInt64?

    public init(_ credentials: Credentials, expires: UInt64? = nil) {
        self.credentials = credentials
        self.expires = expires
    }
}
