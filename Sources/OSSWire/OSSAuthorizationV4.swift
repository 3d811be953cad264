extension OSSSignatureV4 {
    /// What stands in an `Authorization` header of version 4, or in the query of a presigned URL.
    public struct Authorization: Hashable, Sendable {
        public var accessKeyID: String
        public var scope: Scope
        /// In lower case.
        public var additionalHeaders: [String]
        /// Hexadecimal.
        public var signature: String

        public init(accessKeyID: String, scope: Scope, additionalHeaders: [String] = [], signature: String) {
            self.accessKeyID = accessKeyID
            self.scope = scope
            self.additionalHeaders = additionalHeaders
            self.signature = signature
        }

        /// Takes the fields in any order, with or without a space behind the commas: the vendor's two clients differ in both.
        ///
        /// - Returns: nil where a field is missing, is there twice or is malformed, or the algorithm is another.
        public init?(parsing header: String) {
            guard header.hasPrefix("\(algorithm) ") else { return nil }
            var fields: [String: String] = [:]
            for field in header.dropFirst(algorithm.count + 1).split(separator: ",") {
                let halves = String(field).trimmingSpaces.split(separator: "=", maxSplits: 1)
                guard halves.count == 2, fields.updateValue(String(halves[1]), forKey: String(halves[0])) == nil
                else { return nil }
            }
            let additional = fields["AdditionalHeaders"]
            guard let credential = fields["Credential"], let signature = fields["Signature"],
                fields.count == (additional == nil ? 2 : 3)
            else { return nil }
            self.init(credential: credential, additionalHeaders: additional, signature: signature)
        }

        /// - Parameters:
        ///   - credential: `ID/yyyymmdd/region/product/aliyun_v4_request`.
        ///   - additionalHeaders: names with `;` between them.
        init?(credential: String, additionalHeaders: String?, signature: String) {
            let names = credential.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
            guard names.count == 5, !names[0].isEmpty, !signature.isEmpty, names[4] == terminator,
                names[1].utf8.count == 8, names[1].utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 })
            else { return nil }
            self.init(
                accessKeyID: names[0], scope: Scope(day: names[1], region: names[2], product: names[3]),
                additionalHeaders: (additionalHeaders ?? "").split(separator: ";").map { $0.lowercased() },
                signature: signature)
        }

        /// The value of the header.
        public var headerValue: String {
            let additional =
                additionalHeaders.isEmpty ? "" : ",AdditionalHeaders=\(additionalHeaders.joined(separator: ";"))"
            return "\(algorithm) Credential=\(accessKeyID)/\(scope)\(additional),Signature=\(signature)"
        }

        /// Whether the signature is that of the request under the secret.
        ///
        /// - Parameter date: `yyyymmddThhmmssZ`, as the request has it in its headers or its query.
        public func isRight(for request: WireRequest, date: String, secret: String) -> Bool {
            let expected = OSSSignatureV4.signature(
                of: request, date: date, scope: scope, additionalHeaders: additionalHeaders, secret: secret)
            return ConstantTime.equal(expected, signature.lowercased())
        }
    }

    /// What a URL has that was presigned with version 4.
    public struct Presigned: Hashable, Sendable {
        public var authorization: Authorization
        /// `yyyymmddThhmmssZ`.
        public var date: String
        /// When it was signed, in seconds since 1970-01-01 UTC.
        public var signed: UInt64
        /// For how long it is good, in seconds.
        public var validity: UInt64
        public var securityToken: String?

        /// Nil where the query is not of a URL that was presigned so.
        public init?(parsing query: [QueryItem]) {
            func value(_ name: String) -> String? { query.first { $0.name == name }?.value }
            guard value("x-oss-signature-version") == algorithm, let credential = value("x-oss-credential"),
                let signature = value("x-oss-signature"), let date = value("x-oss-date"),
                let signed = ISO8601.parseBasic(date), let validity = value("x-oss-expires").flatMap({ UInt64($0) }),
                let authorization = Authorization(
                    credential: credential, additionalHeaders: value("x-oss-additional-headers"), signature: signature)
            else { return nil }
            self.authorization = authorization
            self.date = date
            self.signed = signed
            self.validity = validity
            securityToken = value("x-oss-security-token")
        }

        /// Whether the signature is that of the request under the secret; the time is the caller's to look at.
        public func isRight(for request: WireRequest, secret: String) -> Bool {
            authorization.isRight(for: request, date: date, secret: secret)
        }
    }
}
