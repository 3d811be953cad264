internal import Glibc
internal import ImageCodecs
internal import ImageFiles

/// An object that is open for reading; what becomes of its name makes no difference.
public final class ObjectReader: Sendable {
    /// What was known of it when it was opened.
    public let summary: ObjectSummary

    private let key: ObjectKey
    private let room: BucketRoom
    private let descriptor: FileDescriptor
    let record: ObjectRecord
    let identity: FileIdentity

    init(_ key: ObjectKey, _ room: BucketRoom) throws(StoreError) {
        let path = try ObjectPath(key)
        let found = try Self.find(key, at: path, room)
        self.key = key
        self.room = room
        identity = found.identity
        record = found.record
        summary = found.record.summary(found.status)
        descriptor = found.descriptor
    }

    /// An open file with its record.
    private struct Found: ~Copyable {
        var descriptor: FileDescriptor
        var status: stat
        var identity: FileIdentity
        var record: ObjectRecord
    }

    private static func find(_ key: ObjectKey, at path: ObjectPath, _ room: BucketRoom) throws(StoreError) -> Found {
        for attempt in 0... {
            guard let file = try room.folder(of: path)?.open(path.file, O_RDONLY) else { break }
            let status = try fileStatus(file.number, path: room.name(of: key))
            guard status.isFile else { break }
            let identity = FileIdentity(status)
            if let record = try room.record(of: key, identity, in: room.recordFolder(of: key)) {
                return Found(descriptor: file, status: status, identity: identity, record: record)
            }
            // A file without a record was put there by somebody else, or was replaced a moment ago.
            let isStill = { () throws(StoreError) in
                guard let now = try room.folder(of: path)?.status(path.file) else { return false }
                return FileIdentity(now) == identity
            }
            // Where others replace it again and again, they are made to wait.
            let isHandmade =
                attempt < 8
                ? try isStill() : try room.change(key) { (_, now) throws(StoreError) in now?.identity == identity }
            if isHandmade, try room.record(of: key, identity, in: room.recordFolder(of: key)) == nil {
                let record = try room.handmadeRecord(key, identity)
                return Found(descriptor: file, status: status, identity: identity, record: record)
            }
        }
        throw room.noSuchObject(key)
    }

    /// The bytes of a range, exactly.
    ///
    /// - Throws: `invalid-range` where it is empty or not within the object.
    public func read(_ range: Range<UInt64>) throws(StoreError) -> [UInt8] {
        guard !range.isEmpty, range.upperBound <= summary.length else {
            throw StoreError(
                .invalidRange, "bytes \(range) were asked for, but the object has \(summary.length)",
                operation: room.name(of: key))
        }
        return try readBytes(descriptor.number, range, path: room.name(of: key))
    }

    /// Refuses an object that has another tag.
    func require(tag: String?) throws(StoreError) {
        guard let tag, tag != summary.tag else { return }
        throw StoreError(
            .preconditionFailed, "the object has the tag \(summary.tag), not \(tag): another took its place meanwhile",
            operation: room.name(of: key))
    }

    // MARK: Checksums of files that somebody put there

    /// What is known of the object, with the CRC-64, for which a file that somebody put there is read once.
    func summaryWithChecksum() throws(StoreError) -> ObjectSummary {
        guard summary.crc64 == nil else { return summary }
        var sum = CRC64Sum()
        try forEachData(descriptor.number, 0..<summary.length) { (run) throws(StoreError) in
            var start = run.lowerBound
            while start < run.upperBound {
                let end = min(run.upperBound, start + 1 << 20)
                let bytes = try readBytes(descriptor.number, start..<end, path: room.name(of: key))
                sum.add(CRC64Sum.remainder(bytes.span), endingAt: end)
                start = end
            }
        }
        let now = FileIdentity(try fileStatus(descriptor.number, path: room.name(of: key)))
        guard now == identity else {
            throw StoreError(
                .inputOutput, "the file was written to while its CRC-64 was taken; try again when that has ended",
                persistence: .transient, operation: room.name(of: key))
        }
        var complete = summary
        complete.crc64 = sum.checksum(length: summary.length)
        try keep(complete.crc64)
        return complete
    }

    /// Keeps what was found, unless the file is so new that its time could stay the same when it is written to again.
    private func keep(_ crc64: UInt64?) throws(StoreError) {
        guard summary.modified + 2 < secondsNow() else { return }
        try room.change(key) { (records, found) throws(StoreError) in
            guard found?.identity == identity, try room.record(of: key, identity, in: records) == nil else { return }
            var record = record
            record.crc64 = crc64
            try records.write(
                record: record, to: room.recordName(key, identity), staging: room.temporary)
        }
    }
}

extension ObjectRecord {
    func summary(_ status: stat) -> ObjectSummary {
        ObjectSummary(
            length: status.length, tag: tag, crc64: crc64, modified: status.modified,
            attributes: attributes.attributes)
    }
}
