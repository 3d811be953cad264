/// What is said of an object beside its bytes.
public struct ObjectAttributes: Hashable, Sendable {
    /// The media type, `application/octet-stream` where nothing is said.
    public var contentType: String?
    /// Names, in lower case letters, digits and hyphens, and values, in printable ASCII.
    public var userMetadata: [String: String]
    /// Fields of HTTP that a server answers with the object, by their names in lower case: `cache-control`,
    /// `content-disposition`, `content-encoding`, `content-language`, `expires`.
    public var servedFields: [String: String] = [:]
    /// What the store calls its storage class, such as `Standard`, `IA`, `Archive` at OSS, or `STANDARD_IA` at S3.
    public var storageClass: String?
    /// What the store calls its access control list, such as `private` or `public-read`.
    public var acl: String?
    public var encryption: ServerSideEncryption?

    public init(
        contentType: String? = nil, userMetadata: [String: String] = [:], storageClass: String? = nil,
        acl: String? = nil, encryption: ServerSideEncryption? = nil
    ) {
        self.contentType = contentType
        self.userMetadata = userMetadata
        self.storageClass = storageClass
        self.acl = acl
        self.encryption = encryption
    }
}

/// How a store encrypts an object at rest.
public struct ServerSideEncryption: Hashable, Sendable {
    /// `AES256`, or `KMS` (which S3 calls `aws:kms`).
    public var algorithm: String
    /// The key of the key management service; nil leaves the choice to the store.
    public var keyID: String?

    public init(algorithm: String, keyID: String? = nil) {
        self.algorithm = algorithm
        self.keyID = keyID
    }
}

/// What a store knows of an object.
public struct ObjectSummary: Hashable, Sendable {
    /// In bytes.
    public var length: UInt64
    /// The store's mark (ETag, without quotation marks) for this version of the object's bytes; other bytes have another.
    public var tag: String
    /// CRC-64/XZ of the whole object, where the store keeps one.
    public var crc64: UInt64?
    /// In seconds since 1970-01-01 UTC.
    public var modified: UInt64
    public var attributes: ObjectAttributes

    public init(
        length: UInt64, tag: String, crc64: UInt64? = nil, modified: UInt64, attributes: ObjectAttributes = .init()
    ) {
        self.length = length
        self.tag = tag
        self.crc64 = crc64
        self.modified = modified
        self.attributes = attributes
    }
}

/// An object that is being made of parts.
public struct MultipartUpload: Hashable, Sendable {
    public var key: ObjectKey
    /// The store's name for the upload.
    public var id: String
    /// When it was begun, in seconds since 1970-01-01 UTC; nil where nobody asked the store.
    public var initiated: UInt64?

    public init(key: ObjectKey, id: String, initiated: UInt64? = nil) {
        self.key = key
        self.id = id
        self.initiated = initiated
    }
}

/// A part that a store has.
public struct StoredPart: Hashable, Sendable {
    /// From 1.
    public var number: Int
    /// In bytes.
    public var length: UInt64
    /// The store's mark (ETag, without quotation marks) for the part.
    public var tag: String
    /// CRC-64/XZ of the part, where the store keeps one.
    public var crc64: UInt64?

    public init(number: Int, length: UInt64, tag: String, crc64: UInt64? = nil) {
        self.number = number
        self.length = length
        self.tag = tag
        self.crc64 = crc64
    }
}

/// Some of the objects of a bucket.
public struct ObjectPage: Hashable, Sendable {
    public struct Entry: Hashable, Sendable {
        public var key: String
        /// In bytes.
        public var length: UInt64
        public var tag: String
        /// In seconds since 1970-01-01 UTC.
        public var modified: UInt64

        public init(key: String, length: UInt64, tag: String, modified: UInt64) {
            self.key = key
            self.length = length
            self.tag = tag
            self.modified = modified
        }
    }

    public var entries: [Entry]
    /// Whether there are more behind the last.
    public var isTruncated: Bool

    public init(entries: [Entry], isTruncated: Bool) {
        self.entries = entries
        self.isTruncated = isTruncated
    }
}
