internal import OSSWire
internal import ObjectStorage

/// What the first line of a request names: a path, still escaped, and a query.
struct RequestTarget {
    /// Begins with `/`.
    let path: Substring
    /// Not escaped.
    let query: [QueryItem]

    /// - Throws: `InvalidURI` for what is no path, and for escapes that stand for nothing.
    init(_ target: String) throws(OSSFailure) {
        let halves = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        guard let path = halves.first, path.utf8.first == UInt8(ascii: "/") else {
            throw Self.invalid("the path of the request does not begin with '/'")
        }
        self.path = path
        var items: [QueryItem] = []
        for pair in (halves.count == 2 ? halves[1] : "").split(separator: "&") {
            let item = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            items.append(try QueryItem(Self.unescaped(item[0]), item.count == 2 ? Self.unescaped(item[1]) : nil))
        }
        query = items
    }

    /// The bucket and the key of a path-style request: `/bucket/key`.
    func pathStyle() throws(OSSFailure) -> RequestAddress {
        let halves = path.dropFirst().split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let bucket = halves.first, !bucket.isEmpty else { return RequestAddress() }
        let key = halves.count == 2 ? try Self.unescaped(halves[1], plusIsSpace: false) : ""
        return RequestAddress(
            bucket: try Self.unescaped(bucket, plusIsSpace: false), key: key.isEmpty ? nil : key)
    }

    /// The key of a request whose host names the bucket: `/key`.
    func virtualHost(bucket: String) throws(OSSFailure) -> RequestAddress {
        let key = try Self.unescaped(path.dropFirst(), plusIsSpace: false)
        return RequestAddress(bucket: bucket, key: key.isEmpty ? nil : key)
    }

    /// The clients that make their query as a form send a space as `+`, and sign it as `%20`.
    private static func unescaped(_ text: Substring, plusIsSpace: Bool = true) throws(OSSFailure) -> String {
        guard let text = PercentEncoding.decode(String(text), plusIsSpace: plusIsSpace) else {
            throw invalid("an escape in it is not '%' with two hexadecimal digits, or does not stand for UTF-8")
        }
        return text
    }

    private static func invalid(_ reason: String) -> OSSFailure {
        OSSFailure(400, "InvalidURI", "The address of the request can't be read: \(reason).")
    }
}

/// What a request is about: the service, a bucket or an object.
struct RequestAddress: Hashable, Sendable {
    var bucket: String?
    var key: String?
}

/// The `Host` field of a request, without its port.
struct RequestHost {
    /// In lower case.
    let name: String

    init(_ field: String) {
        let name =
            field.hasPrefix("[") ? field.prefix { $0 != "]" } + "]" : field.prefix { $0 != ":" }
        self.name = name.lowercased()
    }

    /// The first label and what stands behind it, where the host may be that of a bucket: it is neither an address nor a
    /// single word such as `localhost`.
    var labels: (first: String, rest: String)? {
        let isAddress = name.hasPrefix("[") || name.utf8.allSatisfy { $0 == UInt8(ascii: ".") || decimalDigits ~= $0 }
        guard !isAddress, let dot = name.firstIndex(of: "."), dot != name.startIndex else { return nil }
        let rest = name[name.index(after: dot)...]
        return rest.isEmpty ? nil : (String(name[..<dot]), String(rest))
    }

    private var decimalDigits: ClosedRange<UInt8> { UInt8(ascii: "0")...UInt8(ascii: "9") }
}
