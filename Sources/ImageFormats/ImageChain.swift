public import ImageModel

/// An image that is open for reading: what it says, and all the files that its content is in.
public struct OpenedImage: Sendable {
    public var reader: any ImageReader
    /// The address space that the reader's file offsets are in: the image's file, or several files in one.
    public var source: any ImageSource

    public init(reader: any ImageReader, source: any ImageSource) {
        self.reader = reader
        self.source = source
    }
}

/// The image that lies under another one, which holds only what differs from it.
public struct ParentImage: Sendable {
    public var source: any ImageSource
    public var format: ImageFormat

    public init(source: any ImageSource, format: ImageFormat) {
        self.source = source
        self.format = format
    }
}

/// Opens an image with all that lies under it.
enum ImageChain {
    /// - Throws: what readers and `references` throw; `corrupt` for an image that lies under itself; `limit-exceeded` for a chain
    ///   that is too long.
    static func open(
        _ format: ImageFormat, _ source: any ImageSource, _ references: any ReferencedFiles,
        snapshot: SnapshotSelection?
    ) throws(ImageError) -> OpenedImage {
        var layers = [try FormatCatalog.readerType(of: format).open(source, references, snapshot: snapshot)]
        while let top = layers.last,
            let parent = try top.reader.openParent(references, of: top.source)
        {
            guard layers.count < ImageLimits.chainDepth else {
                throw ImageError(
                    .limitExceeded,
                    "there are more than \(ImageLimits.chainDepth) images under one another, which Lathe does not read",
                    path: source.name)
            }
            try requireNew(parent.source, under: layers, namedBy: top.source)
            layers.append(
                try FormatCatalog.readerType(of: parent.format).open(parent.source, references, snapshot: nil))
        }
        guard layers.count > 1 else { return layers[0] }
        let joined = try JoinedSource(layers.map(\.source))
        return OpenedImage(reader: ChainReader(layers.map(\.reader), in: joined), source: joined)
    }

    /// Refuses a file that one of the layers above has already: the chain would have no end.
    private static func requireNew(
        _ parent: any ImageSource, under layers: [OpenedImage], namedBy image: any ImageSource
    ) throws(ImageError) {
        guard let identity = parent.identity else { return }
        for layer in layers {
            for file in layer.source.files where file.identity?.isSameFile(as: identity) ?? false {
                throw ImageError(
                    .corrupt,
                    "it says that '\(parent.name)' lies under it, but that is '\(file.name)', which lies over it or is the "
                        + "image itself; a chain that goes in a circle has no content", path: image.name)
            }
        }
    }
}

extension ReferencedFiles {
    /// Opens a file that an image names, with what it is for in the error where it may not be.
    ///
    /// - Parameters:
    ///   - encoding: in which the image may have the name, where it says one: then a file of that name in UTF-8 will do, if there is
    ///     none of the very bytes.
    ///   - purpose: a sentence of what the image has in it: `this qcow2 image has its content in a data file`.
    func open(
        _ name: String, in encoding: String? = nil, because purpose: String, namedBy image: any ImageSource
    ) throws(ImageError) -> any ImageSource {
        do throws(ImageError) {
            do throws(ImageError) { return try open(name, namedBy: image.name) } catch {
                guard error.isMissing, let encoding, let other = nameInUTF8(of: name, in: encoding) else { throw error }
                return try open(other, namedBy: image.name)
            }
        } catch {
            throw error.explained(purpose)
        }
    }
}

extension ImageError {
    /// The same error with what the file would have been opened for in front, where the user has not allowed it.
    func explained(_ purpose: String) -> ImageError {
        guard code == .externalReference else { return self }
        var explained = self
        explained.message = "\(purpose): \(message)"
        return explained
    }
}
