public import OSSWire

/// A call of the API as a client makes it, before it is signed.
public struct RPCCall: Sendable {
    /// As `ExportImage`.
    public var action: String
    /// As `2014-05-26`.
    public var version: String
    /// Without those that are common to all calls.
    public var parameters: [String: String]
    /// `GET` or `POST`.
    public var method = "POST"
    /// With the port, where it is not that of the scheme: `127.0.0.1:8080`.
    public var host: String
    /// Whether parameters stand in a form in the body, rather than in the query; only with `POST`.
    public var usesForm = false
    /// Nil leaves it to the server.
    public var format: AnswerFormat?

    public enum SignatureVersion: Hashable, Sendable, CaseIterable {
        /// HMAC-SHA1.
        case v1
        /// ACS3-HMAC-SHA256.
        case v3
    }

    public init(
        _ action: String, version: String = "2014-05-26", _ parameters: [String: String] = [:], host: String
    ) {
        self.action = action
        self.version = version
        self.parameters = parameters
        self.host = host
    }

    /// The call, ready to be sent.
    ///
    /// - Parameters:
    ///   - seconds: when it is signed, since 1970-01-01 UTC.
    ///   - nonce: which the key has not used before.
    public func signed(
        _ signature: SignatureVersion, _ credentials: Credentials, at seconds: UInt64, nonce: String
    ) -> SignedCall {
        switch signature {
        case .v1: signedV1(credentials, APITime.format(seconds), nonce)
        case .v3: signedV3(credentials, APITime.format(seconds), nonce)
        }
    }

    private func signedV1(_ credentials: Credentials, _ time: String, _ nonce: String) -> SignedCall {
        var all = parametersWithFormat(as: format)
        all["Action"] = action
        all["Version"] = version
        all["AccessKeyId"] = credentials.accessKeyID
        all["SignatureMethod"] = "HMAC-SHA1"
        all["SignatureVersion"] = "1.0"
        all["SignatureNonce"] = nonce
        all["Timestamp"] = time
        all["SecurityToken"] = credentials.securityToken
        all["Signature"] = RPCSignatureV1.signature(
            method: method, all, secret: credentials.accessKeySecret)
        return assembled(all, [])
    }

    private func signedV3(_ credentials: Credentials, _ time: String, _ nonce: String) -> SignedCall {
        var call = assembled(
            parametersWithFormat(as: nil),
            [
                HeaderField("x-acs-action", action), HeaderField("x-acs-version", version),
                HeaderField("x-acs-date", time), HeaderField("x-acs-signature-nonce", nonce),
            ])
        let hash = SigningDigest.sha256(call.body)
        call.headers.append(HeaderField("x-acs-content-sha256", hash))
        if let format { call.headers.append(HeaderField("accept", format == .json ? "application/json" : "text/xml")) }
        if let token = credentials.securityToken {
            call.headers.append(HeaderField("x-acs-accesskey-id", credentials.accessKeyID))
            call.headers.append(HeaderField("x-acs-security-token", token))
        }
        let names = call.headers.map { $0.name.lowercased() }.sorted()
        let request = RPCSignatureV3.canonicalRequest(
            method: method, query: usesForm ? [] : items(parametersWithFormat(as: nil)), headers: call.headers,
            signedHeaders: names, bodySHA256: hash)
        let authorization = RPCSignatureV3.Authorization(
            accessKeyID: credentials.accessKeyID, signedHeaders: names,
            signature: RPCSignatureV3.signature(request, secret: credentials.accessKeySecret))
        call.headers.append(HeaderField("Authorization", authorization.headerValue))
        return call
    }

    private func parametersWithFormat(as format: AnswerFormat?) -> [String: String] {
        var all = parameters
        if let format { all["Format"] = format == .json ? "JSON" : "XML" }
        return all
    }

    private func items(_ parameters: [String: String]) -> [QueryItem] {
        parameters.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }.map { QueryItem($0.key, $0.value) }
    }

    private func assembled(_ parameters: [String: String], _ headers: [HeaderField]) -> SignedCall {
        let text = QueryItem.render(items(parameters))
        var headers = [HeaderField("Host", host)] + headers
        guard usesForm else {
            return SignedCall(method: method, target: text.isEmpty ? "/" : "/?\(text)", headers: headers, body: [])
        }
        headers.append(HeaderField("Content-Type", "application/x-www-form-urlencoded"))
        return SignedCall(method: method, target: "/", headers: headers, body: Array(text.utf8))
    }
}

/// What is sent over HTTP; `Content-Length` is the sender's to add.
public struct SignedCall: Sendable {
    public var method: String
    /// `/` and the query, escaped.
    public var target: String
    /// `Host` among them.
    public var headers: [HeaderField]
    public var body: [UInt8]

    public init(method: String, target: String, headers: [HeaderField], body: [UInt8]) {
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
    }
}
