internal import GRDB
internal import ObjectStorage

/// What a first start made, to be shown once.
package struct FirstSetup: Hashable, Sendable {
    package var accountID: String
    package var accessKeyID: String
    package var accessKeySecret: String
    package var regionID: String
    package var roleName: String
    /// nil where no bucket was made.
    package var bucket: String?
}

extension ServiceState {
    /// Where a first start puts its bucket.
    package static let defaultRegion = "cn-hangzhou"
    package static let defaultBucket = "lathe-exports"

    /// Makes what a service without any configuration needs: an account with a key and the role of exports, the regions, and a
    /// bucket's row; the bucket itself is made by the store.
    ///
    /// - Parameter hasBucket: false makes no row: in somebody else's store, whose names are everybody's, nobody makes a bucket unasked.
    /// - Returns: nil, with nothing made, where there is an account already.
    package func setUpFirst(hasBucket: Bool = true) throws(StateError) -> FirstSetup? {
        try database.write { db in
            guard try AccountRecord.limit(1).isEmpty(db) else { return nil }
            let now = clock()
            for (id, name) in KnownRegions.all where try db.region(id) == nil {
                _ = try db.setRegion(id, localName: name, endpoint: nil, supportsExport: nil)
            }
            let account = try db.makeAccount(name: "default", id: nil, AccountSettings(), now: now)
            let key = try db.makeKey(ofAccount: account.id, id: nil, secret: nil, now: now)
            let role = try db.setRole(
                SystemPolicies.exportRole, account.id, trustPolicy: nil, maxSessionSeconds: nil, now: now)
            try db.attachPolicy(SystemPolicies.exportPolicy, toRole: role.name, account.id)
            if hasBucket {
                _ = try db.addBucket(Self.defaultBucket, ofAccount: account.id, in: Self.defaultRegion, now: now)
            }
            return FirstSetup(
                accountID: account.id, accessKeyID: key.id, accessKeySecret: key.secret, regionID: Self.defaultRegion,
                roleName: role.name, bucket: hasBucket ? Self.defaultBucket : nil)
        }
    }
}

/// The regions that a first start makes: the vendor's first, and those in which `ImageFormat` is honoured (ECS, "ExportImage").
enum KnownRegions {
    static let all = [
        (ServiceState.defaultRegion, "China (Hangzhou)"), ("ap-northeast-1", "Japan (Tokyo)"),
        ("ap-southeast-1", "Singapore"), ("ap-southeast-3", "Malaysia (Kuala Lumpur)"),
        ("ap-southeast-5", "Indonesia (Jakarta)"), ("eu-central-1", "Germany (Frankfurt)"),
        ("eu-west-1", "UK (London)"), ("me-east-1", "UAE (Dubai)"), ("us-east-1", "US (Virginia)"),
        ("us-west-1", "US (Silicon Valley)"),
    ]
}
