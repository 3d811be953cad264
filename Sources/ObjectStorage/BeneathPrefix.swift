internal import ImageFiles
public import ImageModel

/// Opens the files that images name as objects of one bucket beneath one folder of keys, which the user named.
///
/// A name is relative to the folder of the image that has it, in the same bucket; for an image that is elsewhere, to the allowed
/// folder. Keys have no links: where `..` leads is arithmetic, and a key that begins with the folder's is beneath it.
public struct BeneathPrefix: ReferencedFiles {
    /// How many objects of a folder, and of the folders in it, are listed in a search.
    public static let maximumSearch = 4096

    private let store: any ObjectStore
    /// Empty for all of the bucket, or ending with `/`.
    private let prefix: String

    /// - Parameter folder: what the keys begin with, up to a `/`, which may be left out; empty for all of the bucket.
    public init(_ folder: String, in store: any ObjectStore) {
        self.store = store
        prefix = folder.isEmpty || folder.hasSuffix("/") ? folder : folder + "/"
    }

    public func open(_ name: String, namedBy image: String) throws(ImageError) -> any ImageSource {
        try ReferencedName.requireFollowable(name, namedBy: image)
        var parts = folder(of: image).split(separator: "/", omittingEmptySubsequences: false).dropLast()
        var leadsOut = name.hasPrefix("/")
        // In a path, empty parts and those of one dot lead nowhere; in a key they are letters.
        for part in name.split(separator: "/") where part != "." {
            if part == ".." { leadsOut = leadsOut || parts.popLast() == nil } else { parts.append(part) }
        }
        let key = parts.joined(separator: "/")
        guard !leadsOut, key.utf8.starts(with: prefix.utf8) else {
            throw ImageError(
                .externalReference,
                "it names '\(ReferencedName.shown(name))', which is not beneath '\(shownPrefix)'; '--allow-backing' must name a folder "
                    + "that holds it", path: image)
        }
        return try source(key, namedBy: image)
    }

    public func nameInUTF8(of name: String, in encoding: String) -> String? {
        NameEncoding.utf8(name, from: encoding)
    }

    public func search(
        ending: String, beside image: String, _ isWanted: (any ImageSource) throws(ImageError) -> Bool
    ) throws(ImageError) -> [any ImageSource] {
        var folders = [prefix]
        let own = folder(of: image)
        if own != prefix, own.utf8.starts(with: prefix.utf8) { folders.insert(own, at: 0) }
        var found: [any ImageSource] = []
        for folder in folders {
            for key in try keys(in: folder, beside: image) where key.lowercased().hasSuffix(ending) {
                do throws(ImageError) {
                    let source = try source(key, namedBy: image)
                    if try isWanted(source) { found.append(source) }
                } catch {
                    // Whether it is wanted has to be known, unless it vanished; what is no image is not wanted.
                    if [.store, .sourceChanged, .cancelled].contains(error.code), !error.isMissing { throw error }
                }
            }
        }
        return found
    }

    private var shownPrefix: String { "\(store.name)/\(prefix)" }

    /// What the key of an image has up to its last `/`; the allowed folder for an image that is in no place of this bucket.
    private func folder(of image: String) -> String {
        guard image.hasPrefix(store.name + "/") else { return prefix }
        let key = image.dropFirst(store.name.count + 1)
        return key.lastIndex(of: "/").map { String(key[...$0]) } ?? ""
    }

    private func source(_ key: String, namedBy image: String) throws(ImageError) -> StoreSource {
        let checked: ObjectKey
        do throws(StoreError) { checked = try ObjectKey(key) } catch {
            throw ImageError(.externalReference, "it names an object that can't be: \(error.message)", path: image)
        }
        return try StoreSource(store, checked)
    }

    /// The keys in a folder and nowhere deeper, in order.
    private func keys(in folder: String, beside image: String) throws(ImageError) -> [String] {
        var keys: [String] = []
        var seen = 0
        var last: String?
        while true {
            let page: ObjectPage
            do throws(StoreError) { page = try store.list(prefix: folder, after: last, count: 1000) } catch {
                throw error.imageError
            }
            seen += page.entries.count
            guard seen <= Self.maximumSearch else {
                throw ImageError(
                    .limitExceeded,
                    "there are more than \(Self.maximumSearch) objects '\(store.name)/\(folder)*'; put those that belong "
                        + "together into a folder of their own", path: image)
            }
            keys += page.entries.map(\.key).filter { !$0.dropFirst(folder.count).contains("/") }
            guard page.isTruncated, let end = page.entries.last else { return keys }
            last = end.key
        }
    }
}
