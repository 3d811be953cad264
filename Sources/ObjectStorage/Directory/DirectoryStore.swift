internal import Glibc
internal import ImageFiles
internal import ImageModel

/// An object store in a directory: each directory in it is a bucket, and each file in that an object.
///
/// Several processes may work on it at once. Whatever becomes of them, an object is there whole, with what is said of it, or
/// not at all. What is answered is on the disk by then, unless the store was opened otherwise: a machine that loses its power keeps
/// it, and a part that a record speaks of has its bytes.
///
/// Objects are plain files, `BUCKET/KEY`, with the slashes of the key between directories; `ObjectPath` says how keys are
/// written that could not be names of files. What the store keeps of its own stands in `BUCKET/.lathe`. Files that somebody
/// else put there are objects too. Symbolic links are not followed and are no objects.
public struct DirectoryStore: Sendable {
    public let path: String
    private let root: Folder

    /// Opens the directory.
    ///
    /// - Parameters:
    ///   - path: as `PathText` has it.
    ///   - creating: makes it where it isn't there.
    ///   - flushing: whether objects are on the disk before they count; false leaves that to the kernel.
    /// - Throws: `input-output` where it is no directory, is not there or can't be made.
    public init(path: String, creating: Bool = true, flushing: Bool = true) throws(StoreError) {
        self.path = path
        if creating, unsafe mkdir(PathText.terminated(path), mode_t(0o777)) != 0, errno != EEXIST, errno != EISDIR {
            throw storeError("mkdir", errno, path: path)
        }
        guard let root = try Folder.open(path: path, flushing: flushing) else {
            throw storeError("open", ENOENT, path: path)
        }
        self.root = root
    }

    /// All buckets, in the order of their names; a directory that somebody put there is one, made when it last changed.
    public func buckets() throws(StoreError) -> [BucketSummary] {
        var summaries: [BucketSummary] = []
        for name in try root.names().sorted() {
            guard let bucket = try? BucketName(name), let status = try root.status(name), status.isFolder else {
                continue
            }
            // Looking makes nothing.
            let record = try root.folder(name)?.folder(".lathe")?.record(BucketRecord.self, BucketRoom.recordName)
            summaries.append(BucketSummary(name: bucket, created: record?.created ?? status.modified))
        }
        return summaries
    }

    /// Makes a bucket.
    ///
    /// - Throws: `bucket-exists`.
    public func createBucket(_ name: BucketName) throws(StoreError) {
        guard unsafe mkdirat(root.descriptor.number, name.description, mode_t(0o777)) == 0 else {
            let number = errno
            guard number == EEXIST else { throw storeError("mkdir", number, path: root.path(of: name.description)) }
            throw StoreError(
                .bucketExists, "there is a bucket '\(name)', or a file of that name", operation: path)
        }
        _ = try bucket(name)
    }

    /// Deletes a bucket, in which nothing may be.
    ///
    /// - Throws: `no-such-bucket`; `bucket-not-empty` where there is an object, an upload, or anything else.
    public func deleteBucket(_ name: BucketName) throws(StoreError) {
        let bucket = try bucket(name)
        try bucket.room.destroy()
        guard root.removeEmptyFolder(name.description) else {
            throw StoreError(
                .bucketNotEmpty, "there is something in the bucket's directory that is no object: remove it by hand",
                operation: root.path(of: name.description))
        }
    }

    /// Opens a bucket.
    ///
    /// - Throws: `no-such-bucket`.
    public func bucket(_ name: BucketName) throws(StoreError) -> DirectoryBucket {
        guard let folder = try root.folder(name.description) else {
            throw StoreError(
                .noSuchBucket, "there is no bucket '\(name)'", operation: root.path(of: name.description))
        }
        return DirectoryBucket(try BucketRoom(folder, name: name))
    }

    /// Opens a bucket, and makes it where it isn't there.
    public func ensureBucket(_ name: BucketName) throws(StoreError) -> DirectoryBucket {
        guard let folder = try root.madeFolder(name.description) else {
            throw StoreError(
                .inputOutput, "this must be the directory of the bucket and is something else (a link is not followed)",
                operation: root.path(of: name.description))
        }
        return DirectoryBucket(try BucketRoom(folder, name: name))
    }

    /// Removes what killed processes left behind, in all buckets; safe beside running ones.
    ///
    /// - Parameter seconds: only what nobody has touched for so long.
    /// - Returns: how many files and directories were removed.
    @discardableResult
    public func sweep(olderThan seconds: UInt64) throws(StoreError) -> Int {
        var count = 0
        for summary in try buckets() {
            // Where the store has nothing of its own, it has left nothing.
            guard try root.folder(summary.name.description)?.status(".lathe") != nil else { continue }
            count += try bucket(summary.name).sweep(olderThan: seconds)
        }
        return count
    }
}

extension BucketRoom {
    /// Removes all that the store keeps of its own of an empty bucket.
    func destroy() throws(StoreError) {
        try own.withLock { () throws(StoreError) in
            guard try own.status(Self.recordName) != nil else { throw noSuchBucket }
            let bucket = DirectoryBucket(self)
            guard try bucket.list(prefix: "", after: nil, count: 1).entries.isEmpty,
                try bucket.uploads(prefix: "").isEmpty
            else {
                throw StoreError(
                    .bucketNotEmpty,
                    "the bucket '\(name)' has objects or unfinished uploads; delete and abort them first",
                    operation: path)
            }
            // From here on there is no such bucket for whoever waits for the lock.
            try own.remove(Self.recordName)
            try own.remove(Self.settingsName)
            for folder in [records, uploads] {
                for name in try folder.names() { try folder.removeFolder(name) }
            }
            for name in try temporary.names() {
                if try temporary.status(name)?.isFolder == true {
                    try temporary.removeFolder(name)
                } else {
                    try temporary.remove(name)
                }
            }
            for name in ["objects", "uploads", "temporary"] { own.removeEmptyFolder(name) }
            objects.removeEmptyFolder(".lathe")
            for name in try objects.names() { objects.removeEmptyFolders(name) }
        }
    }
}

extension Folder {
    /// Removes a directory in which there are only directories, however deep, and says whether it is gone.
    @discardableResult
    func removeEmptyFolders(_ name: String) -> Bool {
        if removeEmptyFolder(name) { return true }
        guard let inner = try? folder(name), let names = try? inner.names() else { return false }
        for deeper in names {
            guard inner.removeEmptyFolders(deeper) else { return false }
        }
        return removeEmptyFolder(name)
    }
}
