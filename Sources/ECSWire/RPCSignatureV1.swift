internal import OSSWire

/// Version 1.0 of the signature: HMAC-SHA1 over all parameters, from query and form together.
///
/// The vendor calls it deprecated; its older clients know no other.
public enum RPCSignatureV1 {
    /// What is signed of the parameters; `Signature` itself is left out.
    ///
    /// Parameters that are empty are signed as all others: `SignatureType=`.
    public static func stringToSign(method: String, _ parameters: [String: String]) -> String {
        let signed = parameters.filter { $0.key != "Signature" }
        return "\(method)&%2F&\(PercentEncoding.encode(canonicalQuery(signed.map { ($0.key, $0.value) })))"
    }

    /// In base64.
    public static func signature(method: String, _ parameters: [String: String], secret: String) -> String {
        Base64.encode(SigningDigest.hmacSHA1(stringToSign(method: method, parameters), key: "\(secret)&"))
    }
}

/// Names and values, escaped, sorted by the bytes of the names as they are before that; `=` stands behind each name.
func canonicalQuery(_ items: [(name: String, value: String)]) -> String {
    let sorted = items.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    return sorted.map { "\(PercentEncoding.encode($0.name))=\(PercentEncoding.encode($0.value))" }
        .joined(separator: "&")
}
