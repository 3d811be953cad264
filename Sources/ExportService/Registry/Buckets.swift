internal import GRDB

extension ServiceState {
    /// Says whose a bucket is, and where; the bucket itself is made by the store.
    ///
    /// - Throws: `exists`; `not-found` where the account or the region is not there; `invalid`.
    @discardableResult
    package func addBucket(_ name: String, ofAccount accountID: String, in regionID: String) throws(StateError)
        -> BucketRecord
    {
        try database.write { db in try db.addBucket(name, ofAccount: accountID, in: regionID, now: clock()) }
    }

    /// Those of an account, or all, in the order of their names.
    package func buckets(ofAccount accountID: String? = nil) throws(StateError) -> [BucketRecord] {
        try database.read { db in
            var request = BucketRecord.order(Column("name"))
            if let accountID { request = request.filter(Column("accountID") == accountID) }
            return try request.fetchAll(db)
        }
    }

    package func bucket(_ name: String) throws(StateError) -> BucketRecord? {
        try database.read { db in try db.bucket(name) }
    }

    /// Forgets whose a bucket is; what is in it stays in the store.
    ///
    /// - Throws: `not-found`; `in-use` while a task waits or runs that is about it.
    package func removeBucket(_ name: String) throws(StateError) {
        try database.write { db in
            guard let bucket = try db.bucket(name) else {
                throw StateError(
                    .notFound, "there is no bucket of this name; 'lathe admin bucket list' shows them", subject: name)
            }
            guard try TaskRecord.filter(Column("bucket") == name).filter(TaskRecord.isUnfinished).isEmpty(db) else {
                throw StateError(.inUse, "a task waits or runs that is about the bucket", subject: name)
            }
            try bucket.delete(db)
        }
    }
}

extension Database {
    func bucket(_ name: String) throws -> BucketRecord? {
        try BucketRecord.filter(Column("name") == name).fetchOne(self)
    }

    func addBucket(_ name: String, ofAccount accountID: String, in regionID: String, now: UInt64) throws -> BucketRecord
    {
        try Names.requireBucketName(name)
        _ = try requireAccount(accountID)
        _ = try requireRegion(regionID)
        guard try bucket(name) == nil else {
            throw StateError(.exists, "the bucket is an account's already; buckets have one name each", subject: name)
        }
        let bucket = BucketRecord(name: name, accountID: accountID, regionID: regionID, created: now)
        try bucket.insert(self)
        return bucket
    }
}
