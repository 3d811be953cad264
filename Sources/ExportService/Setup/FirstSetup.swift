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

    /// Makes what a configuration says, and, where there is no account then, what a service without any configuration needs: an
    /// account with a key and the role of exports, the regions, and a bucket's row; the bucket itself is made by the store.
    ///
    /// - Parameters:
    ///   - configuration: with the facts of the files of all disks that it names; nil for none.
    ///   - hasBucket: false makes no row: in somebody else's store, whose names are everybody's, nobody makes a bucket unasked.
    ///   - announce: tells what was made, whose secrets are told this once. Where it throws, nothing was made.
    /// - Returns: nil where there was an account already.
    @discardableResult
    package func setUp(
        _ configuration: (ServiceConfiguration, facts: [ServiceConfiguration.DiskFile: DiskFacts])? = nil,
        hasBucket: Bool = true,
        announce: (FirstSetup?, AppliedConfiguration) throws(StateError) -> Void = { _, _ throws(StateError) in }
    ) throws(StateError) -> FirstSetup? {
        try database.write { db in
            let now = clock()
            let applied =
                try configuration.map { try db.apply($0.0, facts: $0.facts, now: now) } ?? AppliedConfiguration()
            let first = try AccountRecord.limit(1).isEmpty(db) ? db.firstSetup(hasBucket: hasBucket, now: now) : nil
            try announce(first, applied)
            return first
        }
    }
}

extension Database {
    fileprivate func firstSetup(hasBucket: Bool, now: UInt64) throws -> FirstSetup {
        for (id, name) in KnownRegions.all where try region(id) == nil {
            _ = try setRegion(id, localName: name, endpoint: nil, supportsExport: nil)
        }
        let account = try makeAccount(name: "default", id: nil, AccountSettings(), now: now)
        let key = try makeKey(ofAccount: account.id, id: nil, secret: nil, now: now)
        let role = try setRole(
            SystemPolicies.exportRole, account.id, trustPolicy: nil, maxSessionSeconds: nil, now: now)
        try attachPolicy(SystemPolicies.exportPolicy, toRole: role.name, account.id)
        if hasBucket {
            _ = try addBucket(
                ServiceState.defaultBucket, ofAccount: account.id, in: ServiceState.defaultRegion, now: now)
        }
        return FirstSetup(
            accountID: account.id, accessKeyID: key.id, accessKeySecret: key.secret,
            regionID: ServiceState.defaultRegion, roleName: role.name,
            bucket: hasBucket ? ServiceState.defaultBucket : nil)
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
