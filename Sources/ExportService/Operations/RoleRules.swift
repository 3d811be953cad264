internal import ECSWire

/// Whether ECS may use a bucket by a role of its owner.
enum RoleRules {
    /// What an import is read by where the request names no role; where the account has none of this name, the one for exports
    /// will do.
    static let importRole = "AliyunECSImageImportDefaultRole"

    /// - Throws: `NoSetRoletoECSServiceAcount` where the role does not let ECS write the objects.
    static func require(
        _ role: String, of accountID: String, bucket: String, keys: [String], _ state: ServiceState
    ) throws(APIError) {
        let region = try region(of: bucket, state)
        let refusal: RoleRefusal?
        do throws(StateError) {
            refusal = try state.exportRefusal(
                role: role, account: accountID, region: region, bucket: bucket, keys: keys)
        } catch {
            throw APIError(error)
        }
        if let refusal { throw .noRole(cause: "the role \(role): \(refusal)") }
    }

    /// - Throws: `NoSetRoletoECSServiceAcount` where the role does not let ECS read the objects.
    static func requireReading(
        _ role: String, of accountID: String, bucket: String, keys: [String], _ state: ServiceState
    ) throws(APIError) {
        let place = "acs:oss:oss-\(try region(of: bucket, state)):\(accountID):\(bucket)"
        let needed =
            [("oss:GetBucketLocation", place), ("oss:GetBucketInfo", place)]
            + keys.map { ("oss:GetObject", "\(place)/\($0)") }
        let record: RoleRecord?
        let authorization: Authorization?
        let trusts: Bool
        do throws(StateError) {
            record = try state.role(role, ofAccount: accountID)
            authorization = try state.authorization(ofRole: role, account: accountID)
            trusts =
                try record.map { (record) throws(StateError) in
                    try TrustPolicy(json: record.trustPolicy).allows(.service(ServiceState.exportingService))
                } ?? false
        } catch {
            throw APIError(error)
        }
        guard trusts, let authorization else { throw .noRole(cause: "the role \(role) is not there or trusts not ECS") }
        for (action, resource) in needed where !authorization.allows(action, on: resource) {
            throw .noRole(cause: "the role \(role) does not allow \(action) on \(resource)")
        }
    }

    private static func region(of bucket: String, _ state: ServiceState) throws(APIError) -> String {
        do throws(StateError) {
            if let row = try state.bucket(bucket) { return row.regionID }
        } catch {
            throw APIError(error)
        }
        throw .bucketNotFound
    }
}
