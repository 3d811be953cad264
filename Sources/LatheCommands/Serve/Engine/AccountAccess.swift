internal import ECSWire
internal import ExportService
internal import OSSServer
internal import OSSWire
internal import ObjectStorage

/// Whom the embedded endpoint of objects lets in: the keys and sessions of the service, each to the buckets of its own account,
/// and a session to what its role allows.
struct AccountAccess: AccessControl {
    let state: ServiceState
    let buckets: any BucketProvider
    /// Where a bucket is that is made here.
    let regionID: String

    func credential(_ accessKeyID: String) throws(StoreError) -> ServerCredential? {
        guard let key = try asking({ () throws(StateError) in try state.signingKey(accessKeyID) }) else { return nil }
        return ServerCredential(
            Credentials(accessKeyID: accessKeyID, accessKeySecret: key.secret), expires: key.expires,
            tokenSHA256: key.tokenSHA256)
    }

    func verdict(on access: ObjectAccess, by accessKeyID: String) throws(StoreError) -> AccessVerdict {
        guard let principal = try principal(accessKeyID) else { return .denied }
        let authorization = try asking { () throws(StateError) in try state.authorization(of: principal) }
        let account = principal.accountID
        guard let bucket = access.bucket else {
            return authorization.allows(access.action, on: "acs:oss:*:\(account):*") ? .allowed : .denied
        }
        let row = try asking { () throws(StateError) in try state.bucket(bucket) }
        if row == nil, !access.makesBucket { return .noSuchBucket }
        // Whose it is, `claim` says of one that is to be made.
        guard row == nil || row?.accountID == account || access.makesBucket else { return .denied }
        let place = "acs:oss:oss-\(row?.regionID ?? regionID):\(account):\(bucket)"
        return authorization.allows(access.action, on: place + (access.key.map { "/" + $0 } ?? ""))
            ? .allowed : .denied
    }

    func shows(_ bucket: String, to accessKeyID: String) throws(StoreError) -> Bool {
        guard let principal = try principal(accessKeyID) else { return false }
        return try asking { () throws(StateError) in try state.bucket(bucket) }?.accountID == principal.accountID
    }

    func claim(_ bucket: String, for accessKeyID: String) throws(StoreError) {
        guard let principal = try principal(accessKeyID) else {
            throw StoreError(.accessDenied, "the key is not there any more")
        }
        if try isOwned(bucket, by: principal) { return }
        // A directory that somebody put there is nobody's, and so not the next one's who asks.
        guard try buckets.facts(of: bucket) == nil else { throw taken(bucket) }
        do throws(StateError) {
            try state.addBucket(bucket, ofAccount: principal.accountID, in: regionID)
        } catch {
            // Somebody else was faster, or the same one with another request.
            guard error.code == .exists, try isOwned(bucket, by: principal) else { throw Self.failure(error) }
        }
    }

    /// - Throws: `bucket-exists` where it is somebody else's.
    private func isOwned(_ bucket: String, by principal: Principal) throws(StoreError) -> Bool {
        guard let row = try asking({ () throws(StateError) in try state.bucket(bucket) }) else { return false }
        guard row.accountID == principal.accountID else { throw taken(bucket) }
        return true
    }

    private func taken(_ bucket: String) -> StoreError {
        StoreError(.bucketExists, "the bucket '\(bucket)' is somebody else's")
    }

    func release(_ bucket: String) throws(StoreError) {
        do throws(StateError) { try state.removeBucket(bucket) } catch {
            // A task that is about it fails by itself, and whoever owned the bucket may make it again until then.
            guard [.notFound, .inUse].contains(error.code) else { throw Self.failure(error) }
        }
    }

    private func principal(_ accessKeyID: String) throws(StoreError) -> Principal? {
        try asking { () throws(StateError) in try state.signingKey(accessKeyID) }?.principal
    }

    private func asking<Value>(_ body: () throws(StateError) -> Value) throws(StoreError) -> Value {
        do throws(StateError) { return try body() } catch { throw Self.failure(error) }
    }

    private static func failure(_ error: StateError) -> StoreError {
        StoreError(.server, "the service's records: \(error)", cause: error)
    }
}
