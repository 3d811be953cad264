import ObjectStorage
import Synchronization

/// A store that writes down what it is asked for, and fails when it is told to.
final class ListeningStore: ObjectStore {
    private let inner: any ObjectStore
    private let asked = Mutex<(gets: [Range<UInt64>], heads: Int)>((gets: [], heads: 0))
    /// Asked before every get; what it throws, the get throws.
    private let onGet: @Sendable (Range<UInt64>) throws(StoreError) -> Void

    init(
        _ inner: any ObjectStore, onGet: @escaping @Sendable (Range<UInt64>) throws(StoreError) -> Void = { _ in }
    ) {
        self.inner = inner
        self.onGet = onGet
    }

    /// The ranges of all gets so far, in order.
    var gets: [Range<UInt64>] { asked.withLock { $0.gets } }
    var heads: Int { asked.withLock { $0.heads } }

    var name: String { "listening://bucket" }
    var limits: MultipartLimits { inner.limits }

    func get(_ key: ObjectKey, range: Range<UInt64>, tag: String?) throws(StoreError) -> [UInt8] {
        asked.withLock { $0.gets.append(range) }
        try onGet(range)
        return try inner.get(key, range: range, tag: tag)
    }

    func head(_ key: ObjectKey) throws(StoreError) -> ObjectSummary {
        asked.withLock { $0.heads += 1 }
        return try inner.head(key)
    }

    func put(
        _ body: ObjectBody, to key: ObjectKey, _ attributes: ObjectAttributes, replacing: Bool
    ) throws(StoreError) -> ObjectSummary {
        try inner.put(body, to: key, attributes, replacing: replacing)
    }

    func initiate(
        _ key: ObjectKey, _ attributes: ObjectAttributes, partLength: UInt64, replacing: Bool
    ) throws(StoreError) -> MultipartUpload {
        try inner.initiate(key, attributes, partLength: partLength, replacing: replacing)
    }

    func upload(
        _ body: ObjectBody, asPart number: Int, of upload: MultipartUpload
    ) throws(StoreError) -> StoredPart {
        try inner.upload(body, asPart: number, of: upload)
    }

    func parts(of upload: MultipartUpload) throws(StoreError) -> [StoredPart] { try inner.parts(of: upload) }

    func complete(
        _ upload: MultipartUpload, parts: [StoredPart], replacing: Bool
    ) throws(StoreError) -> ObjectSummary {
        try inner.complete(upload, parts: parts, replacing: replacing)
    }

    func abort(_ upload: MultipartUpload) throws(StoreError) { try inner.abort(upload) }

    func uploads(prefix: String) throws(StoreError) -> [MultipartUpload] { try inner.uploads(prefix: prefix) }

    func list(prefix: String, after key: String?, count: Int) throws(StoreError) -> ObjectPage {
        try inner.list(prefix: prefix, after: key, count: count)
    }

    func delete(_ key: ObjectKey) throws(StoreError) { try inner.delete(key) }

    func setAttributes(
        _ attributes: ObjectAttributes, of key: ObjectKey, tag: String
    ) throws(StoreError) {
        try inner.setAttributes(attributes, of: key, tag: tag)
    }
}
