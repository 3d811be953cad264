internal import ObjectStorage

/// The objects of a bucket as a list shows them: those whose keys go on behind the prefix with a delimiter stand together
/// under one common prefix.
struct Listing: Sendable {
    struct Object: Sendable {
        var entry: ObjectPage.Entry
        var storageClass: String
    }

    enum Item: Sendable {
        case object(Object)
        case commonPrefix(String)

        /// The key, or the prefix.
        var name: String {
            switch self {
            case .object(let object): object.entry.key
            case .commonPrefix(let prefix): prefix
            }
        }
    }

    /// In the order of their UTF-8 bytes.
    var items: [Item] = []
    var isTruncated = false

    /// The last of the items: a list from there on goes on behind it.
    var next: String? { isTruncated ? items.last?.name : nil }

    /// Reads the list from the store; it blocks.
    ///
    /// - Parameters:
    ///   - marker: a key or a common prefix; the list begins with what comes behind it, or behind all that it stands for.
    ///   - delimiter: empty for none.
    ///   - count: at most so many items.
    init(
        _ bucket: DirectoryBucket, prefix: String, delimiter: String, after marker: String, count: Int
    ) throws(StoreError) {
        var after: String? = marker.isEmpty ? nil : marker
        if let group = Self.commonPrefix(of: marker, prefix, delimiter), group.utf8.elementsEqual(marker.utf8) {
            after = Self.lastKey(behind: group)
        }
        while true {
            // One more than is wanted tells whether there are more.
            let page = try bucket.list(prefix: prefix, after: after, count: min(1000, count - items.count + 1))
            guard try take(page, bucket, prefix, delimiter, count, &after), page.isTruncated else { return }
        }
    }

    /// Takes entries up to the end of the page, or of a group, which is then skipped; answers whether there is room for more.
    private mutating func take(
        _ page: ObjectPage, _ bucket: DirectoryBucket, _ prefix: String, _ delimiter: String, _ count: Int,
        _ after: inout String?
    ) throws(StoreError) -> Bool {
        var group: String?
        for entry in page.entries {
            if let group, entry.key.utf8.starts(with: group.utf8) { continue }
            guard items.count < count else {
                isTruncated = true
                return false
            }
            group = Self.commonPrefix(of: entry.key, prefix, delimiter)
            if let group {
                items.append(.commonPrefix(group))
                after = Self.lastKey(behind: group)
            } else {
                after = entry.key
                if let object = try Self.object(entry, bucket) { items.append(.object(object)) }
            }
        }
        return true
    }

    /// What the entry does not say; nil for an object that is gone meanwhile.
    private static func object(_ entry: ObjectPage.Entry, _ bucket: DirectoryBucket) throws(StoreError) -> Object? {
        do throws(StoreError) {
            let attributes = try bucket.open(ObjectKey(entry.key)).summary.attributes
            return Object(entry: entry, storageClass: attributes.storageClass ?? "Standard")
        } catch {
            guard error.code == .noSuchObject else { throw error }
            return nil
        }
    }

    /// The key up to the end of the first delimiter behind the prefix; nil where there is none.
    static func commonPrefix(of key: String, _ prefix: String, _ delimiter: String) -> String? {
        guard !delimiter.isEmpty, key.utf8.starts(with: prefix.utf8) else { return nil }
        let bytes = Array(key.utf8)
        let delimiter = Array(delimiter.utf8)
        var start = prefix.utf8.count
        while start + delimiter.count <= bytes.count {
            let end = start + delimiter.count
            if bytes[start..<end].elementsEqual(delimiter) { return String(decoding: bytes[..<end], as: UTF8.self) }
            start += 1
        }
        return nil
    }

    /// A text that stands behind every key with the prefix, and before every other key that stands behind them: no key is as
    /// long, and no byte of UTF-8 is greater than the first of U+10FFFF.
    static func lastKey(behind prefix: String) -> String {
        prefix + String(repeating: "\u{10FFFF}", count: ObjectKey.greatestLength / 4 + 1)
    }
}
