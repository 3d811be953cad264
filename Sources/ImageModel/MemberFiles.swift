/// A file of an image that consists of several, in the address space in which an encoder places all their bytes.
public struct MemberFile: Hashable, Sendable {
    /// Starts of files are multiples of it, in bytes.
    public static let alignment: UInt64 = 8 << 20

    /// Without a directory: the files stand beside each other.
    public var name: String
    public var range: FileRange

    public init(name: String, range: FileRange) {
        self.name = name
        self.range = range
    }
}

/// A sink that makes several files of an image, where an encoder divides it.
public protocol MemberFilesSink: ImageSink {
    /// Settles the length of each file, after the last write; called in place of `finish(length:)` for an image of several.
    func finish(files: [MemberFile]) throws(ImageError)
}

extension NullSink: MemberFilesSink {
    public func finish(files: [MemberFile]) throws(ImageError) {}
}
