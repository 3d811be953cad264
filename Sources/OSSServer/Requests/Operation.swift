internal import OSSWire

/// What a request asks for.
enum Operation: Hashable, Sendable {
    case listBuckets
    case putBucket, deleteBucket, bucketInfo, bucketLocation, bucketStat
    case bucketACL, putBucketACL
    case bucketEncryption, putBucketEncryption, deleteBucketEncryption
    case listObjects, listObjectsV2, listUploads, deleteObjects
    case putObject, copyObject, getObject, headObject, objectMeta, deleteObject
    case objectACL, putObjectACL
    case initiateUpload, uploadPart, copyPart, completeUpload, abortUpload, listParts

    /// By the method, what the address names, and the sub-resource in the query.
    ///
    /// - Throws: `NotImplemented` for what else stands in the query: OSS has dozens of sub-resources that this server has not,
    ///   and to take `PUT /key?symlink` for a plain put would destroy an object.
    init(_ request: OSSRequest) throws(OSSFailure) {
        for item in request.wire.query where !Self.known.contains(item.name) {
            throw .notImplemented("'?\(item.name)'")
        }
        if request.wire.key != nil {
            self = try Self.onObject(request)
        } else if request.wire.bucket != nil {
            self = try Self.onBucket(request)
        } else {
            guard request.method == "GET" else { throw .methodNotAllowed(request.method) }
            self = .listBuckets
        }
    }

    private static func onObject(_ request: OSSRequest) throws(OSSFailure) -> Operation {
        let isCopy = request.field("x-oss-copy-source") != nil
        let hasUpload = request.hasParameter("uploadId")
        switch request.method {
        case "PUT" where hasUpload || request.hasParameter("partNumber"): return isCopy ? .copyPart : .uploadPart
        case "PUT" where request.hasParameter("acl"): return .putObjectACL
        case "PUT": return isCopy ? .copyObject : .putObject
        case "POST" where request.hasParameter("uploads"): return .initiateUpload
        case "POST" where hasUpload: return .completeUpload
        case "DELETE": return hasUpload ? .abortUpload : .deleteObject
        case "GET" where hasUpload: return .listParts
        case "GET" where request.hasParameter("acl"): return .objectACL
        case "GET", "HEAD": break
        default: throw .methodNotAllowed(request.method)
        }
        guard request.hasParameter("objectMeta") else { return request.method == "HEAD" ? .headObject : .getObject }
        // Its answer has the object's length and no body, which no answer to GET may have.
        guard request.method == "HEAD" else { throw .methodNotAllowed(request.method) }
        return .objectMeta
    }

    private static func onBucket(_ request: OSSRequest) throws(OSSFailure) -> Operation {
        let subresource = bucketSubresources.first { request.hasParameter($0) }
        switch (request.method, subresource) {
        case ("PUT", nil): return .putBucket
        case ("DELETE", nil): return .deleteBucket
        case ("GET", "bucketInfo"), ("HEAD", "bucketInfo"): return .bucketInfo
        case ("GET", "location"): return .bucketLocation
        case ("GET", "stat"): return .bucketStat
        case ("GET", "acl"): return .bucketACL
        case ("PUT", "acl"): return .putBucketACL
        case ("GET", "encryption"): return .bucketEncryption
        case ("PUT", "encryption"): return .putBucketEncryption
        case ("DELETE", "encryption"): return .deleteBucketEncryption
        case ("GET", "uploads"): return .listUploads
        case ("POST", "delete"): return .deleteObjects
        case ("GET", nil):
            guard let version = request.parameter("list-type") else { return .listObjects }
            guard version == "2" else {
                throw .invalidArgument("list-type is 2, or left out.", name: "list-type", value: version)
            }
            return .listObjectsV2
        default: throw .methodNotAllowed(request.method)
        }
    }

    private static let bucketSubresources = [
        "bucketInfo", "location", "stat", "acl", "encryption", "uploads", "delete",
    ]

    /// All that a query may have: what chooses an operation here, what the operations take, and what signs a URL.
    private static let known: Set<String> = [
        "acl", "bucketInfo", "delete", "encryption", "list-type", "location", "objectMeta", "partNumber", "stat",
        "uploadId", "uploads",
        "continuation-token", "delimiter", "encoding-type", "fetch-owner", "key-marker", "marker", "max-keys",
        "max-parts", "max-uploads", "part-number-marker", "prefix", "start-after", "upload-id-marker",
        "response-cache-control", "response-content-disposition", "response-content-encoding",
        "response-content-language", "response-content-type", "response-expires",
        "Expires", "OSSAccessKeyId", "Signature", "security-token", "x-oss-additional-headers", "x-oss-credential",
        "x-oss-date", "x-oss-expires", "x-oss-request-payer", "x-oss-security-token", "x-oss-signature",
        "x-oss-signature-version",
    ]

    /// Whether somebody without a key may do it where the list of the bucket or the object lets everybody read.
    var isReading: Bool { [.getObject, .headObject, .objectMeta].contains(self) }

    /// The same where it lets everybody write.
    var isWriting: Bool { [.putObject].contains(self) }
}
