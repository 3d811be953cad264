internal import Glibc
public import ImageModel

/// A file that is there already, and of which ranges are rewritten in place.
public final class FilePatch: ImageSink {
    public let isSequential = false
    private let path: String
    private let descriptor: FileDescriptor
    private let turn = SleepingLock()

    /// - Throws: `input-output` where the file is not there or may not be written; `unsupported` for what is no regular file.
    public init(path: String) throws(ImageError) {
        self.path = path
        descriptor = try FileDescriptor(path: path, flags: O_RDWR | O_NONBLOCK)
        guard try descriptor.status(path: path).isRegularFile else {
            throw ImageError(.unsupported, "only a regular file can be repaired in place", path: path)
        }
    }

    public func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try turn.withLock { () throws(ImageError) in
            try descriptor.writeAll(data, at: offset.bytes, path: path)
        }
    }

    public func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try write(data: metadata, at: offset)
    }

    /// Settles the length, and waits until all is on the disk.
    public func finish(length: UInt64) throws(ImageError) {
        guard let size = off_t(exactly: length), ftruncate(descriptor.number, size) == 0 else {
            throw writeError("ftruncate", errno, path: path, offset: length)
        }
        guard fsync(descriptor.number) == 0 else { throw systemError("fsync", errno, path: path) }
    }
}
