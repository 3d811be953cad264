internal import ImageExport
internal import ImageModel
internal import ObjectStorage

/// A place in an object store as users write it: `oss://BUCKET/KEY`, `s3://BUCKET/KEY`.
struct StoreLocation: Hashable, Sendable {
    enum Scheme: String, CaseIterable, Sendable {
        case oss, s3
    }

    var scheme: Scheme
    var bucket: String
    /// nil for the bucket itself.
    var key: ObjectKey?

    init(scheme: Scheme, bucket: String, key: ObjectKey? = nil) {
        self.scheme = scheme
        self.bucket = bucket
        self.key = key
    }

    /// What stands for an object in a store where a path could stand.
    ///
    /// - Returns: nil for a path.
    /// - Throws: `invalid-option` for a location without a bucket or a key.
    init?(object text: String) throws(ImageError) {
        guard let (scheme, rest) = Self.split(text) else { return nil }
        guard let slash = rest.firstIndex(of: "/"), slash != rest.startIndex, rest.index(after: slash) != rest.endIndex
        else {
            throw ImageError(
                .invalidOption, "'\(text)' names no object: write \(scheme.rawValue)://BUCKET/KEY")
        }
        self.scheme = scheme
        bucket = String(rest[..<slash])
        key = try ObjectKey.checked(String(rest[rest.index(after: slash)...]))
    }

    /// What stands for a folder in a store where a directory could stand: a bucket, and what the keys in it begin with.
    ///
    /// - Returns: nil for a path.
    /// - Throws: `invalid-option` for a location without a bucket.
    static func folder(_ text: String) throws(ImageError) -> (bucket: StoreLocation, prefix: String)? {
        guard let (scheme, rest) = split(text) else { return nil }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        guard slash != rest.startIndex else {
            throw ImageError(
                .invalidOption, "'\(text)' names no folder of a bucket: write \(scheme.rawValue)://BUCKET/FOLDER")
        }
        return (StoreLocation(scheme: scheme, bucket: String(rest[..<slash])), String(rest[slash...].dropFirst()))
    }

    /// A bucket, by its name or as a location; the name alone is one of OSS.
    init(bucket text: String) throws(ImageError) {
        let (scheme, rest) = Self.split(text) ?? (.oss, Substring(text))
        guard !rest.isEmpty, !rest.contains("/") else {
            throw ImageError(
                .invalidOption,
                "'\(text)' is no bucket: write its name, oss://NAME or s3://NAME, and give the key apart")
        }
        self.scheme = scheme
        bucket = String(rest)
    }

    private static func split(_ text: String) -> (Scheme, Substring)? {
        for scheme in Scheme.allCases where text.hasPrefix(scheme.rawValue + "://") {
            return (scheme, text.dropFirst(scheme.rawValue.count + 3))
        }
        return nil
    }
}
