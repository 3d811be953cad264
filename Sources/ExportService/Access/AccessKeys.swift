package import ECSWire
internal import GRDB

extension ServiceState {
    /// Makes a key of an account; its secret is in the answer, and is shown to its owner this once.
    ///
    /// - Parameters:
    ///   - id: nil makes one up, and the secret with it.
    ///   - secret: of a key that was made elsewhere.
    ///   - announce: tells the secret. Where it throws, no key was made.
    /// - Throws: `not-found` where the account is not there; `exists`; `invalid`.
    @discardableResult
    package func makeKey(
        ofAccount accountID: String, id: String? = nil, secret: String? = nil,
        announce: (AccessKeyRecord) throws(StateError) -> Void = { _ throws(StateError) in }
    ) throws(StateError) -> AccessKeyRecord {
        try database.write { db in
            let key = try db.makeKey(ofAccount: accountID, id: id, secret: secret, now: clock())
            try announce(key)
            return key
        }
    }

    /// Those of an account, or all, in the order of their ids.
    package func keys(ofAccount accountID: String? = nil) throws(StateError) -> [AccessKeyRecord] {
        try database.read { db in
            var request = AccessKeyRecord.order(Column("id"))
            if let accountID { request = request.filter(Column("accountID") == accountID) }
            return try request.fetchAll(db)
        }
    }

    /// A key that is not active is as good as none, until it is active again.
    ///
    /// - Throws: `not-found`.
    @discardableResult
    package func setKey(_ id: String, isActive: Bool) throws(StateError) -> AccessKeyRecord {
        try database.write { db in
            var key = try db.requireKey(id)
            key.isActive = isActive
            try key.update(db)
            return key
        }
    }

    /// - Throws: `not-found`.
    package func removeKey(_ id: String) throws(StateError) {
        try database.write { db in _ = try db.requireKey(id).delete(db) }
    }

    /// What signatures of a key are verified with, a lasting one or one of a session.
    ///
    /// A session that has expired is answered as long as its row is there, so that its owner is told that, and not that the key
    /// is unknown.
    ///
    /// - Returns: nil where there is no such key, or it is not active.
    package func signingKey(_ accessKeyID: String) throws(StateError) -> SigningKey? {
        try database.read { db in
            if let key = try AccessKeyRecord.filter(Column("id") == accessKeyID).fetchOne(db) {
                guard key.isActive else { return nil }
                let principal = Principal(accountID: key.accountID, accessKeyID: key.id)
                return SigningKey(secret: key.secret, principal: principal)
            }
            return try db.session(accessKeyID).map { session in
                let principal = Principal(
                    accountID: session.accountID, accessKeyID: session.accessKeyID, roleName: session.roleName)
                return SigningKey(
                    secret: session.secret, tokenSHA256: session.tokenSHA256, expires: session.expires,
                    principal: principal)
            }
        }
    }

    /// Takes the number that a request bears, for as long as a copy of the request could pass.
    ///
    /// - Parameter expires: until when it must be remembered, in seconds since 1970-01-01 UTC.
    /// - Returns: false where the key has used it before.
    package func claimNonce(_ nonce: String, of accessKeyID: String, expires: UInt64) throws(StateError) -> Bool {
        let expires = UInt64(Int64(clamping: expires))
        let now = clock()
        return try database.writeLightly { db in
            // Some of what is old goes each time, so that no request waits for all of it.
            try db.execute(
                sql: """
                    DELETE FROM nonce WHERE (accessKeyID, nonce) IN (
                        SELECT accessKeyID, nonce FROM nonce WHERE expires < ? LIMIT 20)
                    """, arguments: [Int64(clamping: now)])
            try db.execute(
                sql: "INSERT INTO nonce (accessKeyID, nonce, expires) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                arguments: [accessKeyID, nonce, expires])
            return db.changesCount == 1
        }
    }
}

extension Database {
    /// - Throws: `not-found`.
    func requireKey(_ id: String) throws -> AccessKeyRecord {
        guard let key = try AccessKeyRecord.filter(Column("id") == id).fetchOne(self) else {
            throw StateError(.notFound, "there is no key of this id; 'lathe admin key list' shows them", subject: id)
        }
        return key
    }

    func makeKey(ofAccount accountID: String, id: String?, secret: String?, now: UInt64) throws -> AccessKeyRecord {
        if let id { try Names.requireKeyID(id) }
        if let secret { try Names.requireSecret(secret) }
        _ = try requireAccount(accountID)
        let key = AccessKeyRecord(
            id: id ?? RandomName.accessKeyID(), secret: secret ?? RandomName.secret(), accountID: accountID,
            isActive: true, created: now)
        guard try AccessKeyRecord.filter(Column("id") == key.id).isEmpty(self) else {
            throw StateError(.exists, "there is a key of this id already", subject: key.id)
        }
        try key.insert(self)
        return key
    }
}
