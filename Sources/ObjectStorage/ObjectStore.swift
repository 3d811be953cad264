/// One bucket of an object store, or what stands for one.
///
/// Every call blocks until it is answered, so it is made from a thread that may wait; calls come from many threads at once.
/// A call is tried once: `RetryingStore` goes around a store, not inside it. What a call may retry, the store says by the
/// kind of its errors (`StoreError.Persistence`).
///
/// An object is there whole or not at all, whatever becomes of the process or the network.
public protocol ObjectStore: Sendable {
    /// What error messages and reports call it: `oss://BUCKET`, `s3://BUCKET` or a path.
    var name: String { get }

    /// The bucket, and where its store is: no two buckets have the same.
    var location: String { get }

    /// What parts the store takes.
    var limits: MultipartLimits { get }

    /// Stores a whole object.
    ///
    /// The checksum that the store answers is compared with the body's before this returns.
    ///
    /// - Throws: `object-exists` where the object is there and may not be replaced; `checksum-mismatch`.
    func put(_ body: ObjectBody, to key: ObjectKey, _ attributes: ObjectAttributes, replacing: Bool)
        throws(StoreError) -> ObjectSummary

    /// Begins an object that comes in parts.
    ///
    /// - Parameters:
    ///   - partLength: of every part but the last, in bytes: a store may lay parts out by it, and takes others as well.
    ///   - replacing: false asks the store to refuse where the object is there; it may do so only on completion.
    func initiate(_ key: ObjectKey, _ attributes: ObjectAttributes, partLength: UInt64, replacing: Bool)
        throws(StoreError) -> MultipartUpload

    /// Stores one part; a part of the same number is replaced.
    ///
    /// The checksum that the store answers is compared with the body's before this returns.
    ///
    /// - Parameter number: from 1 to `limits.partCount`.
    /// - Throws: `no-such-upload`; `checksum-mismatch`.
    func upload(_ body: ObjectBody, asPart number: Int, of upload: MultipartUpload) throws(StoreError) -> StoredPart

    /// All parts that the store has, in ascending order.
    ///
    /// - Throws: `no-such-upload`.
    func parts(of upload: MultipartUpload) throws(StoreError) -> [StoredPart]

    /// Makes the parts, which are in ascending order, an object.
    ///
    /// - Throws: `no-such-upload`; `invalid-part` where the store does not have a part with that tag; `object-exists`.
    func complete(_ upload: MultipartUpload, parts: [StoredPart], replacing: Bool) throws(StoreError) -> ObjectSummary

    /// Drops an upload with its parts.
    ///
    /// - Throws: `no-such-upload`.
    func abort(_ upload: MultipartUpload) throws(StoreError)

    /// All uploads that were begun and neither completed nor aborted, of keys with a prefix, in the order of their keys.
    func uploads(prefix: String) throws(StoreError) -> [MultipartUpload]

    /// The bytes of a range of an object, exactly.
    ///
    /// - Parameters:
    ///   - range: within the object, not empty, and short enough to stand in memory.
    ///   - tag: where given, only of the object that has this `ObjectSummary.tag`.
    /// - Throws: `no-such-object`; `invalid-range`; `precondition-failed` where the object has another tag.
    func get(_ key: ObjectKey, range: Range<UInt64>, tag: String?) throws(StoreError) -> [UInt8]

    /// What the store knows of an object.
    ///
    /// - Throws: `no-such-object`.
    func head(_ key: ObjectKey) throws(StoreError) -> ObjectSummary

    /// Objects whose keys have a prefix, in the order of their keys' UTF-8 bytes.
    ///
    /// - Parameters:
    ///   - key: only what comes behind it; nil begins with the first.
    ///   - count: at most so many, from 1 to 1000.
    func list(prefix: String, after key: String?, count: Int) throws(StoreError) -> ObjectPage

    /// Deletes an object; that there is none is no error.
    func delete(_ key: ObjectKey) throws(StoreError)

    /// Gives an object other attributes, its bytes staying as they are.
    ///
    /// - Parameter tag: of the object that is meant; another that took its place meanwhile is left alone.
    /// - Throws: `no-such-object`; `precondition-failed`; `unsupported` where the store can't do it to an object of that size.
    func setAttributes(_ attributes: ObjectAttributes, of key: ObjectKey, tag: String) throws(StoreError)

    /// Whether a part that the store has is this body, by what the store says of it; no call is made.
    func holds(_ body: ObjectBody, as part: StoredPart) throws(StoreError) -> Bool

    /// Whether an object is the one that these parts make, by what the store says of it; no call is made.
    ///
    /// - Parameter crc64: of the whole object.
    func isObject(_ object: ObjectSummary, madeOf parts: [StoredPart], crc64: UInt64) -> Bool
}

extension ObjectStore {
    public var location: String { name }

    public func holds(_ body: ObjectBody, as part: StoredPart) throws(StoreError) -> Bool {
        part.length == body.length && part.crc64 == body.crc64
    }

    public func isObject(_ object: ObjectSummary, madeOf parts: [StoredPart], crc64: UInt64) -> Bool {
        object.length == parts.reduce(0) { $0 + $1.length } && object.crc64 == crc64
    }
}

/// What parts a store takes; OSS and S3 state nearly the same.
public struct MultipartLimits: Hashable, Sendable {
    /// The least length of every part but the last, in bytes.
    public var leastPartLength: UInt64
    /// The greatest length of any part, and of an object that is put whole, in bytes.
    public var greatestPartLength: UInt64
    /// The greatest number of parts.
    public var partCount: Int

    public init(leastPartLength: UInt64, greatestPartLength: UInt64, partCount: Int) {
        self.leastPartLength = leastPartLength
        self.greatestPartLength = greatestPartLength
        self.partCount = partCount
    }

    /// 100 KiB to 5 GiB, 10,000 parts: OSS, "Multipart upload", limits.
    public static let oss = MultipartLimits(
        leastPartLength: 100 << 10, greatestPartLength: 5 << 30, partCount: 10_000)
    /// 5 MiB to 5 GiB, 10,000 parts: Amazon S3, "Multipart upload limits".
    public static let s3 = MultipartLimits(leastPartLength: 5 << 20, greatestPartLength: 5 << 30, partCount: 10_000)
}
