internal import Glibc
public import ObjectStorage

/// How a bucket is named in a request.
public enum Addressing: String, Hashable, Sendable, CaseIterable {
    /// In the path for IP addresses, `localhost` and other names without a dot, else in the host's name; at S3, in the host's
    /// name only where the endpoint is Amazon's or Alibaba Cloud's, since that takes wildcard names in the DNS.
    case automatic = "auto"
    /// `BUCKET.ENDPOINT/KEY`.
    case virtualHosted = "virtual"
    /// `ENDPOINT/BUCKET/KEY`.
    case pathStyle = "path"
    /// `ENDPOINT/KEY`: the endpoint is a name that belongs to the bucket.
    case customDomain = "cname"
}

/// The address of a store, without a bucket.
public struct StoreEndpoint: Hashable, Sendable {
    /// Whether it is `https://`.
    public let isSecure: Bool
    /// A name or an address, an IPv6 address without its brackets.
    public let host: String
    /// Nil for the scheme's own port.
    public let port: Int?

    /// - Parameter text: `[http[s]://]HOST[:PORT]`, an IPv6 address in brackets; `https` where there is no scheme.
    /// - Throws: `invalid-request`, with what was found and what is wanted.
    public init(_ text: String) throws(StoreError) {
        var rest = Substring(text)
        var isSecure = true
        if let range = rest.firstRange(of: "://") {
            switch rest[..<range.lowerBound].lowercased() {
            case "https": break
            case "http": isSecure = false
            default: throw Self.invalid(text, "its scheme is neither http nor https")
            }
            rest = rest[range.upperBound...]
        }
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        guard !rest.contains("/"), !rest.contains("?"), !rest.contains("#") else {
            throw Self.invalid(text, "there is a path or a query in it")
        }
        guard !rest.contains("@") else { throw Self.invalid("…", "there is a user in it; give credentials apart") }
        var host = rest
        var port: Substring?
        if rest.hasPrefix("[") {
            guard let end = rest.firstIndex(of: "]") else { throw Self.invalid(text, "']' is missing") }
            host = rest[rest.index(after: rest.startIndex)..<end]
            let tail = rest[rest.index(after: end)...]
            guard tail.isEmpty || tail.hasPrefix(":"), Self.isIPv6(String(host)) else {
                throw Self.invalid(text, "what stands in brackets is no IPv6 address, or more than a port follows it")
            }
            port = tail.isEmpty ? nil : tail.dropFirst()
        } else if let colon = rest.lastIndex(of: ":") {
            host = rest[..<colon]
            port = rest[rest.index(after: colon)...]
        }
        let number = port.flatMap { Int($0) }
        guard port == nil || number.map({ (1...65535).contains($0) }) == true else {
            throw Self.invalid(text, "its port is not a number from 1 to 65535")
        }
        guard rest.hasPrefix("[") || Self.isHostName(host) else {
            throw Self.invalid(text, "'\(printable(String(host)))' is no host's name")
        }
        self.isSecure = isSecure
        self.host = host.lowercased()
        self.port = number == (isSecure ? 443 : 80) ? nil : number
    }

    private static func invalid(_ text: String, _ reason: String) -> StoreError {
        StoreError(
            .invalidRequest, "the endpoint '\(printable(text))' can't be used: \(reason); expected https://HOST[:PORT]")
    }

    private static func isHostName(_ text: Substring) -> Bool {
        (1...253).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }

    private static func isIPv6(_ text: String) -> Bool {
        var address = in6_addr()
        return unsafe inet_pton(AF_INET6, text, &address) == 1
    }

    private static func isIPv4(_ text: String) -> Bool {
        var address = in_addr()
        return unsafe inet_pton(AF_INET, text, &address) == 1
    }

    /// Whether the host is an IP address.
    var isAddress: Bool { Self.isIPv4(host) || host.contains(":") }

    /// Whether no name can be put in front of the host, or none that is usually known.
    var isBare: Bool { !host.contains(".") || isAddress || host.hasSuffix(".localhost") }

    /// The value of `Host`, and what stands in a URL, with a bucket in front where it is addressed so.
    func authority(bucket: String?) -> String {
        let name = host.contains(":") ? "[\(host)]" : host
        return "\(bucket.map { "\($0)." } ?? "")\(name)\(port.map { ":\($0)" } ?? "")"
    }
}

extension StoreEndpoint: CustomStringConvertible {
    public var description: String { "\(isSecure ? "https" : "http")://\(authority(bucket: nil))" }
}

/// The text without control characters and at most so long: what a server says is not trusted with a terminal.
func printable(_ text: String, atMost length: Int = 500) -> String {
    var result = ""
    var count = 0
    for scalar in text.unicodeScalars {
        guard count < length else { return result + "…" }
        let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || scalar.properties.isBidiControl
        result.unicodeScalars.append(isControl ? " " : scalar)
        count += 1
    }
    return result
}

/// Where the objects of one bucket are.
struct BucketAddress: Hashable, Sendable {
    let endpoint: StoreEndpoint
    let bucket: String
    let addressing: Addressing

    /// - Parameter wildcardDomains: at S3, the only names in front of which a bucket is put unasked; nil where any will do.
    init(
        _ endpoint: StoreEndpoint, bucket: String, _ addressing: Addressing, wildcardDomains: [String]?
    ) throws(StoreError) {
        let isName = bucket.utf8.allSatisfy {
            switch $0 {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"),
                UInt8(ascii: "."):
                true
            default: false
            }
        }
        guard isName, (3...63).contains(bucket.utf8.count), let first = bucket.first, first != "-", first != "." else {
            throw StoreError(
                .invalidRequest,
                "'\(printable(bucket))' is no bucket's name, which has 3 to 63 lower-case letters, digits and hyphens")
        }
        self.endpoint = endpoint
        self.bucket = bucket
        guard addressing == .automatic else {
            guard addressing != .virtualHosted || !endpoint.isAddress else {
                throw StoreError(
                    .invalidRequest,
                    "no name can stand in front of the address \(endpoint.host), so a bucket can't be addressed by its host; use "
                        + "--addressing path, or a name for the endpoint")
            }
            self.addressing = addressing
            return
        }
        // A certificate for *.endpoint is good for one name in front, not for two.
        let takesNames =
            !endpoint.isBare && !bucket.contains(".")
            && (wildcardDomains.map { $0.contains { endpoint.host.hasSuffix(".\($0)") } } ?? true)
        self.addressing = takesNames ? .virtualHosted : .pathStyle
    }

    var authority: String { endpoint.authority(bucket: addressing == .virtualHosted ? bucket : nil) }

    /// The path of a request before it is escaped.
    ///
    /// - Parameter key: nil for a request to the bucket.
    func path(_ key: String?) -> String {
        switch addressing {
        case .pathStyle, .automatic: "/\(bucket)\(key.map { "/\($0)" } ?? "/")"
        case .virtualHosted, .customDomain: "/\(key ?? "")"
        }
    }
}
