internal import Crypto
package import ECSWire
internal import FoundationEssentials
internal import GRDB
internal import OSSWire

/// What AssumeRole asks for (STS 2015-04-01).
package struct SessionRequest: Hashable, Sendable {
    /// As `acs:ram::1234567890123456:role/AliyunECSImageExportDefaultRole`.
    package var roleARN: String
    /// 2 to 64 letters, digits and any of `.@-_`.
    package var sessionName: String
    /// From 900 to what the role allows.
    package var durationSeconds: Int
    /// A policy that restricts the session further, as JSON of at most 2048 characters.
    package var policy: String?

    package init(roleARN: String, sessionName: String, durationSeconds: Int = 3600, policy: String? = nil) {
        self.roleARN = roleARN
        self.sessionName = sessionName
        self.durationSeconds = durationSeconds
        self.policy = policy
    }
}

/// A temporary key, in the only moment in which its token is known.
package struct IssuedSession: Sendable {
    package var accessKeyID: String
    package var secret: String
    package var token: String
    /// In seconds since 1970-01-01 UTC.
    package var expires: UInt64
    /// As `acs:ram::1234567890123456:role/name/session`.
    package var assumedRoleARN: String
    /// As `312345678901234567:session`.
    package var assumedRoleID: String
}

extension ServiceState {
    /// How many sessions of an account may be good at a time.
    package static let greatestSessionCount = 10_000

    /// How long the row of a session is kept after its end, so that its owner is told that it has expired.
    private static let remembranceSeconds: UInt64 = 24 * 3600

    /// Issues a temporary key of a role.
    ///
    /// - Throws: `invalid`, with the parameter of AssumeRole as its subject; `not-found` for a role that the caller's account does
    ///   not have; `forbidden` where the role does not trust the caller, or the caller's own policies do not let it, and for
    ///   every role of another account that is not there; `limit-exceeded`.
    package func assumeRole(_ request: SessionRequest, by principal: Principal) throws(StateError) -> IssuedSession {
        let (accountID, name) = try request.validate()
        let authorization = try authorization(of: principal)
        let now = clock()
        return try database.write { db in
            let role = try db.role(name, accountID)
            guard role != nil || accountID != principal.accountID else {
                throw StateError(.notFound, "the account has no such role", subject: "RoleArn")
            }
            guard let role, try TrustPolicy(json: role.trustPolicy).allows(principal.party),
                authorization.allows("sts:AssumeRole", on: "acs:ram:*:\(accountID):role/\(role.name)")
            else { throw StateError(.forbidden, "the caller may not assume the role", subject: "RoleArn") }
            guard request.durationSeconds <= role.maxSessionSeconds else {
                throw StateError(
                    .invalid, "a session of the role lasts from 900 to \(role.maxSessionSeconds) seconds",
                    subject: "DurationSeconds")
            }
            try SessionRecord.filter(Column("expires") < now - min(now, Self.remembranceSeconds)).deleteAll(db)
            let good = SessionRecord.filter(Column("accountID") == accountID && Column("expires") > now)
            guard try good.fetchCount(db) < Self.greatestSessionCount else {
                throw StateError(
                    .limitExceeded, "\(Self.greatestSessionCount) sessions of the account are good; wait until some end"
                )
            }
            return try db.issue(request, of: role, now: now)
        }
    }

    /// Removes nonces that have ended, and sessions that ended a day ago.
    ///
    /// - Returns: how many rows went.
    @discardableResult
    package func purge() throws(StateError) -> Int {
        let now = clock()
        return try database.write { db in
            let nonces = try NonceRecord.filter(Column("expires") < now).deleteAll(db)
            let ended = Column("expires") < now - min(now, Self.remembranceSeconds)
            return nonces + (try SessionRecord.filter(ended).deleteAll(db))
        }
    }
}

extension Principal {
    fileprivate var party: TrustPolicy.Party {
        roleName.map { .role(accountID: accountID, name: $0) } ?? .account(accountID)
    }
}

extension SessionRequest {
    /// - Returns: whose role is meant, and what it is called.
    /// - Throws: `invalid`.
    fileprivate func validate() throws(StateError) -> (accountID: String, roleName: String) {
        let halves = roleARN.split(separator: ":role/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard halves.count == 2, halves[0].hasPrefix("acs:ram::") else {
            throw StateError(.invalid, "expected acs:ram::ACCOUNT:role/NAME", subject: "RoleArn")
        }
        let accountID = String(halves[0].dropFirst("acs:ram::".count))
        do {
            try Names.requireAccountID(accountID)
            try Names.requireRoleName(halves[1])
        } catch {
            throw StateError(.invalid, error.message, subject: "RoleArn")
        }
        guard (2...64).contains(sessionName.utf8.count), sessionName.utf8.allSatisfy(Names.isSessionCharacter) else {
            throw StateError(.invalid, "expected 2 to 64 letters, digits and any of '.@-_'", subject: "RoleSessionName")
        }
        guard durationSeconds >= 900 else {
            throw StateError(.invalid, "a session lasts at least 900 seconds", subject: "DurationSeconds")
        }
        if let policy {
            guard (1...2048).contains(policy.utf8.count) else {
                throw StateError(.invalid, "the policy of a session has 1 to 2048 characters", subject: "Policy")
            }
            do { _ = try PolicyDocument(json: policy) } catch {
                throw StateError(.invalid, error.message, subject: "Policy")
            }
        }
        return (accountID, halves[1])
    }
}

extension Database {
    func session(_ accessKeyID: String) throws -> SessionRecord? {
        try SessionRecord.filter(Column("accessKeyID") == accessKeyID).fetchOne(self)
    }

    fileprivate func issue(_ request: SessionRequest, of role: RoleRecord, now: UInt64) throws -> IssuedSession {
        let token = RandomName.token()
        let session = SessionRecord(
            accessKeyID: RandomName.sessionKeyID(), secret: RandomName.secret(),
            tokenSHA256: Hexadecimal.encode(SHA256.hash(data: Data(token.utf8))), accountID: role.accountID,
            roleName: role.name, sessionName: request.sessionName, policy: request.policy, created: now,
            expires: now + UInt64(request.durationSeconds))
        try session.insert(self)
        return IssuedSession(
            accessKeyID: session.accessKeyID, secret: session.secret, token: token, expires: session.expires,
            assumedRoleARN: "acs:ram::\(role.accountID):role/\(role.name)/\(request.sessionName)",
            assumedRoleID: "\(role.roleID):\(request.sessionName)")
    }
}
