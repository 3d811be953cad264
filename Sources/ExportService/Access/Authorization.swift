package import ECSWire
internal import GRDB

/// What somebody may do.
package struct Authorization: Sendable {
    /// Each of these must allow it, and none deny it; without any, all is allowed.
    private let layers: [[PolicyDocument]]

    /// What the keys of an account itself may do with what is the account's.
    package static let everything = Authorization(layers: [])
    package static let nothing = Authorization(layers: [[]])

    init(layers: [[PolicyDocument]]) { self.layers = layers }

    /// - Parameters:
    ///   - action: as `ecs:ExportImage`.
    ///   - resource: as `acs:ecs:cn-hangzhou:1234567890123456:image/m-bp67acfmxazb4p1a2b3c`.
    package func allows(_ action: String, on resource: String) -> Bool {
        layers.allSatisfy { PolicyDocument.decision($0, action, on: resource) == .allowed }
    }
}

/// Why ECS can't write an export with a role.
package enum RoleRefusal: Hashable, Sendable {
    case noSuchRole
    /// Its trust policy does not let `ecs.aliyuncs.com` assume it.
    case isNotTrusting
    /// The first action that its policies do not allow, and on what.
    case doesNotAllow(action: String, resource: String)
}

extension ServiceState {
    /// The service that assumes the role of an export.
    package static let exportingService = "ecs.aliyuncs.com"

    /// What a principal may do with what is its account's, by its role and what restricts its session; an account's own keys may
    /// do everything.
    package func authorization(of principal: Principal) throws(StateError) -> Authorization {
        guard principal.roleName != nil else { return .everything }
        return try database.read { db in
            // The role is that of the session's row: it may have been removed since the signature was verified.
            guard let session = try db.session(principal.accessKeyID), session.expires > clock() else {
                return .nothing
            }
            var layers = [try db.documents(ofRole: session.roleName, session.accountID)]
            if let policy = session.policy { layers.append([try PolicyDocument(json: policy)]) }
            return Authorization(layers: layers)
        }
    }

    /// What a role's policies allow; nil where there is no such role.
    package func authorization(ofRole name: String, account accountID: String) throws(StateError) -> Authorization? {
        try database.read { db in
            guard try db.role(name, accountID) != nil else { return nil }
            return Authorization(layers: [try db.documents(ofRole: name, accountID)])
        }
    }

    /// Whether ECS can write objects of an export with a role of an account.
    ///
    /// - Returns: nil where it can.
    package func exportRefusal(
        role name: String, account accountID: String, region: String, bucket: String, keys: [String]
    ) throws(StateError) -> RoleRefusal? {
        try database.read { db in
            guard let role = try db.role(name, accountID) else { return .noSuchRole }
            guard try TrustPolicy(json: role.trustPolicy).allows(.service(Self.exportingService)) else {
                return .isNotTrusting
            }
            let authorization = Authorization(layers: [try db.documents(ofRole: name, accountID)])
            return ExportPermissions.needed(account: accountID, region: region, bucket: bucket, keys: keys)
                .first { !authorization.allows($0.action, on: $0.resource) }
                .map { .doesNotAllow(action: $0.action, resource: $0.resource) }
        }
    }
}

/// What an export does with a bucket (ECS, "ExportImage": the policy of AliyunECSImageExportDefaultRole).
enum ExportPermissions {
    static let ofBucket = ["oss:GetBucketLocation", "oss:GetBucketInfo", "oss:ListMultipartUploads"]
    static let ofObject = [
        "oss:GetObject", "oss:PutObject", "oss:DeleteObject", "oss:AbortMultipartUpload", "oss:ListParts",
    ]

    static func needed(account: String, region: String, bucket: String, keys: [String]) -> [(
        action: String, resource: String
    )] {
        let place = "acs:oss:oss-\(region):\(account):\(bucket)"
        return ofBucket.map { ($0, place) } + keys.flatMap { key in ofObject.map { ($0, "\(place)/\(key)") } }
    }
}

extension Database {
    /// The documents of the policies that a role has.
    func documents(ofRole name: String, _ accountID: String) throws -> [PolicyDocument] {
        try policies(ofRole: name, accountID).map { try PolicyDocument(json: $0.document) }
    }
}
