public import ObjectStorage

/// Opens buckets: of the embedded store, or of a real OSS or S3 endpoint.
///
/// Calls block and come from threads that may wait.
public protocol BucketProvider: Sendable {
    /// - Returns: nil where the store has no such bucket.
    func facts(of bucket: String) throws(StoreError) -> BucketFacts?

    /// - Throws: `no-such-bucket`; `invalid-request` for a name that is none.
    func open(_ bucket: String) throws(StoreError) -> any ObjectStore

    /// Makes a bucket; that it is there already is no error.
    func create(_ bucket: String) throws(StoreError)
}

public struct BucketFacts: Hashable, Sendable {
    /// How it encrypts what is put there by default: `AES256`, `KMS`; nil does not.
    public var encryption: String?
    /// As `Standard`; `Archive` and its like can't be read at once.
    public var storageClass: String

    public init(encryption: String? = nil, storageClass: String = "Standard") {
        self.encryption = encryption
        self.storageClass = storageClass
    }
}
