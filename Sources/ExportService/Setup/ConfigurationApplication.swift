internal import GRDB

/// What a configuration file changed.
package struct AppliedConfiguration: Sendable {
    package struct Change: Hashable, Sendable {
        package enum Kind: String, Hashable, Sendable { case made, changed }
        package var kind: Kind
        /// As `role`.
        package var what: String
        package var name: String
    }

    package fileprivate(set) var changes: [Change] = []
    /// Keys for which a secret was made up: their owner is told it this once.
    package fileprivate(set) var madeKeys: [AccessKeyRecord] = []
}

extension ServiceState {
    /// Makes things so that they are as a configuration file says, in one transaction: all of it, or, on an error, nothing.
    ///
    /// - Parameters:
    ///   - facts: of the files of all disks that the configuration names.
    ///   - announce: tells what was made, as the secrets that are told this once. Where it throws, nothing was made.
    /// - Returns: what was not so before; a second time, nothing.
    /// - Throws: any error of what it does, with the path of the part in the file as its subject.
    @discardableResult
    package func apply(
        _ configuration: ServiceConfiguration, facts: [ServiceConfiguration.DiskFile: DiskFacts],
        announce: (AppliedConfiguration) throws(StateError) -> Void = { _ throws(StateError) in }
    ) throws(StateError) -> AppliedConfiguration {
        try database.write { db in
            let applied = try db.apply(configuration, facts: facts, now: clock())
            try announce(applied)
            return applied
        }
    }
}

extension Database {
    func apply(
        _ configuration: ServiceConfiguration, facts: [ServiceConfiguration.DiskFile: DiskFacts], now: UInt64
    ) throws -> AppliedConfiguration {
        var application = ConfigurationApplication(db: self, now: now, facts: facts)
        for region in configuration.regions { try application.apply(region) }
        for account in configuration.accounts { try application.apply(account) }
        return application.applied
    }
}

/// A configuration on its way into the database.
private struct ConfigurationApplication {
    let db: Database
    let now: UInt64
    let facts: [ServiceConfiguration.DiskFile: DiskFacts]
    var applied = AppliedConfiguration()

    mutating func apply(_ region: ServiceConfiguration.Region) throws {
        try at(region.path) { application in
            let old = try application.db.region(region.id)
            let new = try application.db.setRegion(
                region.id, localName: region.localName, endpoint: region.endpoint, supportsExport: region.supportsExport
            )
            application.note("region", region.id, old, new)
        }
    }

    mutating func apply(_ account: ServiceConfiguration.Account) throws {
        let id = try at(account.path) { application in try application.accountID(account) }
        for key in account.keys { try at(key.path) { try $0.apply(key, id) } }
        for policy in account.policies {
            try at(policy.path) { application in
                let old = try application.db.policy(policy.name, id)
                let new = try application.db.setPolicy(policy.name, id, document: policy.document)
                application.note("policy", policy.name, old, new)
            }
        }
        for role in account.roles { try at(role.path) { try $0.apply(role, id) } }
        for bucket in account.buckets { try at(bucket.path) { try $0.apply(bucket, id) } }
        for image in account.images { try at(image.path) { try $0.apply(image, id) } }
    }

    private mutating func accountID(_ account: ServiceConfiguration.Account) throws -> String {
        var old = try account.id.flatMap { try db.account($0) }
        if account.id == nil, let name = account.name {
            old = try AccountRecord.filter(Column("name") == name).fetchOne(db)
        }
        guard let old else {
            guard let name = account.name else {
                throw StateError(.invalid, "there is no account of this id yet, and a new one needs a name")
            }
            let new = try db.makeAccount(name: name, id: account.id, account.settings, now: now)
            note("account", new.id, nil as AccountRecord?, new)
            return new.id
        }
        var new = old
        if let name = account.name {
            try Names.requireAccountName(name)
            new.name = name
        }
        try account.settings.apply(to: &new)
        try new.update(db)
        note("account", new.id, old, new)
        return new.id
    }

    private mutating func apply(_ key: ServiceConfiguration.Key, _ accountID: String) throws {
        guard let old = try AccessKeyRecord.filter(Column("id") == key.id).fetchOne(db) else {
            var new = try db.makeKey(ofAccount: accountID, id: key.id, secret: key.secret, now: now)
            new.isActive = key.isActive ?? true
            try new.update(db)
            note("key", key.id, nil as AccessKeyRecord?, new)
            if key.secret == nil { applied.madeKeys.append(new) }
            return
        }
        guard old.accountID == accountID else { throw StateError(.exists, "the key is another account's") }
        if let secret = key.secret { try Names.requireSecret(secret) }
        var new = old
        new.secret = key.secret ?? old.secret
        new.isActive = key.isActive ?? old.isActive
        try new.update(db)
        note("key", key.id, old, new)
    }

    private mutating func apply(_ role: ServiceConfiguration.Role, _ accountID: String) throws {
        let old = try db.role(role.name, accountID)
        let new = try db.setRole(
            role.name, accountID, trustPolicy: role.trustPolicy, maxSessionSeconds: role.maxSessionSeconds, now: now)
        var isChanged = old != nil && old != new
        if let policies = role.policies {
            let before = try db.policies(ofRole: role.name, accountID).map(\.name)
            try RolePolicyRecord.filter(Column("accountID") == accountID && Column("roleName") == role.name)
                .deleteAll(db)
            for policy in policies { try db.attachPolicy(policy, toRole: role.name, accountID) }
            let after = try db.policies(ofRole: role.name, accountID).map(\.name)
            isChanged = isChanged || old != nil && before != after
        }
        if old == nil || isChanged {
            applied.changes.append(.init(kind: old == nil ? .made : .changed, what: "role", name: role.name))
        }
    }

    private mutating func apply(_ bucket: ServiceConfiguration.Bucket, _ accountID: String) throws {
        guard let old = try db.bucket(bucket.name) else {
            let new = try db.addBucket(bucket.name, ofAccount: accountID, in: bucket.region, now: now)
            return note("bucket", bucket.name, nil as BucketRecord?, new)
        }
        guard old.accountID == accountID else { throw StateError(.exists, "the bucket is another account's") }
        var new = old
        new.regionID = try db.requireRegion(bucket.region).id
        try new.update(db)
        note("bucket", bucket.name, old, new)
    }

    private mutating func apply(_ image: ServiceConfiguration.Image, _ accountID: String) throws {
        var new = NewImage(
            accountID: accountID, regionID: image.region, name: image.name,
            disks: try image.disks.map { disk in
                guard let facts = facts[disk.file] else {
                    throw StateError(.notFound, "the file was not looked at", subject: disk.path)
                }
                return NewImage.Disk(
                    path: disk.file.path, facts: facts, device: disk.device, isEncrypted: disk.isEncrypted)
            })
        let old = try image.id.map { try db.image($0) } ?? db.image(named: image.name, accountID, image.region)
        if let old {
            guard old.image.accountID == accountID, old.image.regionID == image.region else {
                throw StateError(.exists, "the image is another account's, or in another region")
            }
        }
        new.id = image.id ?? old?.image.id
        new.take(image, over: old?.image)
        try new.validate()
        guard let old else {
            let added = try db.addImage(new, now: now)
            return note("image", added.image.id, nil as RegisteredImage?, added)
        }
        let changed = new.registered(id: old.image.id, created: old.image.created)
        guard changed != old else { return }
        if changed.disks != old.disks, let task = try db.unfinishedTask(ofImage: old.image.id) {
            throw StateError(.inUse, "the task \(task.id) is at work with the disks of the image")
        }
        try changed.image.update(db)
        try DiskRecord.filter(Column("imageID") == old.image.id).deleteAll(db)
        for disk in changed.disks { try disk.insert(db) }
        note("image", old.image.id, old, changed)
    }

    private mutating func note<Value: Equatable>(_ what: String, _ name: String, _ old: Value?, _ new: Value) {
        guard old != new else { return }
        applied.changes.append(.init(kind: old == nil ? .made : .changed, what: what, name: name))
    }

    /// Names the part of the file in an error.
    private mutating func at<Value>(_ path: String, _ body: (inout ConfigurationApplication) throws -> Value) throws
        -> Value
    {
        do {
            return try body(&self)
        } catch var error as StateError {
            let inner = error.subject.map { "'\($0)': " } ?? ""
            // A part that is named more exactly stays.
            if error.subject?.hasPrefix(path) ?? false { throw error }
            error.message = inner + error.message
            error.subject = path
            throw error
        }
    }
}

extension NewImage {
    /// What the file says of the image, or else what is known of it.
    fileprivate mutating func take(_ image: ServiceConfiguration.Image, over old: ImageRecord?) {
        description = image.description ?? old?.description ?? description
        status = image.status ?? old?.status ?? status
        productCode = (image.productCode ?? old?.productCode).flatMap { $0.isEmpty ? nil : $0 }
        licenseRestriction = (image.licenseRestriction ?? old?.licenseRestriction).flatMap { $0.isEmpty ? nil : $0 }
        osType = image.osType ?? old?.osType ?? osType
        architecture = image.architecture ?? old?.architecture ?? architecture
        platform = image.platform ?? old?.platform ?? platform
    }
}

extension Database {
    /// The image of an account and region that has a name, where no second one has it.
    fileprivate func image(named name: String, _ accountID: String, _ regionID: String) throws -> RegisteredImage? {
        let found = try ImageRecord.filter(
            Column("accountID") == accountID && Column("regionID") == regionID && Column("name") == name
        ).fetchAll(self)
        guard found.count <= 1 else {
            throw StateError(.invalid, "\(found.count) images have this name; say which by its id", subject: name)
        }
        return try found.first.map { RegisteredImage(image: $0, disks: try disks(of: $0.id)) }
    }
}
