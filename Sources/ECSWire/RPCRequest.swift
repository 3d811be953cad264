/// Who sent a request whose signature was right.
public struct Principal: Hashable, Sendable {
    /// Sixteen digits.
    public var accountID: String
    public var accessKeyID: String
    /// The role that was assumed, for a temporary key; nil for the account itself.
    public var roleName: String?

    public init(accountID: String, accessKeyID: String, roleName: String? = nil) {
        self.accountID = accountID
        self.accessKeyID = accessKeyID
        self.roleName = roleName
    }
}

/// A request whose signature was right, in the hands of the service.
public struct RPCRequest: Sendable {
    /// As `ExportImage`.
    public var action: String
    /// As `2014-05-26`; that of STS is `2015-04-01`.
    public var version: String
    /// All parameters of query and form, signature and common ones included, under the names that the client wrote.
    public var parameters: [String: String]
    public var principal: Principal
    /// What the answer calls it: a UUID in capitals.
    public var requestID: String

    public init(
        action: String, version: String, parameters: [String: String], principal: Principal, requestID: String
    ) {
        self.action = action
        self.version = version
        self.parameters = parameters
        self.principal = principal
        self.requestID = requestID
    }
}

/// What a signature of a key is verified with.
public struct SigningKey: Hashable, Sendable {
    public var secret: String
    /// The SHA-256 of the token that must come along, in lower-case hexadecimal digits; nil for a key that is not temporary.
    public var tokenSHA256: String?
    /// In seconds since 1970-01-01 UTC; nil for a key that does not end.
    public var expires: UInt64?
    public var principal: Principal

    public init(secret: String, tokenSHA256: String? = nil, expires: UInt64? = nil, principal: Principal) {
        self.secret = secret
        self.tokenSHA256 = tokenSHA256
        self.expires = expires
        self.principal = principal
    }
}

/// What stands behind the gateway.
///
/// Calls come from many threads and may block; none of those threads is an event loop or of the cooperative pool.
public protocol RPCBackend: Sendable {
    /// - Returns: nil where there is no such key, or it is disabled.
    func signingKey(_ accessKeyID: String) throws(APIError) -> SigningKey?

    /// Takes a nonce for a key.
    ///
    /// - Parameter expires: until when it must be remembered, in seconds since 1970-01-01 UTC.
    /// - Returns: false where the key has used it before.
    func claimNonce(_ nonce: String, of accessKeyID: String, expires: UInt64) throws(APIError) -> Bool

    /// Carries a request out.
    ///
    /// - Returns: the fields of the answer, without `RequestId`, which the gateway adds.
    func perform(_ request: RPCRequest) throws(APIError) -> AnswerObject

    /// Whether requests can be served now; else a sentence that says why not.
    func unreadiness() -> String?

    /// Lines of metrics in the text format of Prometheus, to stand behind the gateway's own.
    func metrics() -> String
}
