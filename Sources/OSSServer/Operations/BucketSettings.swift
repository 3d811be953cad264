internal import ObjectStorage

/// What is kept of a bucket beside its objects.
struct BucketSettings: Sendable {
    static let acls = ["private", "public-read", "public-read-write"]

    var acl = "private"
    var storageClass = "Standard"
    /// `AES256`, `KMS` or `SM4`; nil for none.
    var encryption: String?
    var encryptionKeyID: String?

    init() {}

    init(_ stored: [String: String]) {
        acl = stored["acl"] ?? acl
        storageClass = stored["storage-class"] ?? storageClass
        encryption = stored["encryption"]
        encryptionKeyID = stored["encryption-key-id"]
    }

    var stored: [String: String] {
        var stored = ["acl": acl, "storage-class": storageClass]
        stored["encryption"] = encryption
        stored["encryption-key-id"] = encryptionKeyID
        return stored
    }

    /// Nothing is encrypted here, so a bucket that promises it takes no objects.
    ///
    /// - Throws: `NotImplemented`.
    func requireNoEncryption() throws(OSSFailure) {
        guard let encryption else { return }
        throw .notImplemented(
            "the encryption (\(encryption)) that is set for the bucket; it stores objects as they are, so it stores none there"
        )
    }
}

extension DirectoryBucket {
    /// What the server keeps of the bucket; it blocks.
    func serverSettings() throws(StoreError) -> BucketSettings { BucketSettings(try settings()) }
}
