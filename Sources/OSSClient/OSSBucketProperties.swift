/// How a bucket of OSS keeps what is put there (OSS, "GetBucketInfo").
public struct OSSBucketProperties: Hashable, Sendable {
    /// As `Standard`, `IA`, `Archive`.
    public var storageClass: String
    /// How objects are encrypted by default: `AES256`, `KMS`; nil for not at all.
    public var encryption: String?
}
