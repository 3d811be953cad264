internal import OSSWire
public import ObjectStorage

/// Who is let in and what each of them may do, where it is not the same for all keys.
///
/// Calls block and come from threads that may wait.
public protocol AccessControl: Sendable {
    /// - Returns: nil where there is no such key, or it is disabled.
    func credential(_ accessKeyID: String) throws(StoreError) -> ServerCredential?

    /// Whether the owner of a key may do something; an object is asked for in a bucket, a bucket by itself.
    func verdict(on access: ObjectAccess, by accessKeyID: String) throws(StoreError) -> AccessVerdict

    /// Whether a list of buckets shows one to the owner of a key.
    func shows(_ bucket: String, to accessKeyID: String) throws(StoreError) -> Bool

    /// Makes a bucket that is about to be made the key's owner's.
    ///
    /// - Throws: `bucket-exists` where it is somebody else's.
    func claim(_ bucket: String, for accessKeyID: String) throws(StoreError)

    /// Forgets whose a bucket was that has been deleted.
    func release(_ bucket: String) throws(StoreError)
}

/// Something that a policy may allow.
public struct ObjectAccess: Hashable, Sendable {
    /// As RAM calls it: `oss:GetObject`.
    public var action: String
    /// nil for a list of all buckets.
    public var bucket: String?
    /// nil for the bucket itself.
    public var key: String?
    /// Whether it is done to a bucket in making it: there may be none yet, and whose it is `claim` says.
    public var makesBucket: Bool

    public init(_ action: String, bucket: String? = nil, key: String? = nil, makesBucket: Bool = false) {
        self.action = action
        self.bucket = bucket
        self.key = key
        self.makesBucket = makesBucket
    }
}

public enum AccessVerdict: Hashable, Sendable {
    case allowed, denied
    /// There is no such bucket, whatever stands in the store's directory.
    case noSuchBucket
}

/// What the sender of one request may do.
struct Permit: Sendable {
    /// nil where every key may do everything.
    let control: (any AccessControl)?
    let caller: Caller

    /// May do everything: for a server without access control.
    static let everything = Permit(control: nil, caller: .anybody)

    /// - Throws: `AccessDenied`, `NoSuchBucket`.
    func require(_ accesses: [ObjectAccess]) throws {
        guard let control, case .key(let id) = caller else { return }
        for access in accesses {
            switch try control.verdict(on: access, by: id) {
            case .allowed: continue
            case .denied:
                throw OSSFailure.accessDenied(
                    "You have no right to access this object because of bucket acl.")
            case .noSuchBucket: throw StoreError(.noSuchBucket, "there is no bucket '\(access.bucket ?? "")'")
            }
        }
    }

    func shows(_ bucket: String) throws(StoreError) -> Bool {
        guard let control, case .key(let id) = caller else { return true }
        return try control.shows(bucket, to: id)
    }

    func claim(_ bucket: String) throws(StoreError) {
        guard let control, case .key(let id) = caller else { return }
        try control.claim(bucket, for: id)
    }

    func release(_ bucket: String) throws(StoreError) { try control?.release(bucket) }
}

extension Operation {
    /// What the sender of a request must be allowed to do; what the body names is asked for when it was read.
    func accesses(_ request: OSSRequest) throws(OSSFailure) -> [ObjectAccess] {
        // Which objects, the body says.
        if self == .deleteObjects { return [] }
        let (bucket, key, makesBucket) = (request.wire.bucket, request.wire.key, self == .putBucket)
        var accesses = [ObjectAccess("oss:\(action)", bucket: bucket, key: key, makesBucket: makesBucket)]
        // A list that comes along with something else is set as by PutBucketAcl and PutObjectAcl (OSS, "PutBucket": a second one
        // changes what the first one said; "PutObjectACL", "Usage notes"), so it takes the right to those. Any list does, also the
        // one that is there: what a request may do is not a matter of what was before it.
        if request.field(HeaderName.ossACL) != nil, self != .putBucketACL {
            accesses.append(ObjectAccess("oss:PutBucketAcl", bucket: bucket, makesBucket: makesBucket))
        }
        if request.field(HeaderName.ossObjectACL) != nil, self != .putObjectACL {
            accesses.append(ObjectAccess("oss:PutObjectAcl", bucket: bucket, key: key))
        }
        if self == .copyObject || self == .copyPart {
            let source = try CopySource(request)
            accesses.append(ObjectAccess("oss:GetObject", bucket: source.bucket, key: source.key))
        }
        return accesses
    }

    /// As RAM calls it (OSS, "RAM policies", "Common actions").
    private var action: String {
        switch self {
        case .listBuckets: "ListBuckets"
        case .putBucket: "PutBucket"
        case .deleteBucket: "DeleteBucket"
        case .bucketInfo: "GetBucketInfo"
        case .bucketLocation: "GetBucketLocation"
        case .bucketStat: "GetBucketStat"
        case .bucketACL: "GetBucketAcl"
        case .putBucketACL: "PutBucketAcl"
        case .bucketEncryption: "GetBucketEncryption"
        case .putBucketEncryption: "PutBucketEncryption"
        case .deleteBucketEncryption: "DeleteBucketEncryption"
        case .listObjects, .listObjectsV2: "ListObjects"
        case .listUploads: "ListMultipartUploads"
        case .deleteObject, .deleteObjects: "DeleteObject"
        case .putObject, .copyObject, .initiateUpload, .uploadPart, .copyPart, .completeUpload: "PutObject"
        case .getObject, .headObject, .objectMeta: "GetObject"
        case .objectACL: "GetObjectAcl"
        case .putObjectACL: "PutObjectAcl"
        case .abortUpload: "AbortMultipartUpload"
        case .listParts: "ListParts"
        }
    }
}
