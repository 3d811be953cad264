internal import LatheTestSupport
public import ObjectStorage
public import Testing

/// What every object store must do, whatever it is made of.
///
/// It takes an empty bucket and leaves it empty.
public struct ObjectStoreConformance: Sendable {
    /// What not every store can do; what one says it can, it is held to.
    public struct Capabilities: Sendable {
        /// Answers CRC-64s of objects and parts.
        public var keepsCRC64 = true
        /// Refuses to replace an object where it is asked to.
        public var refusesReplacing = true
        /// Changes attributes of an object that is there.
        public var setsAttributes = true
        public var listsUploads = true
        /// Takes parts whose numbers are not consecutive.
        public var allowsGaps = true
        /// The part that is sent again takes the place of the old one, even when it is of another length.
        public var replacesParts = true
        /// Forgets an upload once it is completed: completing it again is an error.
        public var forgetsCompletedUploads = true
        /// Takes keys that end in a slash or have a backslash for what they are.
        public var keepsSlashes = true
        /// Lists a space in a key as what it is.
        public var listsSpaces = true
        /// Lists keys in the order of their bytes, and not folder by folder.
        public var listsInOrder = true
        /// Says of an upload that it does not know that there is none, and fails in no other way.
        public var namesUnknownUploads = true
        /// Aborting an upload that is not there is an error.
        public var missesAbortedUploads = true
        /// A completion that fails leaves the upload as it was.
        public var keepsUploadsThatFail = true
        /// Says when an upload was begun.
        public var datesUploads = true
        /// Completing an upload answers the tag that the object has from then on.
        public var keepsTagOfCompletion = true
        /// Keeps content type and user metadata.
        public var keepsAttributes = true
        /// The length that the tests give every part but the last, in bytes.
        public var partLength: UInt64
        /// How many parts are uploaded to be listed; beyond 1000 a store that answers in pages must be asked again.
        public var listedPartCount = 40

        public init(partLength: UInt64) { self.partLength = partLength }
    }

    let store: any ObjectStore
    let capabilities: Capabilities
    let seed: UInt64
    let sourceLocation: SourceLocation

    public init(
        _ store: any ObjectStore, _ capabilities: Capabilities, seed: UInt64 = 1,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        self.store = store
        self.capabilities = capabilities
        self.seed = seed
        self.sourceLocation = sourceLocation
    }

    /// Every check, one after the other.
    public func run() throws {
        try objectsComeBack()
        try rangesAreExact()
        try keysAreTheirBytes()
        try listingsAreInOrder()
        try listingsComeInPages()
        try deletedObjectsAreGone()
        try attributesStay()
        try attributesAreGiven()
        try objectsAreReplacedOrNot()
        try damagedBodiesAreRefused()
        try partsInAnyOrderBecomeAnObject()
        try partsWithGapsBecomeAnObject()
        try replacedPartsCount()
        try manyPartsAreListed()
        try abortedUploadsAreGone()
        try unknownUploadsAreErrors()
        try wrongPartsAreRefused()
        try completedUploadsAreGone()
        try completionReplacesOrNot()
        try uploadsAreListed()
        try partsComeFromManyThreads()
        try bucketIsEmpty()
    }

    // MARK: What the checks are made of

    /// Bytes that no two names share.
    func content(_ name: String, _ length: Int) -> [UInt8] {
        var generator = SeededGenerator(seed: seed &+ UInt64(name.utf8.reduce(7) { $0 &* 31 &+ Int($1) }.magnitude))
        var bytes = [UInt8]()
        bytes.reserveCapacity(length + 8)
        while bytes.count < length {
            withUnsafeBytesOfNext(&generator) { bytes.append($0) }
        }
        return Array(bytes.prefix(length))
    }

    private func withUnsafeBytesOfNext(_ generator: inout SeededGenerator, _ body: (UInt8) -> Void) {
        let number = generator.next()
        for shift in stride(from: UInt64(0), to: 64, by: 8) { body(UInt8(truncatingIfNeeded: number >> shift)) }
    }

    func key(_ name: String) throws -> ObjectKey { try ObjectKey("conformance/" + name) }

    @discardableResult
    func put(
        _ bytes: [UInt8], _ key: ObjectKey, _ attributes: ObjectAttributes = .init(), replacing: Bool = true
    ) throws -> ObjectSummary {
        try store.put(ObjectBody(bytes), to: key, attributes, replacing: replacing)
    }

    /// The object's bytes, in ranges of an odd length.
    func bytes(of key: ObjectKey, tag: String? = nil) throws -> [UInt8] {
        let length = try store.head(key).length
        var bytes: [UInt8] = []
        while UInt64(bytes.count) < length {
            let start = UInt64(bytes.count)
            bytes += try store.get(key, range: start..<min(length, start + 777_777), tag: tag)
        }
        return bytes
    }

    /// Whether an object is there with these bytes, and what is said of it is so.
    func expect(_ key: ObjectKey, holds expected: [UInt8], _ what: String) throws {
        let summary = try store.head(key)
        #expect(summary.length == UInt64(expected.count), "\(what): \(key)", sourceLocation: sourceLocation)
        if capabilities.keepsCRC64 {
            #expect(summary.crc64 == ObjectBody(expected).crc64, "\(what): \(key)", sourceLocation: sourceLocation)
        }
        let isSame = try bytes(of: key, tag: summary.tag) == expected
        #expect(isSame, "\(what): other bytes in \(key), seed \(seed)", sourceLocation: sourceLocation)
    }

    /// Whether a call fails, and how.
    func expect(_ code: StoreError.Code, _ what: String, _ body: () throws -> Void) {
        do {
            try body()
            Issue.record("\(what): no error, but \(code.rawValue) expected", sourceLocation: sourceLocation)
        } catch let error as StoreError {
            #expect(error.code == code, "\(what): \(error)", sourceLocation: sourceLocation)
            #expect(!error.message.isEmpty, sourceLocation: sourceLocation)
        } catch {
            Issue.record("\(what): \(error)", sourceLocation: sourceLocation)
        }
    }

    func require(_ condition: Bool, _ what: String) {
        #expect(condition, "\(what) (seed \(seed))", sourceLocation: sourceLocation)
    }

    func bucketIsEmpty() throws {
        let left = try store.list(prefix: "", after: nil, count: 1000)
        require(left.entries.isEmpty && !left.isTruncated, "the checks left objects: \(left.entries.map(\.key))")
        if capabilities.listsUploads {
            let uploads = try store.uploads(prefix: "")
            require(uploads.isEmpty, "the checks left uploads: \(uploads.map(\.key.description))")
        }
    }
}
