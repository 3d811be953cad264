internal import OSSWire

/// Who a request says that it is from, when and for what, and the signature that is to prove it.
public struct SignatureClaim: Sendable {
    /// As `ExportImage`: up to 64 letters and digits.
    public let action: String
    /// As `2014-05-26`.
    public let version: String
    /// Up to 128 bytes of ASCII.
    public let accessKeyID: String
    /// Up to 128 bytes of ASCII.
    public let nonce: String
    /// When the request was signed, in seconds since 1970-01-01 UTC.
    public let signed: UInt64
    /// What came along with a temporary key; never empty.
    public let securityToken: String?

    private let scheme: Scheme

    private enum Scheme {
        case v1(signature: String)
        case v3(RPCSignatureV3.Authorization)
    }

    /// - Throws: `MissingParameter`, `InvalidParameter`, `InvalidTimeStamp.Format` or `InvalidSecurityToken.Malformed`.
    public init(_ message: RPCMessage) throws(APIError) {
        let source: ClaimSource
        if let header = try message.header("authorization") {
            guard let authorization = RPCSignatureV3.Authorization(parsing: header) else {
                throw .invalidParameter(
                    "Authorization", "it is '\(RPCSignatureV3.algorithm) Credential=…,SignedHeaders=…,Signature=…'")
            }
            source = ClaimSource(message: message, isInHeaders: true)
            scheme = .v3(authorization)
            accessKeyID = authorization.accessKeyID
            try Self.requireSigned(authorization, message)
        } else {
            source = ClaimSource(message: message, isInHeaders: false)
            // In this order, so that a request without anything is told of its action first.
            for name in ["Action", "Version", "AccessKeyId"] { _ = try source.parameter(name) }
            try source.require("SignatureMethod", "HMAC-SHA1")
            try source.require("SignatureVersion", "1.0")
            scheme = .v1(signature: try source.parameter("Signature"))
            accessKeyID = try source.parameter("AccessKeyId")
        }
        action = try source.value("Action", "x-acs-action")
        version = try source.value("Version", "x-acs-version")
        nonce = try source.value("SignatureNonce", "x-acs-signature-nonce")
        let time = try source.value("Timestamp", "x-acs-date")
        securityToken = try source.token()
        guard Self.isAction(action), version.isWord(1...32, others: "-.") else {
            throw .invalidParameter("Action or Version")
        }
        guard accessKeyID.isWord(1...128, others: "-._@") else { throw .invalidParameter("AccessKeyId") }
        guard nonce.isWord(1...128, others: "-._:+/={}") else {
            throw .invalidParameter(
                source.name("SignatureNonce", "x-acs-signature-nonce"),
                "it has 1 to 128 letters, digits and '-._:+/={}'")
        }
        guard let signed = APITime.parse(time) else { throw .malformedTimestamp }
        self.signed = signed
    }

    /// What the server would have had signed.
    public func stringToSign(_ message: RPCMessage) -> String {
        switch scheme {
        case .v1: RPCSignatureV1.stringToSign(method: message.method, message.parameters)
        case .v3(let authorization): RPCSignatureV3.stringToSign(Self.canonicalRequest(message, authorization))
        }
    }

    /// Whether the signature is that of the request under the secret.
    public func isRight(for message: RPCMessage, secret: String) -> Bool {
        switch scheme {
        case .v1(let signature):
            let expected = RPCSignatureV1.signature(
                method: message.method, message.parameters, secret: secret)
            return ConstantTime.equal(expected, signature)
        case .v3(let authorization):
            let expected = RPCSignatureV3.signature(Self.canonicalRequest(message, authorization), secret: secret)
            return ConstantTime.equal(expected, authorization.signature)
        }
    }
}

extension SignatureClaim {
    /// Headers that say what is asked for, or for how long the signature is good, count only where they are signed.
    private static let alwaysSigned = ["host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce"]
    private static let greatestNumberSigned = 64

    private static func requireSigned(
        _ authorization: RPCSignatureV3.Authorization, _ message: RPCMessage
    ) throws(APIError) {
        let signed = Set(authorization.signedHeaders)
        guard signed.count == authorization.signedHeaders.count, signed.count <= greatestNumberSigned else {
            throw .invalidParameter("SignedHeaders", "it has at most \(greatestNumberSigned) names, each once")
        }
        for name in alwaysSigned {
            guard try message.header(name) != nil else { throw .missingParameter(name) }
            guard signed.contains(name) else { throw .invalidParameter("SignedHeaders", "\(name) is not among them") }
        }
        if try message.header("x-acs-security-token") != nil, !signed.contains("x-acs-security-token") {
            throw .invalidParameter("SignedHeaders", "x-acs-security-token is not among them")
        }
        guard let hash = try message.header("x-acs-content-sha256") else {
            throw .missingParameter("x-acs-content-sha256")
        }
        guard hash.lowercased() == message.bodySHA256 else {
            throw .invalidParameter("x-acs-content-sha256", "the SHA-256 of the body is \(message.bodySHA256)")
        }
        guard signed.isSubset(of: message.headers.map { $0.name.lowercased() }) else {
            throw .invalidParameter("SignedHeaders", "it names a header that the request has not")
        }
    }

    private static func canonicalRequest(
        _ message: RPCMessage, _ authorization: RPCSignatureV3.Authorization
    ) -> String {
        RPCSignatureV3.canonicalRequest(
            method: message.method, query: message.query, headers: message.headers,
            signedHeaders: authorization.signedHeaders, bodySHA256: message.bodySHA256)
    }

    /// It becomes the name of an XML element.
    private static func isAction(_ text: String) -> Bool {
        text.isWord(1...64) && !(UInt8(ascii: "0")...UInt8(ascii: "9") ~= (text.utf8.first ?? 0))
    }
}

/// Where a claim stands: in the parameters (version 1.0) or in headers (version 3).
private struct ClaimSource {
    let message: RPCMessage
    let isInHeaders: Bool

    /// What a value is called where it stands.
    func name(_ parameter: String, _ header: String) -> String { isInHeaders ? header : parameter }

    /// - Throws: where it is absent, or a header and a parameter say two things.
    func value(_ parameter: String, _ header: String) throws(APIError) -> String {
        guard isInHeaders else { return try self.parameter(parameter) }
        guard let value = try message.header(header), !value.isEmpty else { throw .missingParameter(header) }
        if let other = message.parameters[parameter], other != value {
            throw .invalidParameter(parameter, "the header \(header) says something else")
        }
        return value
    }

    func parameter(_ name: String) throws(APIError) -> String {
        guard let value = message.parameters[name], !value.isEmpty else { throw .missingParameter(name) }
        return value
    }

    func require(_ name: String, _ value: String) throws(APIError) {
        guard try parameter(name).lowercased() == value.lowercased() else {
            throw .invalidParameter(name, "it is \(value)")
        }
    }

    func token() throws(APIError) -> String? {
        let token = isInHeaders ? try message.header("x-acs-security-token") : message.parameters["SecurityToken"]
        guard let token, !token.isEmpty else { return nil }
        guard token.isWord(1...8192, others: "-._~+/=:!@$*,") else { throw .malformedSecurityToken }
        return token
    }
}
