public import ImageModel

/// An image in an object store, read by ranged gets; nothing of it is kept on a disk.
///
/// Headers and tables, which are read bit by bit, go through a small cache; content, which is read in long runs, does not.
/// All bytes are of one and the same version of the object: every get names its tag.
public final class StoreSource: ImageSource {
    public let name: String
    public let length: UInt64
    /// What the store knew of the object when it was opened.
    public let summary: ObjectSummary

    private let store: any ObjectStore
    private let key: ObjectKey
    private let cache: BlockCache

    /// Runs of so many bytes and more pass the cache by.
    static let cachedBelow: UInt64 = 1 << 20
    /// No get asks for more bytes.
    static let longestGet: UInt64 = 8 << 20

    /// - Throws: `store`, with what the store said, also where there is no such object.
    public init(_ store: any ObjectStore, _ key: ObjectKey) throws(ImageError) {
        let name = "\(store.name)/\(key)"
        self.name = name
        self.store = store
        self.key = key
        do throws(StoreError) {
            summary = try store.head(key)
        } catch {
            var error = error
            // It is named once.
            if error.operation == name { error.operation = nil }
            throw error.imageError.naming(name)
        }
        length = summary.length
        cache = BlockCache(length: summary.length)
    }

    /// Whether this is the object of that key in that bucket.
    public func isObject(_ other: ObjectKey, in bucket: any ObjectStore) -> Bool {
        key == other && store.location == bucket.location
    }

    public func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result)
        throws(ImageError) -> Result
    {
        try requireHeld(range)
        if range.length > 0, range.length < Self.cachedBelow {
            let run = try run(at: range.start.bytes)
            if range.end.bytes <= run.end {
                let start = Int(range.start.bytes - run.start)
                return try body(run.bytes.span.extracting(start..<start + Int(range.length)))
            }
        }
        var bytes = [UInt8](repeating: 0, count: Int(range.length))
        try read(range, into: &bytes, at: 0)
        return try body(bytes.span)
    }

    public func read(_ range: FileRange, into buffer: inout [UInt8], at index: Int) throws(ImageError) {
        try requireHeld(range)
        var place = range.start.bytes
        var index = index
        while place < range.end.bytes {
            let wanted = range.end.bytes - place
            let count: Int
            if range.length >= Self.cachedBelow {
                let bytes = try get(place..<place + min(wanted, Self.longestGet))
                count = bytes.count
                copy(bytes.span, to: &buffer, at: index)
            } else {
                let run = try run(at: place)
                let start = Int(place - run.start)
                count = Int(min(wanted, run.end - place))
                copy(run.bytes.span.extracting(start..<start + count), to: &buffer, at: index)
            }
            place += UInt64(count)
            index += count
        }
    }

    private func copy(_ bytes: Span<UInt8>, to buffer: inout [UInt8], at index: Int) {
        unsafe buffer.withUnsafeMutableBytes { target in
            unsafe bytes.withUnsafeBytes { source in
                let room = unsafe UnsafeMutableRawBufferPointer(rebasing: target[index..<index + source.count])
                unsafe room.copyMemory(from: source)
            }
        }
    }

    /// The cached run that holds a byte.
    private func run(at place: UInt64) throws(ImageError) -> BlockCache.Run {
        try cache.run(at: place) { (range) throws(ImageError) in try get(range) }
    }

    private func get(_ range: Range<UInt64>) throws(ImageError) -> [UInt8] {
        let bytes: [UInt8]
        do throws(StoreError) {
            bytes = try store.get(key, range: range, tag: summary.tag)
        } catch {
            throw imageError(error, offset: FileOffset(range.lowerBound))
        }
        guard UInt64(bytes.count) == range.upperBound - range.lowerBound else {
            throw ImageError(
                .store,
                "the store answered \(bytes.count) bytes where \(range.upperBound - range.lowerBound) were asked for",
                path: name, offset: FileOffset(range.lowerBound))
        }
        return bytes
    }

    /// The object's tag.
    public var revision: String? { summary.tag }

    public func requireUnchanged() throws(ImageError) {
        let now: ObjectSummary
        do throws(StoreError) {
            now = try store.head(key)
        } catch {
            throw imageError(error, offset: nil)
        }
        guard now.tag == summary.tag, now.length == summary.length else {
            throw ImageError(
                .sourceChanged,
                "the object had \(summary.length) bytes and the tag \(summary.tag) when it was opened, and now has "
                    + "\(now.length) and \(now.tag); start again with the one that is there now", path: name)
        }
    }

    /// What an error of the store means to whoever reads an image.
    private func imageError(_ error: StoreError, offset: FileOffset?) -> ImageError {
        switch error.code {
        case .preconditionFailed, .noSuchObject, .invalidRange:
            // It was there when it was opened, and every range was within it.
            return ImageError(
                .sourceChanged, "the object was replaced or deleted while it was read; start again", path: name,
                offset: offset, cause: error)
        default:
            var converted = error.imageError.naming(name)
            converted.offset = offset
            return converted
        }
    }
}
