internal import ExportService
internal import ObjectStorage

/// The buckets of the embedded store.
struct DirectoryBuckets: BucketProvider {
    let store: DirectoryStore

    func facts(of bucket: String) throws(StoreError) -> BucketFacts? {
        do throws(StoreError) {
            return try BucketFacts(store.bucket(BucketName(bucket)))
        } catch {
            if error.code == .noSuchBucket { return nil }
            throw error
        }
    }

    func open(_ bucket: String) throws(StoreError) -> any ObjectStore { try store.bucket(BucketName(bucket)) }

    func create(_ bucket: String) throws(StoreError) { _ = try store.ensureBucket(BucketName(bucket)) }
}

extension BucketFacts {
    /// By what the OSS endpoint keeps of a bucket.
    init(_ bucket: DirectoryBucket) throws(StoreError) {
        let settings = try bucket.settings()
        self.init(encryption: settings["encryption"], storageClass: settings["storage-class"] ?? "Standard")
    }
}
