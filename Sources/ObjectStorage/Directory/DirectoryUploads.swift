internal import Glibc

extension DirectoryBucket {
    /// - Parameter partLength: 0 where it is not known: the first part that comes then is taken to have it.
    public func initiate(
        _ key: ObjectKey, _ attributes: ObjectAttributes, partLength: UInt64, replacing: Bool
    ) throws(StoreError) -> MultipartUpload {
        if !replacing { try requireNone(key) }
        _ = try ObjectPath(key)
        let record = UploadRecord(
            key: key.description, attributes: try RecordedAttributes(attributes),
            partLength: min(partLength, limits.greatestPartLength),
            replacing: replacing, initiated: secondsNow())
        let id = randomName()
        return try room.whileKept { () throws(StoreError) in
            // Made elsewhere first: an upload is there with its record, or not at all.
            guard let folder = try room.temporary.madeFolder(id) else {
                throw storeError("mkdir", EEXIST, path: room.temporary.path(of: id))
            }
            do throws(StoreError) {
                guard try folder.open(UploadRoom.dataName, O_RDWR | O_CREAT) != nil else {
                    throw storeError("create", EEXIST, path: folder.path(of: UploadRoom.dataName))
                }
                // The lock tells `sweep` that somebody is at it.
                try folder.withLock { () throws(StoreError) in
                    try folder.write(record: record, to: UploadRoom.recordName, staging: room.temporary)
                    let number = moveFile(id, in: room.temporary, to: id, in: room.uploads, replacing: true)
                    guard number == 0 else { throw storeError("rename", number, path: folder.path) }
                }
            } catch {
                try? room.temporary.removeFolder(id)
                throw error
            }
            return MultipartUpload(key: key, id: id, initiated: record.initiated)
        }
    }

    public func upload(_ body: ObjectBody, asPart number: Int, of upload: MultipartUpload) throws(StoreError)
        -> StoredPart
    {
        let writer = try beginPart(number, of: upload, length: body.length)
        try body.forEachPiece { (bytes) throws(StoreError) in try writer.write(bytes) }
        try body.require(writer.length, writer.crc64, operation: "\(room.name(of: upload.key)) part \(number)")
        return try writer.commit(tag: nil)
    }

    /// Begins a part that is written bit by bit.
    ///
    /// - Parameter length: how long it will be, where that is known: the bytes then go where they stay.
    /// - Throws: `no-such-upload`; `invalid-request` where number or length are beyond the limits.
    public func beginPart(_ number: Int, of upload: MultipartUpload, length: UInt64?) throws(StoreError)
        -> PartWriter
    {
        guard (1...limits.partCount).contains(number) else {
            throw StoreError(
                .invalidRequest, "a part's number is from 1 to \(limits.partCount), not \(number)", operation: name)
        }
        if let length, length > limits.greatestPartLength {
            throw StoreError(
                .invalidRequest, "a part has at most \(limits.greatestPartLength) bytes, not \(length)", operation: name
            )
        }
        return try PartWriter(
            number, length: length, greatest: limits.greatestPartLength, UploadRoom(upload, room))
    }

    public func parts(of upload: MultipartUpload) throws(StoreError) -> [StoredPart] {
        let upload = try UploadRoom(upload, room)
        return try upload.whileOpen(shared: true) { (_) throws(StoreError) in try upload.parts().map(\.stored) }
    }

    /// What the object will have, as the upload was begun.
    ///
    /// - Throws: `no-such-upload`.
    public func uploadAttributes(_ upload: MultipartUpload) throws(StoreError) -> ObjectAttributes {
        try UploadRoom(upload, room).whileOpen(shared: true) { (record) throws(StoreError) in
            record.attributes.attributes
        }
    }

    public func abort(_ upload: MultipartUpload) throws(StoreError) {
        let upload = try UploadRoom(upload, room)
        try upload.whileOpen { (_) throws(StoreError) in try upload.remove() }
    }

    /// Those of one key in the order in which they were begun.
    public func uploads(prefix: String) throws(StoreError) -> [MultipartUpload] {
        var uploads: [MultipartUpload] = []
        for id in try room.uploads.names() {
            guard let record = try room.uploads.folder(id)?.record(UploadRecord.self, UploadRoom.recordName),
                record.key.utf8.starts(with: prefix.utf8), let key = try? ObjectKey(record.key)
            else { continue }
            let upload = MultipartUpload(key: key, id: id, initiated: record.initiated)
            // Without its lock, which may be held for as long as it takes to copy parts.
            guard let open = try? UploadRoom(upload, room), try !open.isCompleted() else { continue }
            uploads.append(upload)
        }
        return uploads.sorted { left, right in
            let (leftKey, rightKey) = (left.key.description.utf8, right.key.description.utf8)
            if !leftKey.elementsEqual(rightKey) { return leftKey.lexicographicallyPrecedes(rightKey) }
            return (left.initiated ?? 0, left.id) < (right.initiated ?? 0, right.id)
        }
    }
}
