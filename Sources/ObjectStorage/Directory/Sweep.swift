internal import Glibc
internal import ImageFiles

extension DirectoryBucket {
    /// Removes what killed processes left behind: unfinished files, uploads that have ended, and records of objects that are not
    /// there; safe beside running processes.
    ///
    /// Uploads that were begun and not ended are nobody's but the user's: they stay.
    ///
    /// - Parameter seconds: only what nobody has touched for so long. What is in use is left alone, but for the instant between
    ///   the making of a file and its lock: with 0, nobody else should be at it.
    /// - Returns: how many files and directories were removed.
    @discardableResult
    public func sweep(olderThan seconds: UInt64) throws(StoreError) -> Int {
        let sweep = Sweep(room: room, before: Int64(clamping: secondsNow()) - Int64(clamping: seconds))
        return try sweep.temporary() + sweep.uploads() + sweep.records()
    }
}

private struct Sweep {
    let room: BucketRoom
    /// Only what was last changed at this time or before, in seconds since 1970-01-01 UTC.
    let before: Int64

    /// When something was made or last changed, be it its name, whatever its owner says of its content's time.
    private func isOld(_ status: stat) -> Bool { Int64(status.st_ctim.tv_sec) <= before }

    /// Removes a file that is old and that nobody is at.
    private func removeLeft(_ name: String, in folder: Folder) throws(StoreError) -> Int {
        guard let file = try folder.open(name, O_RDONLY), let status = try folder.status(name), status.isFile,
            isOld(status)
        else { return 0 }
        guard flock(file.number, LOCK_EX | LOCK_NB) == 0 else { return 0 }
        try folder.remove(name)
        return 1
    }

    func temporary() throws(StoreError) -> Int {
        var count = 0
        for name in try room.temporary.names() {
            guard let status = try room.temporary.status(name), isOld(status) else { continue }
            if status.isFolder {
                guard let folder = try room.temporary.open(name, O_RDONLY | O_DIRECTORY),
                    flock(folder.number, LOCK_EX | LOCK_NB) == 0
                else { continue }
                try room.temporary.removeFolder(name)
                count += 1
            } else {
                count += try removeLeft(name, in: room.temporary)
            }
        }
        return count
    }

    func uploads() throws(StoreError) -> Int {
        var count = 0
        for id in try room.uploads.names() {
            guard let folder = try room.uploads.folder(id), let status = try room.uploads.status(id) else { continue }
            guard let record = try folder.record(UploadRecord.self, UploadRoom.recordName),
                let key = try? ObjectKey(record.key)
            else {
                // Its record goes first, when it ends. Without one nothing is begun in it any more.
                if isOld(status), (try? room.uploads.removeFolder(id)) != nil { count += 1 }
                continue
            }
            let upload = try UploadRoom(MultipartUpload(key: key, id: id), room)
            do throws(StoreError) {
                count += try upload.whileOpen { (_) throws(StoreError) in try parts(of: upload) }
            } catch  where error.code == .noSuchUpload {
                // It had been completed, and its directory went with the question.
                count += 1
            }
        }
        return count
    }

    /// Removes files of parts that were never committed, or were replaced.
    private func parts(of upload: UploadRoom) throws(StoreError) -> Int {
        let files = Set(try upload.parts().compactMap(\.file))
        var count = 0
        for name in try upload.folder.names(where: { $0.hasPrefix("own-") && !files.contains($0) }) {
            count += try removeLeft(name, in: upload.folder)
        }
        return count
    }

    func records() throws(StoreError) -> Int {
        var count = 0
        for group in try room.records.names() {
            guard let folder = try room.records.folder(group) else { continue }
            for name in try folder.names() {
                guard let status = try folder.status(name), status.isFile, isOld(status) else { continue }
                let record = try folder.record(ObjectRecord.self, name)
                guard let record, let key = try? ObjectKey(record.key) else {
                    try folder.remove(name)
                    count += 1
                    continue
                }
                count += try room.change(key) { (records, standing) throws(StoreError) in
                    // Under the lock nobody is between a record and its object.
                    if let standing, room.recordName(key, standing.identity) == name { return 0 }
                    try folder.remove(name)
                    return 1
                }
            }
        }
        return count
    }
}
