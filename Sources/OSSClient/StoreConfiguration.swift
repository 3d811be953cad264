public import ObjectStorage

/// What is the same for every store that is reached over HTTP.
public struct ConnectionOptions: Hashable, Sendable {
    /// How long a connection may take, TLS included, in seconds.
    public var connectTimeout: Double
    /// How long a connection may stand still in either direction, in seconds; then the request ends in a transient error.
    public var idleTimeout: Double
    /// How long the server may think about completing or copying an object before it says a first word, in seconds.
    public var completionTimeout: Double
    /// At most so many requests at once; others wait for their turn.
    public var connections: Int
    /// A file of certificates in PEM that are trusted besides the system's own.
    public var caCertificatePath: String?

    public init(
        connectTimeout: Double = 10, idleTimeout: Double = 30, completionTimeout: Double = 300, connections: Int = 64,
        caCertificatePath: String? = nil
    ) {
        self.connectTimeout = connectTimeout
        self.idleTimeout = idleTimeout
        self.completionTimeout = completionTimeout
        self.connections = connections
        self.caCertificatePath = caCertificatePath
    }
}

/// Where an OSS is, and how it is spoken to.
public struct OSSConfiguration: Hashable, Sendable {
    /// Which signature a request gets.
    public enum SignatureVersion: String, Hashable, Sendable, CaseIterable {
        /// HMAC-SHA1, for endpoints that know no other.
        case v1
        /// HMAC-SHA256; it takes the region.
        case v4
    }

    public var endpoint: StoreEndpoint
    /// As `cn-hangzhou`; only version 4 of the signature takes it.
    public var region: String
    public var addressing: Addressing
    public var signature: SignatureVersion
    /// Whether every part has a Content-MD5, so that a damaged one is refused; objects that are put whole always have one.
    public var sendsContentMD5: Bool
    public var connection: ConnectionOptions

    /// - Parameters:
    ///   - endpoint: nil for the public one of the region.
    ///   - region: nil where the endpoint tells it, as `oss-cn-hangzhou.aliyuncs.com` does.
    /// - Throws: `invalid-request` where neither tells the region, and the signature takes it.
    public init(
        endpoint: String? = nil, region: String? = nil, addressing: Addressing = .automatic,
        signature: SignatureVersion = .v4, sendsContentMD5: Bool = false, connection: ConnectionOptions = .init()
    ) throws(StoreError) {
        guard let endpoint = endpoint ?? region.map({ "https://oss-\($0).aliyuncs.com" }) else {
            throw StoreError(
                .invalidRequest, "neither an endpoint nor a region of OSS is given; one of the two is needed")
        }
        self.endpoint = try StoreEndpoint(endpoint)
        let region = region ?? Self.region(ofEndpoint: self.endpoint.host)
        guard region != nil || signature == .v1 else {
            throw StoreError(
                .invalidRequest,
                "the endpoint '\(self.endpoint)' does not tell its region, which the signature takes; "
                    + "give the region, such as cn-hangzhou")
        }
        self.region = region ?? ""
        self.addressing = addressing
        self.signature = signature
        self.sendsContentMD5 = sendsContentMD5
        self.connection = connection
    }

    /// The region in `oss-REGION[-internal].aliyuncs.com`, with anything in front (OSS, "Regions and endpoints").
    static func region(ofEndpoint host: String) -> String? {
        guard host.hasSuffix(".aliyuncs.com"),
            let label = host.dropLast(".aliyuncs.com".count).split(separator: ".").last, label.hasPrefix("oss-")
        else { return nil }
        var region = label.dropFirst(4)
        if region.hasSuffix("-internal") { region = region.dropLast(9) }
        // `oss-accelerate` and `oss-accelerate-overseas` are in no region.
        return region.isEmpty || region.hasPrefix("accelerate") ? nil : String(region)
    }
}

/// Where an S3 is, and how it is spoken to.
public struct S3Configuration: Hashable, Sendable {
    public var endpoint: StoreEndpoint
    public var region: String
    public var addressing: Addressing
    public var connection: ConnectionOptions

    /// - Parameters:
    ///   - endpoint: nil for Amazon's in the region.
    ///   - region: nil where the endpoint tells it, else `us-east-1`, which servers of others take.
    public init(
        endpoint: String? = nil, region: String? = nil, addressing: Addressing = .automatic,
        connection: ConnectionOptions = .init()
    ) throws(StoreError) {
        let address = try StoreEndpoint(endpoint ?? "https://s3.\(region ?? "us-east-1").amazonaws.com")
        self.endpoint = address
        self.region = region ?? Self.region(ofEndpoint: address.host) ?? "us-east-1"
        self.addressing = addressing
        self.connection = connection
    }

    /// The region in `s3.REGION.amazonaws.com`, or in the S3 endpoints of OSS, `s3.oss-REGION[-internal].aliyuncs.com`.
    static func region(ofEndpoint host: String) -> String? {
        for domain in [".amazonaws.com", ".amazonaws.com.cn"] where host.hasSuffix(domain) {
            let labels = host.dropLast(domain.count).split(separator: ".")
            guard let last = labels.last, labels.contains("s3"), last != "s3" else { return nil }
            return String(last)
        }
        return OSSConfiguration.region(ofEndpoint: host)
    }
}
