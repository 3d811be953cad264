internal import Glibc
internal import ImageFiles

/// The directory of an upload, open.
///
/// It holds `upload.json`, without which there is no such upload; `data`, in which the parts that have the length of all parts
/// stand one behind the other, so that completing the object moves no byte; a file for each part that does not fit in there;
/// `part-NNNNN.json` for each part that is stored whole, written behind its bytes; and, while the object takes its place,
/// `completing`.
///
/// The directory's lock is taken for whatever looks at more than one of them. Whoever writes a part into `data` holds a lock on
/// the byte of that number in `data` (of no matter what the byte is), which ends with the process.
struct UploadRoom: Sendable {
    let folder: Folder
    let upload: MultipartUpload
    let room: BucketRoom

    static let recordName = "upload.json"
    static let dataName = "data"
    static let assembledName = "assembled"
    /// Holds the name of the file that is about to become the object: where that is gone, the object is there.
    static let completingName = "completing"

    static func recordName(of part: Int) -> String { "part-\(decimal(part)).json" }

    private static func decimal(_ number: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, 5 - text.utf8.count)) + text
    }

    /// - Throws: `no-such-upload` where the directory is not there; whether it is that of an upload still is asked under its lock.
    init(_ upload: MultipartUpload, _ room: BucketRoom) throws(StoreError) {
        self.upload = upload
        self.room = room
        let isOurs =
            upload.id.utf8.count == 32
            && upload.id.utf8.allSatisfy { byte in
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || (UInt8(ascii: "A")...UInt8(ascii: "F")).contains(byte)
            }
        guard isOurs, let folder = try room.uploads.folder(upload.id) else {
            throw Self.noSuchUpload(upload, room)
        }
        self.folder = folder
    }

    static func noSuchUpload(_ upload: MultipartUpload, _ room: BucketRoom) -> StoreError {
        StoreError(
            .noSuchUpload,
            "there is no upload \(upload.id) of this object: it was completed or aborted, or never begun",
            operation: room.name(of: upload.key))
    }

    var operation: String { "\(room.name(of: upload.key)) (upload \(upload.id))" }

    /// Runs what must be alone with the upload, or, shared, with others that only look.
    ///
    /// - Throws: `no-such-upload` where it has ended.
    func whileOpen<Result>(
        shared: Bool = false, _ body: (UploadRecord) throws(StoreError) -> Result
    ) throws(StoreError) -> Result {
        try folder.withLock(shared: shared) { () throws(StoreError) in
            guard let record = try folder.record(UploadRecord.self, Self.recordName),
                upload.key.isSame(as: record.key), record.partLength <= MultipartLimits.oss.greatestPartLength
            else { throw Self.noSuchUpload(upload, room) }
            if try isCompleted() {
                // Killed behind the last step but one: what it left is removed now.
                if !shared { try remove() }
                throw Self.noSuchUpload(upload, room)
            }
            return try body(record)
        }
    }

    /// Whether the object took its place already.
    func isCompleted() throws(StoreError) -> Bool {
        guard let bytes = try folder.contents(of: Self.completingName) else { return false }
        let name = String(decoding: bytes, as: UTF8.self)
        guard [Self.dataName, Self.assembledName].contains(name) else { return false }
        guard let status = try folder.status(name) else { return true }
        // A file system without a rename that never replaces: linked, and not yet unlinked.
        return status.st_nlink > 1
    }

    /// Ends the upload, by its record, and removes all that belonged to it; the lock is held.
    func remove() throws(StoreError) {
        try folder.remove(Self.recordName)
        for name in try folder.names(where: { $0 != Self.completingName }) { try folder.remove(name) }
        try folder.remove(Self.completingName)
        room.uploads.removeEmptyFolder(upload.id)
    }

    func part(_ number: Int) throws(StoreError) -> PartRecord? {
        guard let part = try folder.record(PartRecord.self, Self.recordName(of: number)), part.number == number,
            part.length <= MultipartLimits.oss.greatestPartLength,
            part.file?.hasPrefix("own-") ?? true, part.file?.contains("/") != true
        else { return nil }
        return part
    }

    /// All parts that are stored, in ascending order.
    func parts() throws(StoreError) -> [PartRecord] {
        var parts: [PartRecord] = []
        for name in try folder.names(where: { $0.hasPrefix("part-") }) {
            if let number = Int(name.dropFirst(5).prefix(5)), let part = try part(number) { parts.append(part) }
        }
        return parts.sorted { $0.number < $1.number }
    }

    /// Opens the file in which parts stand one behind the other.
    func openData() throws(StoreError) -> FileDescriptor {
        guard let data = try folder.open(Self.dataName, O_RDWR) else {
            throw storeError("open", ENOENT, path: folder.path(of: Self.dataName))
        }
        return data
    }
}
