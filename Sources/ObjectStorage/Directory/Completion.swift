internal import Glibc
internal import ImageCodecs
internal import ImageFiles

extension DirectoryBucket {
    /// Only numbers and tags of the parts are looked at.
    public func complete(_ upload: MultipartUpload, parts: [StoredPart], replacing: Bool) throws(StoreError)
        -> ObjectSummary
    {
        try complete(upload, parts: parts, replacing: replacing, leastPartLength: 1)
    }

    /// Makes the parts an object, for a server whose protocol asks more of them than a directory does.
    ///
    /// - Parameters:
    ///   - leastPartLength: of every part but the last, in bytes.
    ///   - acl: who may do what with the object, in place of what was said when the upload began; nil leaves that.
    /// - Throws: `invalid-part` also where one is smaller; nothing has changed then.
    public func complete(
        _ upload: MultipartUpload, parts: [StoredPart], replacing: Bool, leastPartLength: UInt64, acl: String? = nil
    ) throws(StoreError) -> ObjectSummary {
        let path = try ObjectPath(upload.key)
        let upload = try UploadRoom(upload, room)
        return try upload.whileOpen { (begun) throws(StoreError) in
            var record = begun
            record.attributes.acl = acl ?? record.attributes.acl
            let mayReplace = replacing && record.replacing
            if !mayReplace { try requireNone(upload.upload.key) }
            let completion = Completion(upload, record, try upload.chosen(parts, leastPartLength: leastPartLength))
            return try completion.run(at: path, replacing: mayReplace)
        }
    }
}

extension UploadRoom {
    /// The records of the parts that an object shall be made of.
    func chosen(_ parts: [StoredPart], leastPartLength: UInt64) throws(StoreError) -> [PartRecord] {
        func invalid(_ message: String) -> StoreError { StoreError(.invalidPart, message, operation: operation) }
        guard !parts.isEmpty else { throw invalid("an object is made of one part at least, and none is named") }
        var chosen: [PartRecord] = []
        for part in parts {
            if let last = chosen.last, last.number >= part.number {
                throw invalid(
                    "part \(part.number) comes behind part \(last.number); parts are named in ascending order")
            }
            guard (1...MultipartLimits.oss.partCount).contains(part.number), let record = try self.part(part.number)
            else { throw invalid("part \(part.number) was not uploaded") }
            guard record.tag == part.tag else {
                throw invalid("part \(part.number) has the tag \(record.tag), not \(part.tag); it was uploaded again")
            }
            chosen.append(record)
        }
        for part in chosen.dropLast() where part.length < leastPartLength {
            throw invalid(
                "part \(part.number) has \(part.length) bytes, and every part but the last at least \(leastPartLength)")
        }
        return chosen
    }
}

/// The making of an object from its parts; the upload's lock is held.
private struct Completion {
    let upload: UploadRoom
    let record: UploadRecord
    let parts: [PartRecord]
    let length: UInt64

    init(_ upload: UploadRoom, _ record: UploadRecord, _ parts: [PartRecord]) {
        self.upload = upload
        self.record = record
        self.parts = parts
        // 10,000 parts of 5 GiB are far from the end of 64 bits.
        length = parts.reduce(0) { $0 + $1.length }
    }

    func run(at path: ObjectPath, replacing: Bool) throws(StoreError) -> ObjectSummary {
        let (folder, room, key) = (upload.folder, upload.room, upload.upload.key)
        // What a killed completion left counts no more.
        try folder.remove(UploadRoom.completingName)
        try folder.remove(UploadRoom.assembledName)
        let whole = try makeWhole()
        let name = whole.name
        try setLength(whole.file.number, length, path: upload.operation)
        try folder.write(Array(name.utf8), to: UploadRoom.completingName, staging: room.temporary)
        let object = ObjectRecord(key: key.description, tag: tag, crc64: crc64, attributes: record.attributes)
        let summary: ObjectSummary
        do throws(StoreError) {
            summary = try room.install(object, of: key, at: path, file: whole.file.number, replacing: replacing) {
                (target, file, replacing) throws(StoreError) in
                moveFile(name, in: folder, to: file, in: target, replacing: replacing)
            }
        } catch {
            try? folder.remove(UploadRoom.completingName)
            try? folder.remove(UploadRoom.assembledName)
            throw error
        }
        // The object is there; what can't be removed now, `sweep` removes.
        try? upload.remove()
        return summary
    }

    /// An open file of the upload's.
    private struct Whole: ~Copyable {
        var file: FileDescriptor
        var name: String
    }

    private func makeWhole() throws(StoreError) -> Whole {
        if let joined = try joined() { return joined }
        return try assembled()
    }

    /// The parts where they stand, if they stand one behind the other; those that have files of their own are copied to their
    /// places.
    ///
    /// - Returns: nil where their lengths or numbers are such that they must move.
    private func joined() throws(StoreError) -> Whole? {
        let partLength = record.partLength
        guard partLength > 0, let last = parts.last, last.number == parts.count, last.length <= partLength,
            parts.dropLast().allSatisfy({ $0.length == partLength }),
            // With all in files of their own there is nothing to join.
            parts.contains(where: { $0.file == nil })
        else { return nil }
        // Parts that stand behind the end would be cut off, and have to stay in case that the object may not take its place.
        let standing = try upload.parts()
        guard !standing.contains(where: { $0.file == nil && $0.number > parts.count }) else { return nil }
        let data = try upload.openData()
        // Somebody who still writes into it would write into the object.
        guard FileCalls.lockRange(data.number, at: 0, length: 0, locked: true) == 0 else { return nil }
        for part in parts where part.file != nil {
            let start = UInt64(part.number - 1) * partLength
            try clear(data.number, start..<start + partLength, path: upload.operation)
            try copy(part, to: data.number, at: start)
        }
        return Whole(file: data, name: UploadRoom.dataName)
    }

    /// The parts, copied one behind the other.
    private func assembled() throws(StoreError) -> Whole {
        let flags = O_RDWR | O_CREAT | O_EXCL
        guard let target = try upload.folder.open(UploadRoom.assembledName, flags) else {
            throw storeError("create", ENOENT, path: upload.folder.path(of: UploadRoom.assembledName))
        }
        do throws(StoreError) {
            let data = try upload.openData()
            var place: UInt64 = 0
            for part in parts {
                if part.file == nil {
                    let start = UInt64(part.number - 1) * record.partLength
                    try copyBytes(
                        from: data.number, start..<start + part.length, to: target.number, at: place,
                        path: upload.operation)
                } else {
                    try copy(part, to: target.number, at: place)
                }
                place += part.length
            }
        } catch {
            try? upload.folder.remove(UploadRoom.assembledName)
            throw error
        }
        return Whole(file: target, name: UploadRoom.assembledName)
    }

    /// Copies a part that has a file of its own.
    private func copy(_ part: PartRecord, to target: Int32, at place: UInt64) throws(StoreError) {
        guard let name = part.file, let file = try upload.folder.open(name, O_RDONLY),
            try fileStatus(file.number, path: upload.operation).length == part.length
        else {
            throw StoreError(
                .inputOutput, "the bytes of part \(part.number) are not there any more; upload it again",
                operation: upload.operation)
        }
        try copyBytes(from: file.number, 0..<part.length, to: target, at: place, path: upload.operation)
    }

    private var crc64: UInt64 {
        var sum = CRC64Sum()
        var start: UInt64 = 0
        for part in parts {
            sum.add(CRC64Sum(checksum: part.crc64, length: part.length), startingAt: start)
            start += part.length
        }
        return sum.checksum(length: length)
    }

    /// Other parts have another, and so have the same bytes in other parts.
    private var tag: String {
        let tags = parts.map(\.tag).joined(separator: ",")
        let ofTags = checksum(of: Array(tags.utf8))
        return hexadecimal(ofTags, digits: 16) + hexadecimal(crc64, digits: 16) + "-\(parts.count)"
    }
}
