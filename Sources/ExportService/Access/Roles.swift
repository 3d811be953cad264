internal import GRDB

/// A role with the names of the policies that it has, in order.
package struct RoleWithPolicies: Hashable, Sendable {
    package var role: RoleRecord
    package var policyNames: [String]
}

extension ServiceState {
    /// How long a session of a role may last at most, in seconds (RAM, "MaxSessionDuration").
    package static let sessionLimits = 3600...43_200

    /// Makes a role, or changes one; nil leaves what is there.
    ///
    /// - Parameters:
    ///   - trustPolicy: JSON; of a new role, nil lets ECS assume it.
    ///   - maxSessionSeconds: from 3600, which is the default, to 43,200.
    /// - Throws: `not-found` where the account is not there; `invalid`.
    @discardableResult
    package func setRole(
        _ name: String, ofAccount accountID: String, trustPolicy: String? = nil, maxSessionSeconds: Int? = nil
    ) throws(StateError) -> RoleRecord {
        try database.write { db in
            try db.setRole(
                name, accountID, trustPolicy: trustPolicy, maxSessionSeconds: maxSessionSeconds, now: clock())
        }
    }

    /// Those of an account, or all, in the order of account and name.
    package func roles(ofAccount accountID: String? = nil) throws(StateError) -> [RoleWithPolicies] {
        try database.read { db in
            var request = RoleRecord.order(Column("accountID"), Column("name"))
            if let accountID { request = request.filter(Column("accountID") == accountID) }
            return try request.fetchAll(db).map { role in
                RoleWithPolicies(
                    role: role, policyNames: try db.policies(ofRole: role.name, role.accountID).map(\.name))
            }
        }
    }

    package func role(_ name: String, ofAccount accountID: String) throws(StateError) -> RoleRecord? {
        try database.read { db in try db.role(name, accountID) }
    }

    /// Removes a role with its sessions; its policies stay.
    ///
    /// - Throws: `not-found`.
    package func removeRole(_ name: String, ofAccount accountID: String) throws(StateError) {
        try database.write { db in _ = try db.requireRole(name, accountID).delete(db) }
    }

    /// Makes a policy of an account, or puts another document into one.
    ///
    /// - Parameter document: JSON.
    /// - Throws: `not-found` where the account is not there; `invalid`.
    @discardableResult
    package func setPolicy(_ name: String, ofAccount accountID: String, document: String) throws(StateError)
        -> PolicyRecord
    {
        try database.write { db in try db.setPolicy(name, accountID, document: document) }
    }

    /// Those of an account, or all, in the order of account and name.
    package func policies(ofAccount accountID: String? = nil) throws(StateError) -> [PolicyRecord] {
        try database.read { db in
            var request = PolicyRecord.order(Column("accountID"), Column("name"))
            if let accountID { request = request.filter(Column("accountID") == accountID) }
            return try request.fetchAll(db)
        }
    }

    /// - Throws: `not-found`; `in-use` while a role has it.
    package func removePolicy(_ name: String, ofAccount accountID: String) throws(StateError) {
        try database.write { db in
            let policy = try db.requirePolicy(name, accountID)
            let attached = RolePolicyRecord.filter(Column("accountID") == accountID && Column("policyName") == name)
            if let role = try attached.fetchOne(db) {
                throw StateError(.inUse, "the role \(role.roleName) has the policy; detach it first", subject: name)
            }
            try policy.delete(db)
        }
    }

    /// Gives a role a policy; one that it has already is no error.
    ///
    /// A policy that the vendor has for all accounts is made where the
    /// account has none of its name.
    ///
    /// - Throws: `not-found`.
    package func attachPolicy(_ policy: String, toRole role: String, ofAccount accountID: String) throws(StateError) {
        try database.write { db in try db.attachPolicy(policy, toRole: role, accountID) }
    }

    /// - Throws: `not-found` where the role has no such policy.
    package func detachPolicy(_ policy: String, fromRole role: String, ofAccount accountID: String) throws(StateError) {
        try database.write { db in
            let attached = RolePolicyRecord.filter(
                Column("accountID") == accountID && Column("roleName") == role && Column("policyName") == policy)
            guard try attached.deleteAll(db) == 1 else {
                throw StateError(.notFound, "the role \(role) has no such policy", subject: policy)
            }
        }
    }
}

extension Database {
    func role(_ name: String, _ accountID: String) throws -> RoleRecord? {
        try RoleRecord.filter(Column("accountID") == accountID && Column("name") == name).fetchOne(self)
    }

    /// - Throws: `not-found`.
    func requireRole(_ name: String, _ accountID: String) throws -> RoleRecord {
        guard let role = try role(name, accountID) else {
            throw StateError(
                .notFound, "the account has no role of this name; 'lathe admin role list' shows them", subject: name)
        }
        return role
    }

    func setRole(
        _ name: String, _ accountID: String, trustPolicy: String?, maxSessionSeconds: Int?, now: UInt64
    ) throws -> RoleRecord {
        try Names.requireRoleName(name)
        if let trustPolicy { _ = try TrustPolicy(json: trustPolicy) }
        try Names.require(maxSessionSeconds, in: ServiceState.sessionLimits, "seconds of a session")
        _ = try requireAccount(accountID)
        var role =
            try self.role(name, accountID)
            ?? RoleRecord(
                accountID: accountID, name: name, roleID: RandomName.roleID(), trustPolicy: SystemPolicies.trustOfECS,
                maxSessionSeconds: 3600, created: now)
        role.trustPolicy = trustPolicy ?? role.trustPolicy
        role.maxSessionSeconds = maxSessionSeconds ?? role.maxSessionSeconds
        try role.save(self)
        return role
    }

    func policy(_ name: String, _ accountID: String) throws -> PolicyRecord? {
        try PolicyRecord.filter(Column("accountID") == accountID && Column("name") == name).fetchOne(self)
    }

    /// - Throws: `not-found`.
    func requirePolicy(_ name: String, _ accountID: String) throws -> PolicyRecord {
        guard let policy = try policy(name, accountID) else {
            throw StateError(
                .notFound, "the account has no policy of this name; 'lathe admin policy list' shows them", subject: name
            )
        }
        return policy
    }

    func policies(ofRole name: String, _ accountID: String) throws -> [PolicyRecord] {
        try PolicyRecord.fetchAll(
            self,
            sql: """
                SELECT policy.* FROM policy JOIN rolePolicy
                    ON rolePolicy.accountID = policy.accountID AND rolePolicy.policyName = policy.name
                WHERE rolePolicy.accountID = ? AND rolePolicy.roleName = ? ORDER BY policy.name
                """, arguments: [accountID, name])
    }

    func setPolicy(_ name: String, _ accountID: String, document: String) throws -> PolicyRecord {
        try Names.requirePolicyName(name)
        _ = try PolicyDocument(json: document)
        _ = try requireAccount(accountID)
        var policy =
            try self.policy(name, accountID) ?? PolicyRecord(accountID: accountID, name: name, document: document)
        policy.document = document
        try policy.save(self)
        return policy
    }

    func attachPolicy(_ name: String, toRole roleName: String, _ accountID: String) throws {
        let role = try requireRole(roleName, accountID)
        if try policy(name, accountID) == nil, let document = SystemPolicies.documents[name] {
            _ = try setPolicy(name, accountID, document: document)
        }
        let policy = try requirePolicy(name, accountID)
        let attached = RolePolicyRecord(accountID: accountID, roleName: role.name, policyName: policy.name)
        try attached.insert(self, onConflict: .ignore)
    }
}
