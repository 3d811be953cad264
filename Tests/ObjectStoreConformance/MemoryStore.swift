internal import Glibc
public import ObjectStorage
internal import Synchronization

/// A store in memory, in which a test can make any call fail, before it does anything or after.
public final class MemoryStore: ObjectStore {
    /// One call, as the store saw it.
    public enum Call: Hashable, Sendable {
        case put(String), initiate(String), part(Int), parts, complete, abort, uploads, get(Range<UInt64>), head(String)
        case list, delete(String), setAttributes(String)
    }

    private struct Object: Sendable {
        var bytes: [UInt8]
        var summary: ObjectSummary
    }

    private struct Upload: Sendable {
        var key: ObjectKey
        var attributes: ObjectAttributes
        var parts: [Int: (part: StoredPart, bytes: [UInt8])] = [:]
    }

    private struct State: Sendable {
        var objects: [String: Object] = [:]
        var uploads: [String: Upload] = [:]
        var calls: [Call] = []
        var storedParts: [Int: Int] = [:]
        var nextID = 1
    }

    public let name = "memory://bucket"
    public let limits: MultipartLimits
    private let keepsCRC64: Bool
    private let state = Mutex(State())
    private let before: @Sendable (Call, Int) throws(StoreError) -> Void
    private let after: @Sendable (Call, Int) throws(StoreError) -> Void

    /// - Parameters:
    ///   - keepsCRC64: false for a store that says no CRC-64, as S3.
    ///   - before: is told each call and its number, from 0; an error it throws is a call that never arrived.
    ///   - after: likewise; an error it throws is an answer that was lost.
    public init(
        limits: MultipartLimits = .init(leastPartLength: 1, greatestPartLength: 5 << 30, partCount: 10_000),
        keepsCRC64: Bool = true,
        before: @escaping @Sendable (Call, Int) throws(StoreError) -> Void = { (_, _) throws(StoreError) in },
        after: @escaping @Sendable (Call, Int) throws(StoreError) -> Void = { (_, _) throws(StoreError) in }
    ) {
        self.limits = limits
        self.keepsCRC64 = keepsCRC64
        self.before = before
        self.after = after
    }

    // MARK: What a test looks at

    public var calls: [Call] { state.withLock { $0.calls } }
    /// How often a part was stored, by number, over all uploads.
    public var storedParts: [Int: Int] { state.withLock { $0.storedParts } }
    public var uploadCount: Int { state.withLock { $0.uploads.count } }
    public var keys: [String] { state.withLock { $0.objects.keys.sorted() } }
    public func bytes(of key: String) -> [UInt8]? { state.withLock { $0.objects[key]?.bytes } }

    /// Drops all uploads, as a store does with those that nobody came back to.
    public func forgetUploads() { state.withLock { $0.uploads.removeAll() } }

    /// Changes a part that is stored.
    public func damagePart(_ number: Int) {
        state.withLock { state in
            for id in state.uploads.keys { state.uploads[id]?.parts[number]?.part.crc64? ^= 1 }
        }
    }

    // MARK: The store

    private func answer<Result>(_ call: Call, _ body: (inout State) throws(StoreError) -> Result) throws(StoreError)
        -> Result
    {
        let number = state.withLock { state in
            state.calls.append(call)
            return state.calls.count - 1
        }
        try before(call, number)
        let result = try state.withLock { (state) throws(StoreError) in try body(&state) }
        try after(call, number)
        return result
    }

    private static func bytes(of body: ObjectBody) throws(StoreError) -> [UInt8] {
        var bytes: [UInt8] = []
        try body.forEachPiece { (piece) throws(StoreError) in
            unsafe piece.withUnsafeBufferPointer { unsafe bytes.append(contentsOf: $0) }
        }
        guard ObjectBody(bytes).crc64 == body.crc64 else {
            throw StoreError(.checksumMismatch, "the bytes are not those of the checksum", persistence: .transient)
        }
        return bytes
    }

    private func summary(_ bytes: [UInt8], _ tag: String, _ attributes: ObjectAttributes) -> ObjectSummary {
        let crc64 = ObjectBody(bytes).crc64
        return ObjectSummary(
            length: UInt64(bytes.count), tag: tag, crc64: keepsCRC64 ? crc64 : nil, modified: 0, attributes: attributes)
    }

    private static func requireFree(_ key: ObjectKey, _ replacing: Bool, _ state: State) throws(StoreError) {
        guard replacing || state.objects[key.description] == nil else {
            throw StoreError(.objectExists, "the object \(key) exists")
        }
    }

    public func put(_ body: ObjectBody, to key: ObjectKey, _ attributes: ObjectAttributes, replacing: Bool)
        throws(StoreError) -> ObjectSummary
    {
        let bytes = try Self.bytes(of: body)
        return try answer(.put(key.description)) { (state) throws(StoreError) in
            try Self.requireFree(key, replacing, state)
            let made = summary(bytes, "\(body.crc64)", attributes)
            state.objects[key.description] = Object(bytes: bytes, summary: made)
            return made
        }
    }

    public func initiate(_ key: ObjectKey, _ attributes: ObjectAttributes, partLength: UInt64, replacing: Bool)
        throws(StoreError) -> MultipartUpload
    {
        try answer(.initiate(key.description)) { (state) throws(StoreError) in
            try Self.requireFree(key, replacing, state)
            let id = "upload-\(state.nextID)"
            state.nextID += 1
            state.uploads[id] = Upload(key: key, attributes: attributes)
            return MultipartUpload(key: key, id: id, initiated: UInt64(time(nil)))
        }
    }

    private static func noSuchUpload(_ upload: MultipartUpload) -> StoreError {
        StoreError(.noSuchUpload, "there is no upload \(upload.id)")
    }

    public func upload(_ body: ObjectBody, asPart number: Int, of upload: MultipartUpload) throws(StoreError)
        -> StoredPart
    {
        let bytes = try Self.bytes(of: body)
        return try answer(.part(number)) { (state) throws(StoreError) in
            guard state.uploads[upload.id] != nil else { throw Self.noSuchUpload(upload) }
            let part = StoredPart(
                number: number, length: body.length, tag: "\(body.crc64)", crc64: keepsCRC64 ? body.crc64 : nil)
            state.uploads[upload.id]?.parts[number] = (part, bytes)
            state.storedParts[number, default: 0] += 1
            return part
        }
    }

    public func parts(of upload: MultipartUpload) throws(StoreError) -> [StoredPart] {
        try answer(.parts) { (state) throws(StoreError) in
            guard let found = state.uploads[upload.id] else { throw Self.noSuchUpload(upload) }
            return found.parts.values.map(\.part).sorted { $0.number < $1.number }
        }
    }

    public func complete(_ upload: MultipartUpload, parts: [StoredPart], replacing: Bool) throws(StoreError)
        -> ObjectSummary
    {
        try answer(.complete) { (state) throws(StoreError) in
            guard let found = state.uploads[upload.id] else { throw Self.noSuchUpload(upload) }
            try Self.requireFree(found.key, replacing, state)
            var bytes: [UInt8] = []
            for (index, part) in parts.enumerated() {
                guard let stored = found.parts[part.number], stored.part.tag == part.tag else {
                    throw StoreError(.invalidPart, "part \(part.number) is not there")
                }
                guard index == parts.count - 1 || stored.part.length >= limits.leastPartLength else {
                    throw StoreError(.invalidPart, "part \(part.number) is too small")
                }
                bytes += stored.bytes
            }
            let made = summary(bytes, "\(ObjectBody(bytes).crc64)-\(parts.count)", found.attributes)
            state.uploads[upload.id] = nil
            state.objects[found.key.description] = Object(bytes: bytes, summary: made)
            return made
        }
    }

    public func abort(_ upload: MultipartUpload) throws(StoreError) {
        try answer(.abort) { (state) throws(StoreError) in
            guard state.uploads.removeValue(forKey: upload.id) != nil else { throw Self.noSuchUpload(upload) }
        }
    }

    public func uploads(prefix: String) throws(StoreError) -> [MultipartUpload] {
        try answer(.uploads) { (state) throws(StoreError) in
            state.uploads.filter { $0.value.key.description.hasPrefix(prefix) }
                .map { MultipartUpload(key: $0.value.key, id: $0.key, initiated: UInt64(time(nil))) }
                .sorted { ($0.key.description, $0.id) < ($1.key.description, $1.id) }
        }
    }

    private static func object(_ key: ObjectKey, _ state: State) throws(StoreError) -> Object {
        guard let object = state.objects[key.description] else {
            throw StoreError(.noSuchObject, "there is no object \(key)")
        }
        return object
    }

    public func get(_ key: ObjectKey, range: Range<UInt64>, tag: String?) throws(StoreError) -> [UInt8] {
        try answer(.get(range)) { (state) throws(StoreError) in
            let object = try Self.object(key, state)
            guard tag == nil || tag == object.summary.tag else {
                throw StoreError(.preconditionFailed, "the object \(key) is another now")
            }
            guard !range.isEmpty, range.upperBound <= UInt64(object.bytes.count) else {
                throw StoreError(.invalidRange, "the object \(key) has \(object.bytes.count) bytes")
            }
            return Array(object.bytes[Int(range.lowerBound)..<Int(range.upperBound)])
        }
    }

    public func head(_ key: ObjectKey) throws(StoreError) -> ObjectSummary {
        try answer(.head(key.description)) { (state) throws(StoreError) in try Self.object(key, state).summary }
    }

    public func list(prefix: String, after key: String?, count: Int) throws(StoreError) -> ObjectPage {
        try answer(.list) { (state) throws(StoreError) in
            let keys = state.objects.keys
                .filter {
                    $0.hasPrefix(prefix) && Array($0.utf8).lexicographicallyPrecedes(Array((key ?? "").utf8)) == false
                }
                .filter { $0 != key }
                .sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
            let entries = keys.prefix(count).compactMap { key in
                state.objects[key].map {
                    ObjectPage.Entry(key: key, length: $0.summary.length, tag: $0.summary.tag, modified: 0)
                }
            }
            return ObjectPage(entries: entries, isTruncated: keys.count > count)
        }
    }

    public func delete(_ key: ObjectKey) throws(StoreError) {
        try answer(.delete(key.description)) { (state) throws(StoreError) in state.objects[key.description] = nil }
    }

    public func setAttributes(_ attributes: ObjectAttributes, of key: ObjectKey, tag: String) throws(StoreError) {
        try answer(.setAttributes(key.description)) { (state) throws(StoreError) in
            let object = try Self.object(key, state)
            guard object.summary.tag == tag else {
                throw StoreError(.preconditionFailed, "the object \(key) is another now")
            }
            state.objects[key.description]?.summary.attributes = attributes
            // As S3, where the object is copied onto itself.
            if !keepsCRC64 { state.objects[key.description]?.summary.tag = "\(ObjectBody(object.bytes).crc64)" }
        }
    }

    public func holds(_ body: ObjectBody, as part: StoredPart) throws(StoreError) -> Bool {
        part.length == body.length && part.tag == "\(body.crc64)"
            && (part.crc64 == nil || part.crc64 == body.crc64)
    }

    public func isObject(_ object: ObjectSummary, madeOf parts: [StoredPart], crc64: UInt64) -> Bool {
        object.length == parts.reduce(0) { $0 + $1.length } && object.tag == "\(crc64)-\(parts.count)"
    }
}
