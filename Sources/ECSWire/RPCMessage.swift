public import OSSWire

/// A request as it came, taken apart, whose sender nothing is known of yet.
public struct RPCMessage: Sendable {
    /// `GET` or `POST`.
    public let method: String
    /// Not escaped, in the order in which they came.
    public let query: [QueryItem]
    /// `Host` included.
    public let headers: [HeaderField]
    /// The SHA-256 of the body, in lower-case hexadecimal digits.
    public let bodySHA256: String
    /// All that query and form have; a name without a value has an empty one.
    public let parameters: [String: String]

    /// What a request may take.
    public struct Limits: Hashable, Sendable {
        /// Of query and body together, still escaped, in bytes.
        public var length = 64 << 10
        /// The number of parameters.
        public var parameters = 400
        /// Of one parameter's name, in bytes.
        public var nameLength = 128

        public init() {}
    }

    /// - Parameter query: what stands behind `?`, still escaped.
    /// - Throws: where it is beyond the limits, is no form in UTF-8, says a thing twice, or holds control characters.
    public init(
        method: String, query: String, headers: [HeaderField], body: [UInt8], limits: Limits = .init()
    ) throws(APIError) {
        guard method == "GET" || method == "POST" else { throw .unsupportedMethod }
        guard query.utf8.count + body.count <= limits.length else { throw .requestTooLarge(limit: limits.length) }
        self.method = method
        self.headers = headers
        self.query = try Self.items(query, limit: limits.parameters)
        bodySHA256 = SigningDigest.sha256(body)
        let form = try Self.form(body, headers, limit: limits.parameters - self.query.count)
        parameters = try Self.parameters(self.query + form, limits)
    }

    /// The value of the only header of that name; nil where there is none.
    ///
    /// - Throws: where there are two: which one counts, others might see differently.
    func header(_ name: String) throws(APIError) -> String? {
        let found = headers.filter { $0.name.lowercased() == name }
        guard found.count <= 1 else { throw .malformedRequest("the header \(name) is there more than once") }
        return found.first?.value
    }
}

extension RPCMessage {
    private static func form(_ body: [UInt8], _ headers: [HeaderField], limit: Int) throws(APIError) -> [QueryItem] {
        guard !body.isEmpty else { return [] }
        let types = headers.filter { $0.name.lowercased() == "content-type" }
        guard types.count == 1, isForm(types[0].value) else { throw .unsupportedMediaType }
        guard let text = String(validating: body, as: UTF8.self) else {
            throw .malformedRequest("its form is not in UTF-8")
        }
        return try items(text, limit: limit)
    }

    private static func isForm(_ contentType: String) -> Bool {
        let parts = contentType.lowercased().split(separator: ";").map { $0.filter { $0 != " " } }
        return parts.first == "application/x-www-form-urlencoded"
            && parts.dropFirst().allSatisfy { $0 == "charset=utf-8" }
    }

    private static func items(_ text: String, limit: Int) throws(APIError) -> [QueryItem] {
        var items: [QueryItem] = []
        for pair in text.utf8.split(separator: UInt8(ascii: "&")) {
            guard items.count < limit else { throw .malformedRequest("it has too many parameters") }
            let halves = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            let name = try unescaped(halves[0])
            items.append(QueryItem(name, halves.count == 2 ? try unescaped(halves[1]) : nil))
        }
        return items
    }

    /// A space comes as `+` or as `%20`, and a plus sign as `%2B`.
    private static func unescaped(_ text: Substring.UTF8View) throws(APIError) -> String {
        guard let decoded = PercentEncoding.decode(String(Substring(text)), plusIsSpace: true) else {
            throw .malformedRequest(
                "an escape in its parameters is not '%' with two hexadecimal digits, or does not stand for UTF-8")
        }
        return decoded
    }

    private static func parameters(_ items: [QueryItem], _ limits: Limits) throws(APIError) -> [String: String] {
        var parameters: [String: String] = [:]
        for item in items {
            guard (1...limits.nameLength).contains(item.name.utf8.count), !item.name.hasControls(besides: "") else {
                throw .malformedRequest("the name of a parameter is empty, too long or has control characters in it")
            }
            let value = item.value ?? ""
            // A policy in JSON has line breaks.
            guard !value.hasControls(besides: "\t\n\r") else {
                throw .invalidParameter(item.name, "it has control characters in it")
            }
            guard parameters.updateValue(value, forKey: item.name) == nil else {
                throw .invalidParameter(item.name, "it is there more than once")
            }
        }
        return parameters
    }
}

extension String {
    /// Whether it has characters that change what a terminal, a log or a header shows.
    func hasControls(besides allowed: String) -> Bool {
        unicodeScalars.contains { scalar in
            scalar.properties.generalCategory == .control && !allowed.unicodeScalars.contains(scalar)
        }
    }

    /// Whether it consists of letters, digits and `others`, all in ASCII, and has a length that is allowed, in bytes.
    func isWord(_ length: ClosedRange<Int>, others: String = "") -> Bool {
        length.contains(utf8.count)
            && unicodeScalars.allSatisfy { scalar in
                switch scalar {
                case "a"..."z", "A"..."Z", "0"..."9": true
                default: others.unicodeScalars.contains(scalar)
                }
            }
    }
}
