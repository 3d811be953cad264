internal import Crypto
public import OSSWire
public import ObjectStorage

/// A bucket of S3, or of a server that speaks as it does.
///
/// Its calls wait for the network, so they are made from threads that may wait, and never from an event loop. The connections
/// are its own, shared by its copies; `shutdown` closes them, and so does the end of the last copy.
///
/// - Every body is sent with its MD5, which the server checks, and without TLS with its SHA-256 in the signature: so it is
///   read twice. An ETag that is an MD5 is compared.
/// - Not to replace an object is asked by `If-None-Match`, and by looking first, since not every server heeds that header:
///   with such a server, two who write at the same time may still replace each other's object.
/// - `setAttributes` copies the object onto itself, up to 5 GiB: an ACL that is not among the attributes becomes private.
public struct S3Bucket: ObjectStore {
    private let client: BucketClient<S3Dialect>

    /// - Parameter credentials: nil sends requests without a signature, for what everybody may read.
    /// - Throws: `invalid-request` where the bucket's name or the file of certificates can't be used.
    public init(_ bucket: String, _ configuration: S3Configuration, _ credentials: Credentials?) throws(StoreError) {
        let address = try BucketAddress(
            configuration.endpoint, bucket: bucket, configuration.addressing,
            wildcardDomains: ["amazonaws.com", "amazonaws.com.cn", "aliyuncs.com"])
        let dialect = S3Dialect(configuration: configuration, authority: address.authority, credentials: credentials)
        client = try BucketClient(dialect, address, configuration.connection)
    }

    public var name: String { client.name }
    public var location: String { client.location }
    public var limits: MultipartLimits { S3Dialect.limits }

    /// Closes all connections; calls that are under way fail, and so do later ones.
    public func shutdown() { client.shutdown() }

    /// Makes the bucket.
    ///
    /// - Throws: `bucket-exists`, where the server says so: to many, making one's own bucket again is no error.
    public func createBucket() throws(StoreError) { try client.createBucket() }

    public func put(
        _ body: ObjectBody, to key: ObjectKey, _ attributes: ObjectAttributes, replacing: Bool
    ) throws(StoreError) -> ObjectSummary {
        try client.put(body, to: key, attributes, replacing: replacing)
    }

    public func initiate(
        _ key: ObjectKey, _ attributes: ObjectAttributes, partLength: UInt64, replacing: Bool
    ) throws(StoreError) -> MultipartUpload {
        try client.initiate(key, attributes, replacing: replacing)
    }

    public func upload(
        _ body: ObjectBody, asPart number: Int, of upload: MultipartUpload
    ) throws(StoreError) -> StoredPart {
        try client.upload(body, asPart: number, of: upload)
    }

    public func parts(of upload: MultipartUpload) throws(StoreError) -> [StoredPart] { try client.parts(of: upload) }

    public func complete(
        _ upload: MultipartUpload, parts: [StoredPart], replacing: Bool
    ) throws(StoreError) -> ObjectSummary {
        try client.complete(upload, parts: parts, replacing: replacing)
    }

    public func abort(_ upload: MultipartUpload) throws(StoreError) { try client.abort(upload) }

    public func uploads(prefix: String) throws(StoreError) -> [MultipartUpload] { try client.uploads(prefix: prefix) }

    public func get(_ key: ObjectKey, range: Range<UInt64>, tag: String?) throws(StoreError) -> [UInt8] {
        try client.get(key, range: range, tag: tag)
    }

    public func head(_ key: ObjectKey) throws(StoreError) -> ObjectSummary { try client.head(key) }

    public func list(prefix: String, after key: String?, count: Int) throws(StoreError) -> ObjectPage {
        try client.list(prefix: prefix, after: key, count: count)
    }

    public func delete(_ key: ObjectKey) throws(StoreError) { try client.delete(key) }

    public func setAttributes(_ attributes: ObjectAttributes, of key: ObjectKey, tag: String) throws(StoreError) {
        try client.setAttributes(attributes, of: key, tag: tag)
    }

    /// By the MD5 that a part's tag is ("UploadPart", response headers), unless the server encrypts parts with a managed key.
    public func holds(_ body: ObjectBody, as part: StoredPart) throws(StoreError) -> Bool {
        guard part.length == body.length else { return false }
        let reading = try BodyReading(body, md5: true, sha256: false)
        return part.tag.lowercased() == Hexadecimal.encode(reading.md5 ?? [])
    }

    /// By the tag of an object of parts: the MD5 of their MD5s, a hyphen and their number; that is how Amazon and most others
    /// make it, though nobody promises it.
    public func isObject(_ object: ObjectSummary, madeOf parts: [StoredPart], crc64: UInt64) -> Bool {
        guard object.length == parts.reduce(0, { $0 + $1.length }) else { return false }
        var digests: [UInt8] = []
        for part in parts {
            guard let digest = Hexadecimal.decode(part.tag), digest.count == 16 else { return false }
            digests += digest
        }
        return object.tag.lowercased() == "\(Hexadecimal.encode(Insecure.MD5.hash(data: digests)))-\(parts.count)"
    }
}
