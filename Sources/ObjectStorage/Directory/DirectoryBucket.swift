internal import Glibc
internal import ImageModel

/// A bucket in a directory.
///
/// All calls may be made by many threads and processes at once; see `DirectoryStore`.
public struct DirectoryBucket: Sendable {
    let room: BucketRoom

    init(_ room: BucketRoom) { self.room = room }

    public var name: String { room.path }

    /// The path without links, from the root on.
    public var location: String {
        guard let path = unsafe realpath(PathText.terminated(room.path), nil) else { return room.path }
        defer { unsafe free(path) }
        return unsafe PathText.text(of: path)
    }

    /// Where the file of an object is, or would be.
    ///
    /// - Throws: `unsupported` where the key can't be that of a file.
    public func filePath(of key: ObjectKey) throws(StoreError) -> String {
        let path = try ObjectPath(key)
        return ([room.path] + path.folders + [path.file]).joined(separator: "/")
    }

    /// Parts of any length; only that of OSS's greatest, and as many.
    public var limits: MultipartLimits {
        MultipartLimits(
            leastPartLength: 1, greatestPartLength: MultipartLimits.oss.greatestPartLength,
            partCount: MultipartLimits.oss.partCount)
    }

    /// - Throws: `no-such-bucket` where it was deleted meanwhile.
    public func summary() throws(StoreError) -> BucketSummary {
        guard let record = try room.own.record(BucketRecord.self, BucketRoom.recordName) else {
            throw room.noSuchBucket
        }
        return BucketSummary(name: room.name, created: record.created)
    }

    /// What `setSettings` left, or nothing.
    public func settings() throws(StoreError) -> [String: String] {
        try room.own.record([String: String].self, BucketRoom.settingsName) ?? [:]
    }

    /// Keeps a few settings of a server's own: as a whole, in place of those that were there.
    public func setSettings(_ settings: [String: String]) throws(StoreError) {
        try room.whileKept { () throws(StoreError) in
            try room.own.write(record: settings, to: BucketRoom.settingsName, staging: room.temporary)
        }
    }
}

extension DirectoryBucket: ObjectStore {
    public func put(
        _ body: ObjectBody, to key: ObjectKey, _ attributes: ObjectAttributes, replacing: Bool
    ) throws(StoreError) -> ObjectSummary {
        _ = try RecordedAttributes(attributes)
        if !replacing { try requireNone(key) }
        let writer = try beginObject(key)
        try body.forEachPiece { (bytes) throws(StoreError) in try writer.write(bytes) }
        try body.require(writer.length, writer.crc64, operation: room.name(of: key))
        return try writer.commit(tag: nil, attributes, replacing: replacing)
    }

    /// Begins an object that is written bit by bit.
    public func beginObject(_ key: ObjectKey) throws(StoreError) -> ObjectWriter {
        try ObjectWriter(key, room)
    }

    /// Opens an object for reading.
    ///
    /// The reader goes on with the same bytes when the object is replaced or deleted. The CRC-64 of a file that somebody put
    /// there is not known before `head` was asked for it.
    ///
    /// - Throws: `no-such-object`.
    public func open(_ key: ObjectKey) throws(StoreError) -> ObjectReader { try ObjectReader(key, room) }

    public func get(_ key: ObjectKey, range: Range<UInt64>, tag: String?) throws(StoreError) -> [UInt8] {
        let reader = try open(key)
        try reader.require(tag: tag)
        return try reader.read(range)
    }

    public func head(_ key: ObjectKey) throws(StoreError) -> ObjectSummary {
        try open(key).summaryWithChecksum()
    }

    /// Refuses a key under which there is an object already.
    func requireNone(_ key: ObjectKey) throws(StoreError) {
        let path = try ObjectPath(key)
        guard let status = try room.folder(of: path)?.status(path.file), status.isFile else { return }
        throw room.objectExists(key)
    }
}

extension ObjectBody {
    /// Refuses what arrived where it is not what was announced.
    func require(_ arrived: UInt64, _ checksum: UInt64, operation: String) throws(StoreError) {
        guard arrived == length, checksum == crc64 else {
            throw StoreError(
                .checksumMismatch,
                "\(arrived) bytes with CRC-64 \(checksum) arrived, but \(length) with \(crc64) were announced; "
                    + "the memory or the source changed meanwhile", persistence: .transient, operation: operation)
        }
    }
}
