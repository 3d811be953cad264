internal import Glibc
internal import Synchronization

/// An object that is being written, of which nothing stays unless it is committed.
///
/// One thread at a time writes.
public final class ObjectWriter: Sendable {
    private let key: ObjectKey
    private let place: ObjectPath
    private let room: BucketRoom
    private let file: StagedFile
    /// nil once it is committed.
    private let writer: Mutex<SparseWriter?>
    private let greatestLength = MultipartLimits.oss.greatestPartLength

    init(_ key: ObjectKey, _ room: BucketRoom) throws(StoreError) {
        self.key = key
        self.room = room
        place = try ObjectPath(key)
        let file = try room.whileKept { () throws(StoreError) in try StagedFile(in: room.temporary) }
        self.file = file
        writer = Mutex(try SparseWriter(file.number, path: room.name(of: key)))
    }

    /// What was written so far, in bytes.
    public var length: UInt64 { writer.withLock { $0?.length ?? 0 } }
    /// CRC-64/XZ of what was written so far.
    public var crc64: UInt64 { writer.withLock { $0?.crc64 ?? 0 } }

    /// - Throws: `no-space`; `input-output`; `invalid-request` beyond the greatest length of an object that is put whole.
    public func write(_ bytes: Span<UInt8>) throws(StoreError) {
        let greatest = greatestLength
        let operation = room.name(of: key)
        try writer.withLock { (writer) throws(StoreError) in
            guard let length = writer?.length else {
                throw StoreError(.invalidRequest, "the object is committed", operation: operation)
            }
            guard length + UInt64(bytes.count) <= greatest else {
                throw StoreError(
                    .invalidRequest,
                    "an object that is put whole has at most \(greatest) bytes; send it in parts", operation: operation)
            }
            try writer?.write(bytes)
        }
    }

    /// Lets the object appear under its key.
    ///
    /// - Parameters:
    ///   - tag: its mark; nil lets the store make one.
    ///   - replacing: whether an object that is there is replaced.
    /// - Throws: `object-exists`; `unsupported` where the attributes or the place of the file can't be had.
    public func commit(
        tag: String?, _ attributes: ObjectAttributes, replacing: Bool
    ) throws(StoreError) -> ObjectSummary {
        let written = writer.withLock { writer in
            let written = writer
            writer = nil
            return written
        }
        guard let written else {
            throw StoreError(.invalidRequest, "the object is committed", operation: room.name(of: key))
        }
        try setLength(file.number, written.length, path: room.name(of: key))
        let record = ObjectRecord(
            key: key.description, tag: tag ?? ObjectStorage.tag(crc64: written.crc64, length: written.length),
            crc64: written.crc64, attributes: try RecordedAttributes(attributes))
        return try room.install(record, of: key, at: place, file: file.number, replacing: replacing) {
            (folder, name, replacing) throws(StoreError) in
            try file.move(to: folder, as: name, replacing: replacing)
        }
    }
}
