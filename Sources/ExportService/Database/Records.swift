internal import GRDB

// The rows of the database, a struct a table. Times are seconds since 1970-01-01 UTC, lengths are bytes.

/// Who owns keys, roles, buckets and images, and exports.
package struct AccountRecord: Codable, Hashable, Sendable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "account"
    /// Sixteen digits.
    package var id: String
    package var name: String
    /// Whether it is on the white list of ExportImage.
    package var mayExport: Bool
    /// Whether data disks of its images are exported along with the system disk.
    package var exportsDataDisks: Bool
    /// How many exports may wait or run at a time.
    package var concurrentExports: Int
    /// How many exports may be begun within seven days.
    package var weeklyExports: Int
    package var created: UInt64
}

/// A key that does not end.
package struct AccessKeyRecord: Codable, Hashable, Sendable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "accessKey"
    package var id: String
    /// Signatures are HMACs of it, so it can't be kept as a digest; the database's file is for its owner alone.
    package var secret: String
    package var accountID: String
    package var isActive: Bool
    package var created: UInt64
}

/// A temporary key of a role that was assumed (STS AssumeRole).
package struct SessionRecord: Codable, Hashable, Sendable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "session"
    package var accessKeyID: String
    package var secret: String
    /// Of the security token, in lower-case hexadecimal digits.
    package var tokenSHA256: String
    package var accountID: String
    package var roleName: String
    package var sessionName: String
    /// A policy that restricts the session further, as JSON.
    package var policy: String?
    package var created: UInt64
    package var expires: UInt64
}

package struct RoleRecord: Codable, Hashable, Sendable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "role"
    package var accountID: String
    /// In whatever case it is written, it is the same role.
    package var name: String
    /// Eighteen digits: what STS calls it in `AssumedRoleId`.
    package var roleID: String
    /// Who may assume it, as JSON.
    package var trustPolicy: String
    package var maxSessionSeconds: Int
    package var created: UInt64
}

package struct PolicyRecord: Codable, Hashable, Sendable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "policy"
    package var accountID: String
    package var name: String
    /// What it allows and denies, as JSON.
    package var document: String
}

/// A request that was seen, by the number that its sender made up for it; it is not taken again.
struct NonceRecord: Codable, Hashable, Sendable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "nonce"
    var accessKeyID: String
    var nonce: String
    var expires: UInt64
}

/// A policy that a role has.
package struct RolePolicyRecord: Codable, Hashable, Sendable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "rolePolicy"
    package var accountID: String
    package var roleName: String
    package var policyName: String
}

package struct RegionRecord: Codable, Hashable, Sendable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "region"
    /// As `cn-hangzhou`.
    package var id: String
    package var localName: String
    /// What DescribeRegions answers: a host, with a port where it is not the usual one; empty for that which the request came to.
    package var endpoint: String
    /// Whether images can be exported from it and imported into it.
    package var supportsExport: Bool
}

/// Whose a bucket is, and where; what is in it, the store knows.
package struct BucketRecord: Codable, Hashable, Sendable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "bucket"
    package var name: String
    package var accountID: String
    package var regionID: String
    package var created: UInt64
}

package struct ImageRecord: Codable, Hashable, Sendable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "image"
    package enum Status: String, Codable, Hashable, Sendable, CaseIterable {
        case creating = "Creating", available = "Available", unavailable = "UnAvailable"
        case createFailed = "CreateFailed", waiting = "Waiting", deprecated = "Deprecated"
    }

    /// As `m-bp67acfmxazb4p1a2b3c`.
    package var id: String
    package var accountID: String
    package var regionID: String
    package var name: String
    package var description: String
    package var status: Status
    /// The product of the marketplace that it comes from; such an image is never exported.
    package var productCode: String?
    /// What its licence says against an export, as a sentence; nil says nothing.
    package var licenseRestriction: String?
    package var osType: String
    package var architecture: String
    package var platform: String
    package var created: UInt64
}

/// A disk of an image: a file in any format that Lathe reads.
package struct DiskRecord: Codable, Hashable, Sendable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "disk"
    package var imageID: String
    /// 0 is the system disk, 1 to 4 and more are data disks.
    package var position: Int
    /// As `/dev/xvda`.
    package var device: String
    package var path: String
    /// As `qcow2`.
    package var format: String
    /// Of the disk that a guest sees.
    package var virtualSize: UInt64
    package var isEncrypted: Bool
    /// Whether the file is the service's own, made by ImportImage, and goes with the image.
    package var isOwned: Bool
}

package struct TaskRecord: Codable, Hashable, Sendable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "task"
    package enum Action: String, Codable, Hashable, Sendable {
        case exportImage = "ExportImage", importImage = "ImportImage"
    }
    package enum Status: String, Codable, Hashable, Sendable, CaseIterable {
        case waiting = "Waiting", processing = "Processing", finished = "Finished", failed = "Failed"
        /// It was cancelled: "Deleted" is the one word that is documented for it.
        case deleted = "Deleted"
    }

    /// As `tsk-bp67acfmxazb4p1a2b3c`.
    package var id: String
    package var accountID: String
    package var regionID: String
    package var action: Action
    package var status: Status
    package var imageID: String
    /// As `qcow2`.
    package var format: String
    package var bucket: String
    package var prefix: String?
    package var roleName: String
    package var requestID: String
    package var created: UInt64
    package var finished: UInt64?
    package var isCancelRequested: Bool
    /// Percent.
    package var progress: Int
    package var errorCode: String?
    package var errorMessage: String?
}

/// An object that a task makes (ExportImage) or reads (ImportImage): one a disk.
package struct TaskObjectRecord: Codable, Hashable, Sendable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "taskObject"
    package var taskID: String
    /// That of the disk.
    package var position: Int
    package var key: String
    package var isDone: Bool
    package var length: UInt64?
    /// CRC-64/XZ of the object, in decimal; SQLite's integers have a sign.
    package var crc64: String?
    /// That of the disk's content, in decimal.
    package var fingerprint: String?
}

extension ImageRecord.Status: DatabaseValueConvertible {}
extension TaskRecord.Action: DatabaseValueConvertible {}
extension TaskRecord.Status: DatabaseValueConvertible {}
