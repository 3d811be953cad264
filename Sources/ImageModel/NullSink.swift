/// Takes everything and keeps nothing: for measuring.
public struct NullSink: ImageSink {
    public let isSequential = false

    public init() {}

    public func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {}
    public func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {}
    public func finish(length: UInt64) throws(ImageError) {}
}
