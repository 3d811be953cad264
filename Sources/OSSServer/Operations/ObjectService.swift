internal import NIOCore
internal import OSSWire
internal import ObjectStorage

/// The operations of OSS over a directory store; each group of them has a file.
struct ObjectService: Sendable {
    let store: DirectoryStore
    let pool: BlockingPool
    /// As `cn-hangzhou`.
    let region: String
    /// What all buckets and objects belong to.
    static let owner = "lathe"

    func answer(_ operation: Operation, _ request: OSSRequest) async throws -> Answer {
        switch operation {
        case .listBuckets: try await listBuckets(request)
        case .putBucket: try await putBucket(request)
        case .deleteBucket: try await deleteBucket(request)
        case .bucketInfo: try await bucketInfo(request)
        case .bucketLocation: try await bucketLocation(request)
        case .bucketStat: try await bucketStat(request)
        case .bucketACL: try await bucketACL(request)
        case .putBucketACL: try await putBucketACL(request)
        case .bucketEncryption: try await bucketEncryption(request)
        case .putBucketEncryption: try await putBucketEncryption(request)
        case .deleteBucketEncryption: try await deleteBucketEncryption(request)
        case .listObjects: try await listObjects(request)
        case .listObjectsV2: try await listObjectsV2(request)
        case .listUploads: try await listUploads(request)
        case .deleteObjects: try await deleteObjects(request)
        case .putObject: try await putObject(request)
        case .copyObject: try await copyObject(request)
        case .getObject: try await getObject(request)
        case .headObject: try await headObject(request)
        case .objectMeta: try await objectMeta(request)
        case .deleteObject: try await deleteObject(request)
        case .objectACL: try await objectACL(request)
        case .putObjectACL: try await putObjectACL(request)
        case .initiateUpload: try await initiateUpload(request)
        case .uploadPart: try await uploadPart(request)
        case .copyPart: try await copyPart(request)
        case .completeUpload: try await completeUpload(request)
        case .abortUpload: try await abortUpload(request)
        case .listParts: try await listParts(request)
        }
    }

    /// The name of the bucket of a request.
    func bucketName(_ request: OSSRequest) throws(OSSFailure) -> BucketName {
        try bucketName(request.wire.bucket ?? "")
    }

    func bucketName(_ name: String) throws(OSSFailure) -> BucketName {
        do throws(StoreError) {
            return try BucketName(name)
        } catch {
            throw OSSFailure(
                400, "InvalidBucketName", "The specified bucket is not valid: \(error.message).",
                details: [("BucketName", name)])
        }
    }

    /// Runs what blocks on the bucket of a request.
    ///
    /// - Throws: `no-such-bucket`.
    func withBucket<Value: Sendable>(
        _ request: OSSRequest, _ body: @escaping @Sendable (DirectoryBucket) throws -> Value
    ) async throws -> Value {
        let name = try bucketName(request)
        return try await pool.run { try body(store.bucket(name)) }
    }

    /// The key of the object of a request.
    func key(_ request: OSSRequest) throws(OSSFailure) -> ObjectKey { try key(request.wire.key ?? "") }

    func key(_ name: String) throws(OSSFailure) -> ObjectKey {
        do throws(StoreError) {
            return try ObjectKey(name)
        } catch {
            throw OSSFailure(
                400, "InvalidObjectName", "The specified object is not valid: \(error.message).")
        }
    }
}
