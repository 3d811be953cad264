public import OSSWire
public import ObjectStorage

/// A bucket of OSS, or of a server that speaks as it does.
///
/// Its calls wait for the network, so they are made from threads that may wait, and never from an event loop. The connections
/// are its own, shared by its copies; `shutdown` closes them, and so does the end of the last copy.
///
/// - A part or object is refused unless the CRC-64 that the server answers is that of what was sent; a server that answers
///   none is believed. The CRC-64 of a completed object is compared with that of its parts.
/// - `setAttributes` copies the object onto itself: an ACL that is not among the attributes is the bucket's from then on.
public struct OSSBucket: ObjectStore {
    private let client: BucketClient<OSSDialect>

    /// - Parameter credentials: nil sends requests without a signature, for what everybody may read.
    /// - Throws: `invalid-request` where the bucket's name or the file of certificates can't be used.
    public init(_ bucket: String, _ configuration: OSSConfiguration, _ credentials: Credentials?) throws(StoreError) {
        let address = try BucketAddress(
            configuration.endpoint, bucket: bucket, configuration.addressing, wildcardDomains: nil)
        client = try BucketClient(
            OSSDialect(configuration: configuration, credentials: credentials), address, configuration.connection)
    }

    public var name: String { client.name }
    public var location: String { client.location }
    public var limits: MultipartLimits { OSSDialect.limits }

    /// Closes all connections; calls that are under way fail, and so do later ones.
    public func shutdown() { client.shutdown() }

    /// Makes the bucket.
    ///
    /// - Throws: `bucket-exists`, where the server says so: to many, making one's own bucket again is no error.
    public func createBucket() throws(StoreError) { try client.createBucket() }

    /// Asks how the bucket keeps what is put there.
    public func properties() throws(StoreError) -> OSSBucketProperties {
        let answer = try client.make(BucketCall(method: "GET", query: [QueryItem("bucketInfo")], subject: .bucket))
        let bucket = try client.tree(answer, "BucketInfo", "GET ?bucketInfo")["Bucket"]
        guard let storageClass = bucket?["StorageClass"]?.text, !storageClass.isEmpty else {
            throw client.malformed("the answer does not say the bucket's storage class", "GET ?bucketInfo")
        }
        let algorithm = bucket?["ServerSideEncryptionRule"]?["SSEAlgorithm"]?.text ?? ""
        // The word "None" stands for no encryption (oss2 2.19.1, xml_utils.py).
        return OSSBucketProperties(
            storageClass: storageClass, encryption: ["", "None"].contains(algorithm) ? nil : algorithm)
    }

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
}
