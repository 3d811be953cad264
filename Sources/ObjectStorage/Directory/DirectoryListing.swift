internal import Glibc

extension DirectoryBucket {
    /// Directories are read one by one as far as the page needs them, and of each only as many names are kept as the page can
    /// take.
    public func list(prefix: String, after key: String?, count: Int) throws(StoreError) -> ObjectPage {
        guard (1...1000).contains(count) else {
            throw StoreError(.invalidRequest, "a page has 1 to 1000 objects, not \(count)", operation: name)
        }
        var listing = DirectoryListing(
            room, prefix: Array(prefix.utf8), after: key.map { Array($0.utf8) }, count: count)
        try listing.run()
        return ObjectPage(entries: listing.entries, isTruncated: listing.isTruncated)
    }
}

/// A walk through a bucket in the order of the keys' bytes.
///
/// A directory stands in the order as its name with a slash behind it, since that is how the keys of all that is in it go on:
/// `a-b`, then `a/b`, then `a0`.
private struct DirectoryListing {
    let room: BucketRoom
    let prefix: [UInt8]
    /// Only what comes behind it; nil where the bucket is listed from its start.
    let after: [UInt8]?
    let count: Int

    private(set) var entries: [ObjectPage.Entry] = []
    private(set) var isTruncated = false

    init(_ room: BucketRoom, prefix: [UInt8], after: [UInt8]?, count: Int) {
        self.room = room
        self.prefix = prefix
        self.after = after
        self.count = count
    }

    /// A file or a directory on the way.
    private struct Candidate {
        var name: String
        /// All of the key, or what the keys in the directory begin with.
        var key: [UInt8]
        var isFolder: Bool
    }

    mutating func run() throws(StoreError) { try visit(names: [], key: []) }

    /// Lists a directory, whose keys all begin with `key`.
    private mutating func visit(names: [String], key: [UInt8]) throws(StoreError) {
        guard key.count <= ObjectKey.greatestLength else { return }
        var last: [UInt8]?
        while !isTruncated {
            // Opened again for each batch: what is in between may go deep, and descriptors are few.
            guard let folder = try folder(names) else { return }
            let wanted = count - entries.count + 1
            let candidates = try candidates(in: folder, key: key, behind: last, atMost: wanted)
            for candidate in candidates where !isTruncated {
                if candidate.isFolder {
                    try visit(names: names + [candidate.name], key: candidate.key)
                } else {
                    try add(candidate, in: folder)
                }
            }
            guard candidates.count == wanted else { return }
            last = candidates.last?.key
        }
    }

    private func folder(_ names: [String]) throws(StoreError) -> Folder? {
        var folder = room.objects
        for name in names {
            guard let inner = try folder.folder(name) else { return nil }
            folder = inner
        }
        return folder
    }

    /// The first of what can be on the page, in order.
    private func candidates(
        in folder: Folder, key: [UInt8], behind last: [UInt8]?, atMost wanted: Int
    ) throws(StoreError) -> [Candidate] {
        var found: [Candidate] = []
        func keepFirst() {
            found.sort { $0.key.lexicographicallyPrecedes($1.key) }
            found.removeLast(max(0, found.count - wanted))
        }
        try folder.forEachName { (name, type) throws(StoreError) in
            guard let piece = ObjectPath.piece(of: name) else { return }
            guard let isFolder = try isFolder(name, type, in: folder) else { return }
            let full = key + Array(piece.utf8) + (isFolder ? [UInt8(ascii: "/")] : [])
            guard mayHold(full, isFolder: isFolder) else { return }
            if let last, !last.lexicographicallyPrecedes(full) { return }
            found.append(Candidate(name: name, key: full, isFolder: isFolder))
            if found.count >= 2 * wanted + 64 { keepFirst() }
        }
        keepFirst()
        return found
    }

    /// Whether a name is that of a directory; nil where it is neither that nor a file.
    private func isFolder(_ name: String, _ type: UInt8, in folder: Folder) throws(StoreError) -> Bool? {
        switch Int(type) {
        case Int(DT_REG): return false
        case Int(DT_DIR): return true
        case Int(DT_UNKNOWN):
            guard let status = try folder.status(name), status.isFile || status.isFolder else { return nil }
            return status.isFolder
        default: return nil
        }
    }

    /// Whether a key, or one that begins with it, can be on the page.
    private func mayHold(_ key: [UInt8], isFolder: Bool) -> Bool {
        guard key.starts(with: prefix) || (isFolder && prefix.starts(with: key)) else { return false }
        guard let after else { return true }
        return after.lexicographicallyPrecedes(key) || (isFolder && after.starts(with: key))
    }

    private mutating func add(_ candidate: Candidate, in folder: Folder) throws(StoreError) {
        // Names that can't be keys are none of the store's.
        guard let key = try? ObjectKey(String(decoding: candidate.key, as: UTF8.self)) else { return }
        for _ in 0..<8 {
            guard let status = try folder.status(candidate.name), status.isFile else { return }
            guard entries.count < count else {
                isTruncated = true
                return
            }
            let identity = FileIdentity(status)
            var record = try room.record(of: key, identity, in: room.recordFolder(of: key))
            if record == nil {
                // Put there by somebody else, or replaced a moment ago.
                guard let now = try folder.status(candidate.name), FileIdentity(now) == identity else { continue }
                record = try room.handmadeRecord(key, identity)
            }
            guard let record else { return }
            entries.append(
                ObjectPage.Entry(
                    key: key.description, length: status.length, tag: record.tag, modified: status.modified))
            return
        }
    }
}
