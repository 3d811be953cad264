internal import CImageKernels
internal import Glibc
public import ImageModel

/// A sparse temporary file without a name, in `TMPDIR` or `/var/tmp`; it is gone with its owner, however that ends.
final class ScratchFile: Sendable {
    private let descriptor: FileDescriptor
    private let directory: String

    init() throws(ImageError) {
        let named = unsafe getenv("TMPDIR").map { unsafe PathText.text(of: $0) } ?? ""
        directory = named.isEmpty ? "/var/tmp" : named
        if let descriptor = try? FileDescriptor(path: directory, flags: O_RDWR | lathe_O_TMPFILE, mode: 0o600) {
            self.descriptor = descriptor
            return
        }
        var generator = SystemRandomNumberGenerator()
        let path = "\(directory)/lathe-\(getpid())-\(UInt64.random(in: 0...UInt64.max, using: &generator))"
        do throws(ImageError) {
            descriptor = try FileDescriptor(path: path, flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
        } catch {
            throw ImageError(
                error.code,
                "\(error.message): no temporary file can be made there; set TMPDIR to a directory that has room",
                path: directory, operation: error.operation, systemError: error.systemError)
        }
        unsafe unlink(PathText.terminated(path))
    }

    func write(_ bytes: Span<UInt8>, at offset: UInt64) throws(ImageError) {
        try descriptor.writeAll(bytes, at: offset, path: directory)
    }

    func setLength(_ length: UInt64) throws(ImageError) {
        try descriptor.setLength(length, path: directory)
    }

    func source(name: String) throws(ImageError) -> FileSource {
        try FileSource(duplicating: descriptor.number, name: name)
    }
}

/// Keeps an image, data and all, in a nameless sparse file, until somebody has looked at it.
public final class ScratchSpool: ImageSpool {
    public let isSequential = false
    private let file: ScratchFile

    /// - Throws: `input-output` where the directory for temporary files can't be written to.
    public init() throws(ImageError) { file = try ScratchFile() }

    public func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try file.write(data, at: offset.bytes)
    }

    public func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try file.write(metadata, at: offset.bytes)
    }

    public func finish(length: UInt64) throws(ImageError) { try file.setLength(length) }

    public func spooled() throws(ImageError) -> any ImageSource { try file.source(name: "spool") }
}
