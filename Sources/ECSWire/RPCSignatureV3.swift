public import OSSWire

/// Version 3 of the signature, ACS3-HMAC-SHA256: over the query, the headers that the client names, and the body's hash.
public enum RPCSignatureV3 {
    public static let algorithm = "ACS3-HMAC-SHA256"

    /// What of a request is signed, before it is hashed; its path is `/`.
    ///
    /// - Parameters:
    ///   - query: not escaped; the parameters of a form count by the hash of the body alone.
    ///   - signedHeaders: names in lower case, in order.
    ///   - bodySHA256: in lower-case hexadecimal digits.
    public static func canonicalRequest(
        method: String, query: [QueryItem], headers: [HeaderField], signedHeaders: [String], bodySHA256: String
    ) -> String {
        let lines = signedHeaders.map { name in "\(name):\(canonicalValue(of: name, in: headers))\n" }
        return [
            method, "/", canonicalQuery(query.map { ($0.name, $0.value ?? "") }), lines.joined(),
            signedHeaders.joined(separator: ";"), bodySHA256,
        ].joined(separator: "\n")
    }

    public static func stringToSign(_ canonicalRequest: String) -> String {
        "\(algorithm)\n\(SigningDigest.sha256(canonicalRequest))"
    }

    /// In lower-case hexadecimal digits; the key is the secret as it is.
    public static func signature(_ canonicalRequest: String, secret: String) -> String {
        Hexadecimal.encode(SigningDigest.hmacSHA256(stringToSign(canonicalRequest), key: Array(secret.utf8)))
    }

    /// Values of several headers of one name are sorted and joined by a comma, as the vendor's client does.
    private static func canonicalValue(of name: String, in headers: [HeaderField]) -> String {
        headers.filter { $0.name.lowercased() == name }.map { trimmed($0.value) }.sorted().joined(separator: ",")
    }

    private static func trimmed(_ text: String) -> String {
        let isSpace = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
        guard let first = text.utf8.firstIndex(where: { !isSpace($0) }),
            let last = text.utf8.lastIndex(where: { !isSpace($0) })
        else { return "" }
        return String(text[first...last])
    }

    /// What stands in the `Authorization` header.
    public struct Authorization: Hashable, Sendable {
        public var accessKeyID: String
        /// In lower case.
        public var signedHeaders: [String]
        /// Hexadecimal.
        public var signature: String

        public init(accessKeyID: String, signedHeaders: [String], signature: String) {
            self.accessKeyID = accessKeyID
            self.signedHeaders = signedHeaders
            self.signature = signature
        }

        /// - Returns: nil where a field is missing, is there twice or is malformed, or the algorithm is another.
        public init?(parsing header: String) {
            guard header.hasPrefix("\(algorithm) ") else { return nil }
            var fields: [String: String] = [:]
            for field in header.dropFirst(algorithm.utf8.count + 1).split(separator: ",") {
                let halves = RPCSignatureV3.trimmed(String(field)).split(separator: "=", maxSplits: 1)
                guard halves.count == 2, fields.updateValue(String(halves[1]), forKey: String(halves[0])) == nil
                else { return nil }
            }
            guard let id = fields["Credential"], let signature = fields["Signature"],
                let names = fields["SignedHeaders"], fields.count == 3
            else { return nil }
            self.init(
                accessKeyID: id, signedHeaders: names.split(separator: ";").map { $0.lowercased() },
                signature: signature.lowercased())
        }

        /// The value of the header.
        public var headerValue: String {
            "\(algorithm) Credential=\(accessKeyID),SignedHeaders=\(signedHeaders.joined(separator: ";")),"
                + "Signature=\(signature)"
        }
    }
}
