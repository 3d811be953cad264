/// The files that a list has, beside the image, and no others.
public struct ListedFiles: ReferencedFiles {
    private let names: Set<String>
    private let folder: any ReferencedFiles

    /// - Parameters:
    ///   - names: without directories.
    ///   - folder: opens what is in the folder of the image.
    public init(_ names: [String], in folder: any ReferencedFiles) {
        self.names = Set(names)
        self.folder = folder
    }

    public func open(_ name: String, namedBy image: String) throws(ImageError) -> any ImageSource {
        guard names.contains(name), !name.contains("/") else {
            throw ImageError(
                .externalReference,
                "it names '\(ReferencedName.shown(name))', which is not among the files of its manifest", path: image)
        }
        return try folder.open(name, namedBy: image)
    }

    public func nameInUTF8(of name: String, in encoding: String) -> String? {
        folder.nameInUTF8(of: name, in: encoding)
    }

    public func search(
        ending: String, beside image: String, _ isWanted: (any ImageSource) throws(ImageError) -> Bool
    ) throws(ImageError) -> [any ImageSource] { [] }
}

/// Files that were written and have no name yet, opened by the names that they will have.
public struct WrittenFiles: ReferencedFiles {
    /// In the order in which they were given.
    public let sources: [any ImageSource]
    private let names: [String]

    public init(_ sources: [any ImageSource], names: [String]) {
        self.sources = sources
        self.names = names
    }

    public func open(_ name: String, namedBy image: String) throws(ImageError) -> any ImageSource {
        guard let index = names.firstIndex(of: name) else {
            throw ImageError(
                .externalReference, "it names '\(ReferencedName.shown(name))', which was not written", path: image,
                systemError: ImageError.noSuchFile)
        }
        return sources[index]
    }

    public func search(
        ending: String, beside image: String, _ isWanted: (any ImageSource) throws(ImageError) -> Bool
    ) throws(ImageError) -> [any ImageSource] { [] }
}
