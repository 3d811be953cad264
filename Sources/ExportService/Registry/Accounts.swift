internal import GRDB

/// What an account may do beyond what its policies say; nil changes nothing.
package struct AccountSettings: Hashable, Sendable {
    /// Whether it is on the white list of ExportImage.
    package var mayExport: Bool?
    /// Whether data disks of its images are exported along with the system disk.
    package var exportsDataDisks: Bool?
    /// How many exports may wait or run at a time; from 0 to 10,000.
    package var concurrentExports: Int?
    /// How many exports may be begun within seven days; from 0 to 1,000,000.
    package var weeklyExports: Int?

    package init(
        mayExport: Bool? = nil, exportsDataDisks: Bool? = nil, concurrentExports: Int? = nil, weeklyExports: Int? = nil
    ) {
        self.mayExport = mayExport
        self.exportsDataDisks = exportsDataDisks
        self.concurrentExports = concurrentExports
        self.weeklyExports = weeklyExports
    }

    /// - Throws: `invalid`.
    func apply(to account: inout AccountRecord) throws(StateError) {
        try Names.require(concurrentExports, in: 0...10_000, "exports at a time")
        try Names.require(weeklyExports, in: 0...1_000_000, "exports a week")
        account.mayExport = mayExport ?? account.mayExport
        account.exportsDataDisks = exportsDataDisks ?? account.exportsDataDisks
        account.concurrentExports = concurrentExports ?? account.concurrentExports
        account.weeklyExports = weeklyExports ?? account.weeklyExports
    }
}

extension ServiceState {
    /// - Parameter id: sixteen digits; nil makes some up.
    /// - Throws: `exists`; `invalid`.
    @discardableResult
    package func makeAccount(name: String, id: String? = nil, _ settings: AccountSettings = AccountSettings())
        throws(StateError) -> AccountRecord
    {
        try database.write { db in try db.makeAccount(name: name, id: id, settings, now: clock()) }
    }

    /// In the order of their ids.
    package func accounts() throws(StateError) -> [AccountRecord] {
        try database.read { db in try AccountRecord.order(Column("id")).fetchAll(db) }
    }

    package func account(_ id: String) throws(StateError) -> AccountRecord? {
        try database.read { db in try db.account(id) }
    }

    /// The account that an operator means: by its id, by its name, or the only one there is.
    ///
    /// - Throws: `not-found`; `invalid` where there are several and none is named.
    package func account(named text: String?) throws(StateError) -> AccountRecord {
        try database.read { db in try db.account(named: text) }
    }

    /// - Throws: `not-found`; `invalid`.
    @discardableResult
    package func set(_ settings: AccountSettings, ofAccount id: String) throws(StateError) -> AccountRecord {
        try database.write { db in
            var account = try db.requireAccount(id)
            try settings.apply(to: &account)
            try account.update(db)
            return account
        }
    }

    /// Removes an account with its keys, roles, policies, buckets' rows and what is known of its tasks that are over.
    ///
    /// - Throws: `not-found`; `in-use` while it has images, or a task waits or runs.
    package func removeAccount(_ id: String) throws(StateError) {
        try database.write { db in
            let account = try db.requireAccount(id)
            let images = try ImageRecord.filter(Column("accountID") == id).fetchCount(db)
            guard images == 0 else {
                throw StateError(.inUse, "the account has \(images) images; remove them first", subject: id)
            }
            guard try TaskRecord.filter(Column("accountID") == id).filter(TaskRecord.isUnfinished).isEmpty(db) else {
                throw StateError(.inUse, "a task of the account waits or runs; cancel it, or wait for it", subject: id)
            }
            try TaskRecord.filter(Column("accountID") == id).deleteAll(db)
            try BucketRecord.filter(Column("accountID") == id).deleteAll(db)
            try account.delete(db)
        }
    }
}

extension TaskRecord {
    /// Whether it waits or runs.
    static var isUnfinished: some SQLSpecificExpressible {
        [Status.waiting, Status.processing].contains(Column("status"))
    }
}

extension Database {
    func account(_ id: String) throws -> AccountRecord? { try AccountRecord.filter(Column("id") == id).fetchOne(self) }

    /// - Throws: `not-found`.
    func requireAccount(_ id: String) throws -> AccountRecord {
        guard let account = try account(id) else {
            throw StateError(
                .notFound, "there is no account of this id; 'lathe admin account list' shows them", subject: id)
        }
        return account
    }

    func account(named text: String?) throws -> AccountRecord {
        guard let text else {
            let all = try AccountRecord.limit(2).fetchAll(self)
            guard let first = all.first else {
                throw StateError(.notFound, "there is no account yet; 'lathe admin account create' makes one")
            }
            guard all.count == 1 else {
                throw StateError(.invalid, "there are several accounts: name one by its id or its name")
            }
            return first
        }
        if let account = try account(text) { return account }
        guard let account = try AccountRecord.filter(Column("name") == text).fetchOne(self) else {
            throw StateError(
                .notFound, "there is no account of this id or name; 'lathe admin account list' shows them",
                subject: text)
        }
        return account
    }

    func makeAccount(name: String, id: String?, _ settings: AccountSettings, now: UInt64) throws -> AccountRecord {
        try Names.requireAccountName(name)
        if let id { try Names.requireAccountID(id) }
        var account = AccountRecord(
            id: id ?? RandomName.account(), name: name, mayExport: true, exportsDataDisks: true, concurrentExports: 5,
            weeklyExports: 100, created: now)
        try settings.apply(to: &account)
        guard try self.account(account.id) == nil else {
            throw StateError(.exists, "there is an account of this id already", subject: account.id)
        }
        guard try AccountRecord.filter(Column("name") == name).isEmpty(self) else {
            throw StateError(.exists, "there is an account of this name already", subject: name)
        }
        try account.insert(self)
        return account
    }
}
