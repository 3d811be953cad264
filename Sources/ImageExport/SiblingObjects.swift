public import ImageModel
public import ObjectStorage

/// The objects beside an image that its manifest lists as its files, and no others.
public struct SiblingObjects: ReferencedFiles {
    private let store: any ObjectStore
    private let key: ObjectKey
    private let names: Set<String>

    /// - Parameters:
    ///   - key: of the file that is opened.
    ///   - names: of all files, without directories.
    public init(_ names: [String], beside key: ObjectKey, in store: any ObjectStore) {
        self.store = store
        self.key = key
        self.names = Set(names)
    }

    public func open(_ name: String, namedBy image: String) throws(ImageError) -> any ImageSource {
        guard names.contains(name), !name.contains("/") else {
            throw ImageError(
                .externalReference,
                "it names '\(ReferencedName.shown(name))', which is not among the files of its manifest", path: image)
        }
        return try StoreSource(store, ExportName.sibling(of: key, named: name))
    }

    public func search(
        ending: String, beside image: String, _ isWanted: (any ImageSource) throws(ImageError) -> Bool
    ) throws(ImageError) -> [any ImageSource] { [] }
}
