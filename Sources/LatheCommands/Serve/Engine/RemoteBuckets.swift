internal import ExportService
internal import OSSClient
internal import ObjectStorage
internal import Synchronization

/// The buckets of an endpoint of OSS or S3, or of a directory that the user named.
///
/// A bucket is opened once, and its connections serve all exports to it.
final class RemoteBuckets: BucketProvider {
    private let arguments: StoreArguments
    private let scheme: StoreLocation.Scheme
    private let opened = Mutex<[String: any ObjectStore]>([:])

    init(_ arguments: StoreArguments, scheme: StoreLocation.Scheme) {
        self.arguments = arguments
        self.scheme = scheme
    }

    func facts(of bucket: String) throws(StoreError) -> BucketFacts? {
        do throws(StoreError) {
            switch try open(bucket) {
            case let directory as DirectoryBucket: return try BucketFacts(directory)
            case let oss as OSSBucket:
                let properties = try oss.properties()
                return BucketFacts(encryption: properties.encryption, storageClass: properties.storageClass)
            case let other:
                // S3 encrypts everything with a key of its own and hands it out in the clear: that is no hindrance.
                _ = try other.list(prefix: "", after: nil, count: 1)
                return BucketFacts()
            }
        } catch {
            if error.code == .noSuchBucket { return nil }
            throw error
        }
    }

    func open(_ bucket: String) throws(StoreError) -> any ObjectStore {
        if let store = opened.withLock({ $0[bucket] }) { return store }
        let store = try make(bucket, creating: false)
        return opened.withLock { opened in
            // Another thread may have been first.
            if let first = opened[bucket] { return first }
            opened[bucket] = store
            return store
        }
    }

    func create(_ bucket: String) throws(StoreError) {
        do throws(StoreError) {
            switch try make(bucket, creating: true) {
            case let oss as OSSBucket: try oss.createBucket()
            case let s3 as S3Bucket: try s3.createBucket()
            default: return
            }
        } catch {
            guard error.code == .bucketExists else { throw error }
        }
    }

    private func make(_ bucket: String, creating: Bool) throws(StoreError) -> any ObjectStore {
        try arguments.bucket(StoreLocation(scheme: scheme, bucket: bucket), creating: creating)
    }
}
