internal import Glibc
public import ImageModel

/// Keeps what of an image does not come in order, each byte at its own offset of a nameless sparse file, and drops the rest.
///
/// A pipe can't go back to a header that is known last; so a first run over the source fills one of these, and a second
/// run writes the pipe in order with a `StreamSink` that takes the metadata from here. So it does with data that is placed
/// in front of other data that was placed before it, as qcow2 packs small clusters into room that was left.
public final class MetadataSpool: ImageSink {
    /// As a `StreamSink` is, so that both see the same data come late.
    public let isSequential = true
    private let file: ScratchFile
    /// Behind all data so far.
    private let end = Position()

    /// - Throws: `input-output` where the directory for temporary files can't be written to.
    public init() throws(ImageError) { file = try ScratchFile() }

    public func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        if offset.bytes < end.value {
            try file.write(data, at: offset.bytes)
        } else {
            end.value = offset.bytes + UInt64(data.count)
        }
    }

    public func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try file.write(metadata, at: offset.bytes)
    }

    public func finish(length: UInt64) throws(ImageError) { try file.setLength(length) }

    /// The metadata and late data, with zeros where other data goes.
    public func spooled() throws(ImageError) -> FileSource { try file.source(name: "metadata spool") }
}

/// Writes an image to a pipe or any other descriptor that only goes forward.
public final class StreamSink: ImageSink {
    public let isSequential = true
    private let descriptor: Int32
    private let name: String
    /// nil where metadata come in order with the data.
    private let metadata: FileSource?
    private let observer: @Sendable (Span<UInt8>) -> Void
    private let calls: SystemCalls
    /// How far the stream has been written.
    ///
    /// Calls come one at a time, and each sees what the last one left.
    private let position = Position()

    /// - Parameters:
    ///   - descriptor: stays the caller's.
    ///   - metadata: what a `MetadataSpool` learned of the same image; nil for a conversion that goes forward.
    ///   - observer: is shown every byte of the image, in order, once it is written.
    public convenience init(
        descriptor: Int32, name: String, metadata: FileSource?,
        observer: @escaping @Sendable (Span<UInt8>) -> Void = { _ in }
    ) {
        self.init(descriptor: descriptor, name: name, metadata: metadata, observer: observer, calls: .live)
    }

    package init(
        descriptor: Int32, name: String, metadata: FileSource?,
        observer: @escaping @Sendable (Span<UInt8>) -> Void = { _ in }, calls: SystemCalls
    ) {
        self.observer = observer
        self.descriptor = descriptor
        self.name = name
        self.metadata = metadata
        self.calls = calls
    }

    public func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        // Data that comes late is in the spool, and was written with what stands there.
        if metadata != nil, offset.bytes + UInt64(data.count) <= position.value { return }
        try fill(upTo: offset.bytes)
        try emit(data)
    }

    /// Ignored where the spool has it already.
    public func write(metadata bytes: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        if metadata == nil { try write(data: bytes, at: offset) }
    }

    public func finish(length: UInt64) throws(ImageError) { try fill(upTo: length) }

    /// Gaps are written in pieces of so many bytes.
    private static let gapLength: UInt64 = 256 << 10
    private static let zeros = [UInt8](repeating: 0, count: Int(gapLength))

    /// Writes metadata and gaps up to a file offset.
    private func fill(upTo end: UInt64) throws(ImageError) {
        while position.value < end {
            let step = min(Self.gapLength, end - position.value)
            guard let metadata else {
                try emit(Self.zeros.span.extracting(0..<Int(step)))
                continue
            }
            try metadata.withBytes(of: FileRange(position.value, length: step)) { (bytes) throws(ImageError) in
                try emit(bytes)
            }
        }
        guard position.value == end else {
            throw ImageError(
                .sourceChanged, "the source changed between the two runs that a stream takes; start again", path: name,
                offset: FileOffset(end))
        }
    }

    private func emit(_ bytes: Span<UInt8>) throws(ImageError) {
        var failure: ImageError?
        unsafe bytes.withUnsafeBytes { buffer in
            var done = 0
            while done < buffer.count {
                guard let base = buffer.baseAddress else { return }
                let count = unsafe calls.write(descriptor, base + done, buffer.count - done)
                if count > 0 {
                    done += count
                } else if count < 0, errno == EAGAIN {
                    // Whoever shares the descriptor may have made it one that never waits.
                    FileCalls.waitUntilWritable(descriptor)
                } else if count < 0, errno == EPIPE {
                    failure = readerGone(at: position.value + UInt64(done))
                    return
                } else if count == 0 || errno != EINTR {
                    failure = writeError(
                        "write", count == 0 ? EIO : errno, path: name, offset: position.value + UInt64(done))
                    return
                }
            }
        }
        if let failure { throw failure }
        observer(bytes)
        position.value += UInt64(bytes.count)
    }
}

extension StreamSink {
    private func readerGone(at offset: UInt64) -> ImageError {
        ImageError(
            .readerGone, "whoever read the image has gone away, and has not had all of it", path: name,
            offset: FileOffset(offset), operation: "write", systemError: EPIPE)
    }
}

/// A count that is only touched by one thread at a time, which a sequential sink's callers see to.
// @unchecked: the pipeline's ordered step is the lock; two calls never overlap.
private final class Position: @unchecked Sendable {
    var value: UInt64 = 0
}
