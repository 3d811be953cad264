/// Names of headers, as OSS and S3 state them.
public enum HeaderName {
    public static let authorization = "Authorization"
    public static let contentLength = "Content-Length"
    public static let contentMD5 = "Content-MD5"
    public static let contentType = "Content-Type"
    public static let contentRange = "Content-Range"
    public static let date = "Date"
    public static let eTag = "ETag"
    public static let host = "Host"
    public static let ifMatch = "If-Match"
    public static let ifNoneMatch = "If-None-Match"
    public static let ifModifiedSince = "If-Modified-Since"
    public static let ifUnmodifiedSince = "If-Unmodified-Since"
    public static let lastModified = "Last-Modified"
    public static let location = "Location"
    public static let range = "Range"
    public static let retryAfter = "Retry-After"

    /// What stands before the names of user metadata at OSS.
    public static let ossMetadataPrefix = "x-oss-meta-"
    public static let ossDate = "x-oss-date"
    public static let ossContentSHA256 = "x-oss-content-sha256"
    public static let ossSecurityToken = "x-oss-security-token"
    /// CRC-64/XZ of the object or part, in unsigned decimal.
    public static let ossHashCRC64 = "x-oss-hash-crc64ecma"
    public static let ossRequestID = "x-oss-request-id"
    public static let ossServerTime = "x-oss-server-time"
    /// The error's EC, a number for people.
    public static let ossErrorCode = "x-oss-ec"
    /// The whole error body in base64, where the answer itself has no body.
    public static let ossError = "x-oss-err"
    public static let ossStorageClass = "x-oss-storage-class"
    public static let ossACL = "x-oss-acl"
    public static let ossObjectACL = "x-oss-object-acl"
    public static let ossObjectType = "x-oss-object-type"
    public static let ossServerSideEncryption = "x-oss-server-side-encryption"
    public static let ossServerSideEncryptionKeyID = "x-oss-server-side-encryption-key-id"
    public static let ossForbidOverwrite = "x-oss-forbid-overwrite"
    public static let ossCopySource = "x-oss-copy-source"
    public static let ossCopySourceRange = "x-oss-copy-source-range"
    public static let ossCopySourceIfMatch = "x-oss-copy-source-if-match"
    public static let ossMetadataDirective = "x-oss-metadata-directive"

    /// What stands before the names of user metadata at S3.
    public static let amzMetadataPrefix = "x-amz-meta-"
    public static let amzDate = "x-amz-date"
    public static let amzContentSHA256 = "x-amz-content-sha256"
    public static let amzSecurityToken = "x-amz-security-token"
    public static let amzRequestID = "x-amz-request-id"
    public static let amzStorageClass = "x-amz-storage-class"
    public static let amzACL = "x-amz-acl"
    public static let amzServerSideEncryption = "x-amz-server-side-encryption"
    public static let amzServerSideEncryptionKeyID = "x-amz-server-side-encryption-aws-kms-key-id"
    public static let amzCopySource = "x-amz-copy-source"
    public static let amzCopySourceIfMatch = "x-amz-copy-source-if-match"
    public static let amzMetadataDirective = "x-amz-metadata-directive"
    public static let amzBucketRegion = "x-amz-bucket-region"
}

/// What stands in the place of a body's SHA-256 where the body is not signed.
public let unsignedPayload = "UNSIGNED-PAYLOAD"
