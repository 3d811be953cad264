internal import Glibc
internal import ImageFiles
internal import ImageModel

/// The changes of an object's file and record, which are made one at a time for each key.
///
/// A record's name holds the file's identity. So it can be written before the file takes its place, which is the moment in
/// which the object appears, and until then nobody looks at it; and the old one is removed behind it.
extension BucketRoom {
    /// An object's file, as it stands in its directory.
    struct Standing {
        var folder: Folder
        var status: stat
        var identity: FileIdentity { FileIdentity(status) }
    }

    func objectExists(_ key: ObjectKey) -> StoreError {
        StoreError(
            .objectExists, "the object is there already, and may not be replaced", operation: name(of: key))
    }

    /// Runs what changes an object; nobody else changes it meanwhile.
    func change<Result>(
        _ key: ObjectKey, _ body: (_ records: Folder, _ standing: Standing?) throws(StoreError) -> Result
    ) throws(StoreError) -> Result {
        let path = try ObjectPath(key)
        let records = try madeRecordFolder(of: key)
        return try records.withLock { () throws(StoreError) in
            var standing: Standing?
            if let folder = try folder(of: path), let status = try folder.status(path.file), status.isFile {
                standing = Standing(folder: folder, status: status)
            }
            return try body(records, standing)
        }
    }

    /// Makes a file that is complete an object, atomically.
    ///
    /// - Parameters:
    ///   - file: the open file.
    ///   - move: gives the file its name in a directory, and answers 0 or the error number.
    func install(
        _ record: ObjectRecord, of key: ObjectKey, at path: ObjectPath, file: Int32, replacing: Bool,
        move: (_ to: Folder, _ name: String, _ replacing: Bool) throws(StoreError) -> Int32
    ) throws(StoreError) -> ObjectSummary {
        try settle(file, flushing: objects.flushes, path: name(of: key))
        return try whileKept { () throws(StoreError) in
            try change(key) { (records, standing) throws(StoreError) in
                if standing != nil, !replacing { throw objectExists(key) }
                if let standing { try keepAccess(of: standing, named: path.file, for: file, key) }
                // When it was made is when it appears.
                guard futimens(file, nil) == 0 else { throw storeError("futimens", errno, path: name(of: key)) }
                let status = try fileStatus(file, path: name(of: key))
                let recordName = recordName(key, FileIdentity(status))
                try records.write(record: record, to: recordName, staging: temporary)
                do throws(StoreError) {
                    try place(key, at: path, replacing: replacing, move)
                } catch {
                    try? records.remove(recordName)
                    throw error
                }
                if let standing { try? records.remove(self.recordName(key, standing.identity)) }
                return record.summary(status)
            }
        }
    }

    /// Lets the file that takes an object's place be read and written by those who could before.
    private func keepAccess(of standing: Standing, named name: String, for file: Int32, _ key: ObjectKey)
        throws(StoreError)
    {
        guard let old = try standing.folder.open(name, O_RDONLY) else { return }
        let path = self.name(of: key)
        do throws(ImageError) { try FileAccess(of: old, path: path).give(to: file, path: path) } catch {
            throw StoreError(.inputOutput, error.message, operation: path)
        }
    }

    /// Moves a file to where its key says, over what is there if it may.
    private func place(
        _ key: ObjectKey, at path: ObjectPath, replacing: Bool,
        _ move: (Folder, String, Bool) throws(StoreError) -> Int32
    ) throws(StoreError) {
        // Each round but the last lost against somebody who removed an empty directory.
        for _ in 0..<1000 {
            let folder = try madeFolder(of: path, key)
            if let there = try folder.status(path.file), !there.isFile {
                guard there.isFolder, folder.removeEmptyFolders(path.file) else {
                    let what =
                        there.isFolder ? "a directory with other objects in it" : "neither a file nor a directory"
                    throw StoreError(
                        .unsupported,
                        "in a directory the key can't be kept while \(what) stands in its place",
                        operation: name(of: key))
                }
                continue
            }
            let number = try move(folder, path.file, replacing)
            switch number {
            case 0: return try folder.settleNames()
            case EEXIST where !replacing:
                if try folder.status(path.file)?.isFile == true { throw objectExists(key) }
            case ENOENT, ENOTDIR, EISDIR, EEXIST, ENOTEMPTY: continue
            default: throw storeError("rename", number, path: name(of: key))
            }
        }
        throw StoreError(
            .inputOutput, "its directory goes as often as it is made", persistence: .transient, operation: name(of: key)
        )
    }

    /// Removes the directories of an object that is gone, as far as nothing else is in them.
    private func removeEmptyFolders(of path: ObjectPath) throws(StoreError) {
        var open = [objects]
        for name in path.folders {
            guard let inner = try open.last?.folder(name) else { break }
            open.append(inner)
        }
        for (folder, name) in zip(open, path.folders).reversed() {
            guard folder.removeEmptyFolder(name) else { return }
        }
    }

    func delete(_ key: ObjectKey) throws(StoreError) {
        let path = try ObjectPath(key)
        try change(key) { (records, standing) throws(StoreError) in
            guard let standing else { return }
            try standing.folder.remove(path.file)
            try records.remove(recordName(key, standing.identity))
            try removeEmptyFolders(of: path)
        }
    }
}

extension DirectoryBucket {
    public func delete(_ key: ObjectKey) throws(StoreError) { try room.delete(key) }

    public func setAttributes(
        _ attributes: ObjectAttributes, of key: ObjectKey, tag: String
    ) throws(StoreError) {
        let recorded = try RecordedAttributes(attributes)
        try room.change(key) { (records, standing) throws(StoreError) in
            guard let standing else { throw room.noSuchObject(key) }
            var record = try room.handmadeRecord(key, standing.identity)
            if let kept = try room.record(of: key, standing.identity, in: records) { record = kept }
            guard record.tag == tag else {
                throw StoreError(
                    .preconditionFailed,
                    "the object has the tag \(record.tag), not \(tag): another took its place meanwhile",
                    operation: room.name(of: key))
            }
            record.attributes = recorded
            try records.write(
                record: record, to: room.recordName(key, standing.identity), staging: room.temporary)
        }
    }
}
