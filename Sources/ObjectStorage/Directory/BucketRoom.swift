internal import Glibc

/// A bucket's directory and the store's own in it, open.
///
/// `.lathe` holds `bucket.json` and `settings.json`; `objects/XX`, the records of the objects whose key has a checksum that
/// ends in XX, and the lock under which one of them changes; `uploads/ID`; and `temporary`, for what is being made.
final class BucketRoom: Sendable {
    let name: BucketName
    let objects: Folder
    let own: Folder
    let records: Folder
    let uploads: Folder
    let temporary: Folder

    var path: String { objects.path }

    /// - Parameter folder: the bucket's; what is missing in it is made, so that any directory can be a bucket.
    init(_ folder: Folder, name: BucketName) throws(StoreError) {
        func made(_ inner: String, in outer: Folder) throws(StoreError) -> Folder {
            guard let made = try outer.madeFolder(inner) else {
                throw StoreError(
                    .inputOutput, "this must be a directory of the store's own, and is something else",
                    operation: outer.path(of: inner))
            }
            return made
        }
        self.name = name
        objects = folder
        own = try made(".lathe", in: folder)
        records = try made("objects", in: own)
        uploads = try made("uploads", in: own)
        temporary = try made("temporary", in: own)
        if try own.status(Self.recordName) == nil {
            try own.write(record: BucketRecord(created: secondsNow()), to: Self.recordName, staging: temporary)
        }
    }

    static let recordName = "bucket.json"
    static let settingsName = "settings.json"

    var noSuchBucket: StoreError {
        StoreError(.noSuchBucket, "there is no bucket '\(name)'", operation: path)
    }

    /// Runs what adds to the bucket; it is not deleted meanwhile.
    func whileKept<Result>(_ body: () throws(StoreError) -> Result) throws(StoreError) -> Result {
        try own.withLock(shared: true) { () throws(StoreError) in
            guard try own.status(Self.recordName) != nil else { throw noSuchBucket }
            return try body()
        }
    }

    // MARK: Objects

    /// The directory of an object's file; nil where it is not there.
    func folder(of path: ObjectPath) throws(StoreError) -> Folder? {
        var folder = objects
        for name in path.folders {
            guard let inner = try folder.folder(name) else { return nil }
            folder = inner
        }
        return folder
    }

    /// The directory of an object's file, made where it is not there.
    ///
    /// - Throws: `unsupported` where another object, or something that is none, stands where a directory must be.
    func madeFolder(of path: ObjectPath, _ key: ObjectKey) throws(StoreError) -> Folder {
        var folder = objects
        for name in path.folders {
            guard let inner = try folder.madeFolder(name) else {
                let isObject = try folder.status(name)?.isFile ?? false
                throw StoreError(
                    .unsupported,
                    "in a directory the key can't be kept while \(isObject ? "an object" : "something that is no directory") "
                        + "stands at \(folder.path(of: name)), which would have to be a directory",
                    operation: self.name(of: key))
            }
            folder = inner
        }
        return folder
    }

    func name(of key: ObjectKey) -> String { "\(path)/\(key)" }

    /// The directory of the records of an object and its like; nil where nothing was ever recorded there.
    func recordFolder(of key: ObjectKey) throws(StoreError) -> Folder? {
        try records.folder(hexadecimal(key.checksum & 0xFF, digits: 2))
    }

    func madeRecordFolder(of key: ObjectKey) throws(StoreError) -> Folder {
        let name = hexadecimal(key.checksum & 0xFF, digits: 2)
        guard let folder = try records.madeFolder(name) else {
            throw StoreError(
                .inputOutput, "this must be a directory of the store's own", operation: records.path(of: name))
        }
        return folder
    }

    /// The name of an object's record: another file, or other bytes in it, have another.
    func recordName(_ key: ObjectKey, _ identity: FileIdentity) -> String {
        "\(hexadecimal(key.checksum, digits: 16))-\(identity.text)"
    }

    func record(of key: ObjectKey, _ identity: FileIdentity, in folder: Folder?) throws(StoreError) -> ObjectRecord? {
        guard let folder, let record = try folder.record(ObjectRecord.self, recordName(key, identity)),
            key.isSame(as: record.key)
        else { return nil }
        return record
    }

    /// What the record of a file says that somebody put there.
    func handmadeRecord(_ key: ObjectKey, _ identity: FileIdentity) throws(StoreError) -> ObjectRecord {
        let text = Array(identity.text.utf8)
        let checksum = checksum(of: text)
        return ObjectRecord(
            key: key.description, tag: tag(crc64: checksum, length: identity.length), crc64: nil,
            attributes: try RecordedAttributes(ObjectAttributes()))
    }

    func noSuchObject(_ key: ObjectKey) -> StoreError {
        StoreError(.noSuchObject, "there is no such object", operation: name(of: key))
    }
}
