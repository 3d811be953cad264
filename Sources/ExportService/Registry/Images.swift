internal import GRDB

/// An image with its disks, in the order of their positions.
package struct RegisteredImage: Hashable, Sendable {
    package var image: ImageRecord
    package var disks: [DiskRecord]
}

/// An image that is to be registered.
package struct NewImage: Hashable, Sendable {
    package struct Disk: Hashable, Sendable {
        /// An absolute path.
        package var path: String
        package var facts: DiskFacts
        /// As `/dev/xvdb`; nil takes the one of its position.
        package var device: String?
        package var isEncrypted: Bool
        /// Whether the file is the service's own, and goes with the image.
        package var isOwned: Bool

        package init(
            path: String, facts: DiskFacts, device: String? = nil, isEncrypted: Bool = false, isOwned: Bool = false
        ) {
            self.path = path
            self.facts = facts
            self.device = device
            self.isEncrypted = isEncrypted
            self.isOwned = isOwned
        }
    }

    /// Nil makes one up.
    package var id: String?
    package var accountID: String
    package var regionID: String
    package var name: String
    package var description = ""
    package var status = ImageRecord.Status.available
    package var productCode: String?
    package var licenseRestriction: String?
    package var osType = "linux"
    package var architecture = "x86_64"
    package var platform = "Others Linux"
    /// The system disk, then data disks: up to 16, which is more than can be exported.
    package var disks: [Disk]

    package init(accountID: String, regionID: String, name: String, disks: [Disk]) {
        self.accountID = accountID
        self.regionID = regionID
        self.name = name
        self.disks = disks
    }
}

/// What can be changed of an image; nil changes nothing.
package struct ImageChanges: Hashable, Sendable {
    package var name: String?
    package var description: String?
    package var status: ImageRecord.Status?
    /// Empty takes the mark away.
    package var productCode: String?
    /// Empty takes the mark away.
    package var licenseRestriction: String?
    /// Of all its disks.
    package var isEncrypted: Bool?

    package init() {}
}

extension ServiceState {
    /// The greatest number of disks of an image: one system disk and so many data disks that the refusal of too many can be seen.
    package static let greatestDiskCount = 17

    /// - Throws: `exists`; `not-found` where the account or the region is not there; `invalid`.
    @discardableResult
    package func addImage(_ new: NewImage) throws(StateError) -> RegisteredImage {
        try database.write { db in try db.addImage(new, now: clock()) }
    }

    /// Those of an account, or all, in the order of their making.
    package func images(ofAccount accountID: String? = nil, in regionID: String? = nil) throws(StateError)
        -> [RegisteredImage]
    {
        try database.read { db in
            var request = ImageRecord.order(Column("created"), Column("id"))
            if let accountID { request = request.filter(Column("accountID") == accountID) }
            if let regionID { request = request.filter(Column("regionID") == regionID) }
            return try request.fetchAll(db).map { RegisteredImage(image: $0, disks: try db.disks(of: $0.id)) }
        }
    }

    /// An image whosever it is; to callers of the API, only those of their own account may be shown.
    package func image(_ id: String) throws(StateError) -> RegisteredImage? {
        try database.read { db in try db.image(id) }
    }

    /// - Throws: `not-found`; `invalid`.
    @discardableResult
    package func change(_ id: String, _ changes: ImageChanges) throws(StateError) -> RegisteredImage {
        try database.write { db in
            var image = try db.requireImage(id)
            try changes.apply(to: &image)
            try image.image.update(db)
            for disk in image.disks { try disk.update(db) }
            return image
        }
    }

    /// Forgets an image.
    ///
    /// - Returns: what was forgotten: a file of a disk that `isOwned` is the caller's to remove.
    /// - Throws: `not-found`; `in-use` while it is exported or imported.
    @discardableResult
    package func removeImage(_ id: String) throws(StateError) -> RegisteredImage {
        try database.write { db in
            let image = try db.requireImage(id)
            if let task = try db.unfinishedTask(ofImage: id) {
                throw StateError(
                    .inUse, "the task \(task.id) is at work with the image; cancel it, or wait for it", subject: id)
            }
            try image.image.delete(db)
            return image
        }
    }
}

extension ImageChanges {
    /// - Throws: `invalid`.
    func apply(to image: inout RegisteredImage) throws(StateError) {
        if let name { try Names.requireImageName(name) }
        try Names.requireText(description, atMost: 256, "the description of an image")
        try Names.requireText(productCode, atMost: 64, "a product code")
        try Names.requireText(licenseRestriction, atMost: 256, "the sentence of a licence")
        image.image.name = name ?? image.image.name
        image.image.description = description ?? image.image.description
        image.image.status = status ?? image.image.status
        if let productCode { image.image.productCode = productCode.isEmpty ? nil : productCode }
        if let licenseRestriction {
            image.image.licenseRestriction = licenseRestriction.isEmpty ? nil : licenseRestriction
        }
        if let isEncrypted {
            for place in image.disks.indices { image.disks[place].isEncrypted = isEncrypted }
        }
    }
}

extension Database {
    func disks(of imageID: String) throws -> [DiskRecord] {
        try DiskRecord.filter(Column("imageID") == imageID).order(Column("position")).fetchAll(self)
    }

    func image(_ id: String) throws -> RegisteredImage? {
        try ImageRecord.filter(Column("id") == id).fetchOne(self).map {
            RegisteredImage(image: $0, disks: try disks(of: id))
        }
    }

    /// - Throws: `not-found`.
    func requireImage(_ id: String) throws -> RegisteredImage {
        guard let image = try image(id) else {
            throw StateError(.notFound, "there is no image of this id; 'lathe image list' shows them", subject: id)
        }
        return image
    }

    /// A task that waits or runs and is about the image.
    func unfinishedTask(ofImage id: String) throws -> TaskRecord? {
        try TaskRecord.filter(Column("imageID") == id).filter(TaskRecord.isUnfinished).fetchOne(self)
    }

    func addImage(_ new: NewImage, now: UInt64) throws -> RegisteredImage {
        try new.validate()
        _ = try requireAccount(new.accountID)
        _ = try requireRegion(new.regionID)
        let id = new.id ?? RandomName.id("m")
        guard try ImageRecord.filter(Column("id") == id).isEmpty(self) else {
            throw StateError(.exists, "there is an image of this id already", subject: id)
        }
        let image = new.registered(id: id, created: now)
        try image.image.insert(self)
        for disk in image.disks { try disk.insert(self) }
        return image
    }
}

extension NewImage {
    /// `/dev/xvda` is the system disk, `/dev/xvdb` the first data disk.
    static func device(_ position: Int) -> String {
        "/dev/xvd" + String(UnicodeScalar(UInt8(ascii: "a") + UInt8(clamping: min(position, 25))))
    }

    /// As it is when it is registered.
    func registered(id: String, created: UInt64) -> RegisteredImage {
        let image = ImageRecord(
            id: id, accountID: accountID, regionID: regionID, name: name, description: description, status: status,
            productCode: productCode, licenseRestriction: licenseRestriction, osType: osType,
            architecture: architecture, platform: platform, created: created)
        let disks = disks.enumerated().map { position, disk in
            DiskRecord(
                imageID: id, position: position, device: disk.device ?? Self.device(position), path: disk.path,
                format: disk.facts.format, virtualSize: disk.facts.virtualSize, isEncrypted: disk.isEncrypted,
                isOwned: disk.isOwned)
        }
        return RegisteredImage(image: image, disks: disks)
    }

    /// - Throws: `invalid`.
    func validate() throws(StateError) {
        if let id { try Names.requireImageID(id) }
        try Names.requireImageName(name)
        try Names.requireText(description, atMost: 256, "the description of an image")
        try Names.requireText(productCode, atMost: 64, "a product code")
        try Names.requireText(licenseRestriction, atMost: 256, "the sentence of a licence")
        for (what, text) in [("an OS type", osType), ("an architecture", architecture), ("a platform", platform)] {
            try Names.requireText(text, atMost: 64, what)
        }
        guard (1...ServiceState.greatestDiskCount).contains(disks.count) else {
            throw StateError(
                .invalid, "an image has one system disk and at most 16 data disks, this one has \(disks.count) disks",
                subject: name)
        }
        var devices: Set<String> = []
        for (position, disk) in disks.enumerated() {
            let device = disk.device ?? Self.device(position)
            try Names.requireDevice(device)
            guard devices.insert(device).inserted else {
                throw StateError(.invalid, "two disks of the image are \(device)", subject: name)
            }
            guard disk.path.hasPrefix("/"), !disk.path.utf8.contains(0) else {
                throw StateError(.invalid, "the path of a disk begins with '/'", subject: disk.path)
            }
            guard disk.facts.virtualSize <= UInt64(Int64.max) else {
                throw StateError(.invalid, "a disk of \(disk.facts.virtualSize) bytes can't be", subject: disk.path)
            }
        }
    }
}
