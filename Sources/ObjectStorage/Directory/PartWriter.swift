internal import Glibc
internal import ImageFiles
internal import Synchronization

/// A part that is being written, of which nothing stays unless it is committed.
///
/// One thread at a time writes.
public final class PartWriter: Sendable {
    private let number: Int
    private let upload: UploadRoom
    private let declared: UInt64?
    private let greatest: UInt64
    private let target: Target
    /// nil once it is committed.
    private let writer: Mutex<SparseWriter?>

    init(_ number: Int, length: UInt64?, greatest: UInt64, _ upload: UploadRoom) throws(StoreError) {
        self.number = number
        self.upload = upload
        declared = length
        self.greatest = greatest
        let target = try upload.whileOpen { (record) throws(StoreError) in
            try Target.claim(number, length: length, upload, record)
        }
        self.target = target
        writer = Mutex(try SparseWriter(target.number, from: target.start, path: upload.operation))
    }

    /// Where the bytes of a part go.
    private final class Target: Sendable {
        private let data: FileDescriptor?
        private let file: StagedFile?
        /// The part's number, as the byte in `data` that is locked.
        private let part: UInt64
        let number: Int32
        /// The file offset of the part's first byte.
        let start: UInt64
        /// The name of the part's own file.
        let name: String?

        private init(data: consuming FileDescriptor, part: Int, start: UInt64) {
            number = data.number
            self.data = consume data
            file = nil
            self.part = UInt64(part)
            self.start = start
            name = nil
        }

        private init(_ file: StagedFile, name: String) {
            number = file.number
            data = nil
            self.file = file
            part = 0
            start = 0
            self.name = name
        }

        /// The place among the other parts where it fits in and is free, a file of its own else; the upload's lock is held.
        static func claim(
            _ number: Int, length: UInt64?, _ upload: UploadRoom, _ record: UploadRecord
        ) throws(StoreError) -> Target {
            var partLength = record.partLength
            if partLength == 0, let length, length > 0 {
                partLength = length
                var known = record
                known.partLength = length
                try upload.folder.write(
                    record: known, to: UploadRoom.recordName, staging: upload.room.temporary)
            }
            if let place = try place(number, length, partLength, upload) { return place }
            let name = "own-\(number)-\(randomName())"
            return Target(try StagedFile(in: upload.folder, named: true, as: name), name: name)
        }

        private static func place(
            _ number: Int, _ length: UInt64?, _ partLength: UInt64, _ upload: UploadRoom
        ) throws(StoreError) -> Target? {
            guard let length, length > 0, length <= partLength else { return nil }
            let (start, overflow) = partLength.multipliedReportingOverflow(by: UInt64(number - 1))
            guard !overflow, start + partLength < UInt64(Int64.max) else { return nil }
            // A part that is stored there stays, whatever becomes of this one.
            if let stored = try upload.part(number), stored.file == nil { return nil }
            let data = try upload.openData()
            guard FileCalls.lockRange(data.number, at: UInt64(number), length: 1, locked: true) == 0 else { return nil }
            try clear(data.number, start..<start + partLength, path: upload.operation)
            return Target(data: data, part: number, start: start)
        }

        /// The bytes stay, and are the upload's from now on; its lock is held.
        func keep() {
            file?.keep()
            if data != nil { _ = FileCalls.lockRange(number, at: part, length: 1, locked: false) }
        }
    }

    /// What was written so far, in bytes.
    public var length: UInt64 { writer.withLock { $0?.length ?? 0 } }
    /// CRC-64/XZ of what was written so far.
    public var crc64: UInt64 { writer.withLock { $0?.crc64 ?? 0 } }

    /// - Throws: `no-space`; `input-output`; `invalid-request` for more bytes than were announced or a part can have.
    public func write(_ bytes: Span<UInt8>) throws(StoreError) {
        let most = declared ?? greatest
        try writer.withLock { (writer) throws(StoreError) in
            guard let length = writer?.length else { throw isCommitted }
            guard length + UInt64(bytes.count) <= most else {
                throw StoreError(
                    .invalidRequest, "part \(number) may have \(most) bytes, and more came", operation: upload.operation
                )
            }
            try writer?.write(bytes)
        }
    }

    private var isCommitted: StoreError {
        StoreError(.invalidRequest, "part \(number) is committed", operation: upload.operation)
    }

    /// Makes it a part of the upload, in place of one that has its number.
    ///
    /// - Parameter tag: its mark; nil lets the store make one.
    /// - Throws: `no-such-upload` where it was completed or aborted meanwhile; `invalid-request` where fewer bytes came than were
    ///   announced.
    public func commit(tag: String?) throws(StoreError) -> StoredPart {
        let written = writer.withLock { writer in
            let written = writer
            writer = nil
            return written
        }
        guard let written else { throw isCommitted }
        guard declared == nil || declared == written.length else {
            throw StoreError(
                .invalidRequest,
                "part \(number) was to have \(declared ?? 0) bytes, and \(written.length) came",
                operation: upload.operation)
        }
        let record = PartRecord(
            number: number, length: written.length,
            tag: tag ?? ObjectStorage.tag(crc64: written.crc64, length: written.length), crc64: written.crc64,
            file: target.name)
        // A record that outlives a loss of power must not speak of bytes that did not.
        try settle(target.number, flushing: upload.folder.flushes, path: upload.operation)
        return try upload.whileOpen { (_) throws(StoreError) in
            if target.name != nil { try setLength(target.number, written.length, path: upload.operation) }
            let old = try upload.part(number)
            try upload.folder.write(
                record: record, to: UploadRoom.recordName(of: number), staging: upload.room.temporary)
            target.keep()
            if let file = old?.file { try? upload.folder.remove(file) }
            return record.stored
        }
    }
}
