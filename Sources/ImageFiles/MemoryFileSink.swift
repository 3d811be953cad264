internal import CImageKernels
internal import Glibc
public import ImageModel

/// A sink whose image can be read back before, or without, ever having a name.
public protocol ReadableSink: ImageSink {
    /// What has been written so far.
    func writtenSource() throws(ImageError) -> FileSource
}

extension FileSink: ReadableSink {}

/// A destination that lives in memory alone (`memfd_create`), sparse as a file is; it goes with its owner.
///
/// What is written counts as this process's memory, and the machine's memory is its only limit.
public final class MemoryFileSink: ReadableSink {
    public let isSequential = false

    private let descriptor: FileDescriptor
    private let name: String
    /// One thread at a time writes to a file; see `FileSink`.
    private let turn = SleepingLock()

    /// - Parameter name: what error messages call it.
    /// - Throws: `input-output` where the kernel has no such files.
    public init(name: String) throws(ImageError) {
        let number = unsafe lathe_memory_file("lathe")
        guard number >= 0 else {
            throw systemError("memfd_create", errno, path: name, "name a directory as the destination")
        }
        descriptor = FileDescriptor(owning: number)
        self.name = name
    }

    public func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try turn.withLock { () throws(ImageError) in try descriptor.writeAll(data, at: offset.bytes, path: name) }
    }

    public func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try write(data: metadata, at: offset)
    }

    public func finish(length: UInt64) throws(ImageError) { try descriptor.setLength(length, path: name) }

    public func writtenSource() throws(ImageError) -> FileSource {
        try FileSource(duplicating: descriptor.number, name: name)
    }
}
