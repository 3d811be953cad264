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

/// Puts the files of an image into one sink, each where it was placed: for a place where nobody sees them apart.
public struct JoinedFilesSink: MemberFilesSink {
    private let sink: any ImageSink

    public init(_ sink: any ImageSink) { self.sink = sink }

    public var isSequential: Bool { sink.isSequential }

    public func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try sink.write(data: data, at: offset)
    }

    public func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try sink.write(metadata: metadata, at: offset)
    }

    public func cloning(of source: any ImageSource) -> CloningSupport { sink.cloning(of: source) }

    public func clone(_ range: FileRange, of source: any ImageSource, to offset: FileOffset) throws(ImageError) -> Bool
    {
        try sink.clone(range, of: source, to: offset)
    }

    public func finish(length: UInt64) throws(ImageError) { try sink.finish(length: length) }

    public func finish(files: [MemberFile]) throws(ImageError) {
        try sink.finish(length: files.map(\.range.end.bytes).max() ?? 0)
    }
}

/// One of several files, to which bytes come by their offset in it.
public struct MemberSink: ImageSink {
    private let file: MemberFile
    private let sink: any MemberFilesSink

    public init(_ file: MemberFile, in sink: any MemberFilesSink) {
        self.file = file
        self.sink = sink
    }

    public var isSequential: Bool { sink.isSequential }

    public func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try requireRoom(offset, data.count)
        try sink.write(data: data, at: file.range.start + offset.bytes)
    }

    public func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try requireRoom(offset, metadata.count)
        try sink.write(metadata: metadata, at: file.range.start + offset.bytes)
    }

    /// - Throws: `verification-failed` for bytes behind the file's end, which would be another's.
    private func requireRoom(_ offset: FileOffset, _ count: Int) throws(ImageError) {
        guard offset.bytes + UInt64(count) <= file.range.length else {
            throw ImageError(
                .verificationFailed, "it has more than the \(file.range.length) bytes that it must have",
                path: file.name)
        }
    }

    /// Leaves the length to `finish(files:)` of the sink of all.
    public func finish(length: UInt64) throws(ImageError) {
        guard length == file.range.length else {
            throw ImageError(
                .verificationFailed, "it has \(length) bytes, expected \(file.range.length)", path: file.name)
        }
    }
}
