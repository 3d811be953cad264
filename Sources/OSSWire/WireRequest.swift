/// A name with or without a value, as it stands in the query of a URL; neither is escaped.
public struct QueryItem: Hashable, Sendable {
    public var name: String
    /// Nil where there is no `=`.
    public var value: String?

    public init(_ name: String, _ value: String? = nil) {
        self.name = name
        self.value = value
    }

    /// The items of a query that was received; `+` stands for itself, as in every signature here.
    ///
    /// - Returns: nil where an escape is malformed or does not stand for UTF-8.
    public static func parse(_ query: String) -> [QueryItem]? {
        var items: [QueryItem] = []
        for pair in query.utf8.split(separator: UInt8(ascii: "&")) {
            let halves = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = PercentEncoding.decode(String(Substring(halves[0]))) else { return nil }
            guard halves.count == 2 else {
                items.append(QueryItem(name))
                continue
            }
            guard let value = PercentEncoding.decode(String(Substring(halves[1]))) else { return nil }
            items.append(QueryItem(name, value))
        }
        return items
    }

    /// The query as it is sent, in the order of the items; empty where there are none.
    public static func render(_ items: [QueryItem]) -> String {
        items.map { item in
            let name = PercentEncoding.encode(item.name)
            return item.value.map { "\(name)=\(PercentEncoding.encode($0))" } ?? name
        }.joined(separator: "&")
    }
}

/// One header of a request or an answer.
public struct HeaderField: Hashable, Sendable {
    public var name: String
    public var value: String

    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// What of a request is signed: it knows nothing of a host or a connection.
public struct WireRequest: Sendable {
    /// In capitals.
    public var method: String
    /// Nil for a request to the service itself.
    public var bucket: String?
    /// Not escaped; nil for a request to the bucket or the service.
    public var key: String?
    public var query: [QueryItem]
    public var headers: [HeaderField]

    public init(
        method: String, bucket: String? = nil, key: String? = nil, query: [QueryItem] = [],
        headers: [HeaderField] = []
    ) {
        self.method = method
        self.bucket = bucket
        self.key = key
        self.query = query
        self.headers = headers
    }

    /// The value of the first header of that name, whatever the case of its letters.
    public func header(_ name: String) -> String? {
        let name = name.lowercased()
        return headers.first { $0.name.lowercased() == name }?.value
    }

    /// Puts a header in the place of all of that name.
    public mutating func setHeader(_ name: String, _ value: String) {
        let lowered = name.lowercased()
        headers.removeAll { $0.name.lowercased() == lowered }
        headers.append(HeaderField(name, value))
    }

    /// The first query item of that name, which is case-sensitive.
    public func queryItem(_ name: String) -> QueryItem? { query.first { $0.name == name } }

    /// `/bucket/key`, `/bucket/` or `/`, not escaped: what both versions of the OSS signature call the resource, however the
    /// bucket is addressed.
    var resource: String {
        guard let bucket else { return "/" }
        return "/\(bucket)/\(key ?? "")"
    }

    /// Headers that `isSigned` takes, by lower-case name in order, values trimmed, those of one name joined by a comma.
    func canonicalHeaders(where isSigned: (_ lowerCaseName: String) -> Bool) -> [(name: String, value: String)] {
        var values: [String: String] = [:]
        for header in headers {
            let name = header.name.lowercased()
            guard isSigned(name) else { continue }
            let value = header.value.trimmingSpaces
            values[name] = values[name].map { "\($0),\(value)" } ?? value
        }
        return values.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// The query, escaped and sorted by escaped name, then value.
    ///
    /// - Parameter keepsEqualsSign: whether `=` stands behind a name without a value.
    func canonicalQuery(leavingOut excluded: String? = nil, keepsEqualsSign: Bool) -> String {
        let pairs = query.filter { $0.name != excluded }.map {
            (PercentEncoding.encode($0.name), PercentEncoding.encode($0.value ?? ""))
        }
        let sorted = pairs.sorted { $0.0 == $1.0 ? $0.1 < $1.1 : $0.0 < $1.0 }
        return sorted.map { $0.1.isEmpty && !keepsEqualsSign ? $0.0 : "\($0.0)=\($0.1)" }.joined(separator: "&")
    }
}

extension String {
    /// The text without spaces and tabs at its ends.
    var trimmingSpaces: String {
        let isSpace = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
        guard let first = utf8.firstIndex(where: { !isSpace($0) }), let last = utf8.lastIndex(where: { !isSpace($0) })
        else { return "" }
        return String(self[first...last])
    }
}
