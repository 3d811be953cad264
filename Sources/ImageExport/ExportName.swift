public import ImageModel
public import ObjectStorage

/// What an exported object is called: `[<prefix>_]<name>.<extension>`, as ECS ExportImage names its objects.
public enum ExportName {
    /// How many letters and digits a prefix has (ExportImage, parameter OSSPrefix).
    static let prefixLengths = 1...30

    /// - Parameters:
    ///   - prefix: 1 to 30 letters and digits, or nil.
    ///   - name: what the image is called.
    ///   - suffix: what stands behind the name, without its dot: `qcow2`, `raw.tar.gz`.
    /// - Throws: `invalid-option` for another prefix, or a name that can't be in a key.
    public static func key(prefix: String?, name: String, suffix: String) throws(ImageError) -> ObjectKey {
        if let prefix {
            let isPlain = prefix.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "a")...UInt8(ascii: "z"):
                    true
                default: false
                }
            }
            guard isPlain, prefixLengths.contains(prefix.utf8.count) else {
                throw ImageError(
                    .invalidOption,
                    "the prefix '\(prefix)' is none: it has 1 to 30 letters (A to Z, a to z) and digits; for any other name, "
                        + "use '--object KEY'")
            }
        }
        guard !name.isEmpty, !name.contains("/") else {
            throw ImageError(
                .invalidOption,
                "'\(name)' can't be an image's name, which is not empty and has no '/'; use '--object KEY'")
        }
        return try ObjectKey.checked((prefix.map { $0 + "_" } ?? "") + name + "." + suffix)
    }

    /// The key of the manifest that stands beside an object.
    public static func manifest(of key: ObjectKey) throws(ImageError) -> ObjectKey {
        try ObjectKey.checked(key.description + ".manifest.json")
    }

    /// The key of another file of the same image, beside that of the one that is opened.
    ///
    /// - Parameter name: of the file, as the image has it, without directories.
    public static func sibling(of key: ObjectKey, named name: String) throws(ImageError) -> ObjectKey {
        try ObjectKey.checked(folder(of: key) + name)
    }

    /// What a key has up to its last `/`; empty where it has none.
    public static func folder(of key: ObjectKey) -> String {
        String(key.description.dropLast(lastComponent(of: key).count))
    }

    /// What stands behind the last `/` of a key.
    static func lastComponent(of key: ObjectKey) -> String {
        String(key.description.split(separator: "/", omittingEmptySubsequences: false).last ?? "")
    }
}

extension ObjectKey {
    /// The key, or an error of the command line.
    ///
    /// - Parameter name: as `PathText` has it; keys are UTF-8.
    public static func checked(_ name: String) throws(ImageError) -> ObjectKey {
        guard !PathText.isEscaped(name) else {
            throw ImageError(
                .invalidOption,
                "'\(PathText.shown(name))' can't be an object's key, which is UTF-8: give one with '--object' or '--name'"
            )
        }
        do throws(StoreError) { return try ObjectKey(name) } catch {
            throw ImageError(.invalidOption, error.message)
        }
    }
}
