import ImageModel

/// Passes everything on to another sink, up to a length.
struct LimitedSink: ImageSink {
    private let sink: any ImageSink
    /// In bytes.
    private let greatestLength: UInt64

    init(_ sink: any ImageSink, greatestLength: UInt64) {
        self.sink = sink
        self.greatestLength = greatestLength
    }

    var isSequential: Bool { sink.isSequential }
    var followsLayout: Bool { sink.followsLayout }

    func expect(_ writes: [FileRange], unsettled: [FileRange]) throws(ImageError) {
        for write in writes { try require(write.end.bytes) }
        try sink.expect(writes, unsettled: unsettled)
    }

    func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try require(offset.bytes, UInt64(data.count))
        try sink.write(data: data, at: offset)
    }

    func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try require(offset.bytes, UInt64(metadata.count))
        try sink.write(metadata: metadata, at: offset)
    }

    func finish(length: UInt64) throws(ImageError) {
        try require(length)
        try sink.finish(length: length)
    }

    func cloning(of source: any ImageSource) -> CloningSupport { sink.cloning(of: source) }

    func clone(_ range: FileRange, of source: any ImageSource, to offset: FileOffset) throws(ImageError) -> Bool {
        try require(offset.bytes, range.length)
        return try sink.clone(range, of: source, to: offset)
    }

    private func require(_ offset: UInt64, _ count: UInt64 = 0) throws(ImageError) {
        guard offset > greatestLength || count > greatestLength - offset else { return }
        throw ImageError(
            .outputTooLong,
            "the object would be longer than the \(greatestLength) bytes that it may have; nothing of it is kept")
    }
}
