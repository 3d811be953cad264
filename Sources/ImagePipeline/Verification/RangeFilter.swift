import ImageModel

/// Lets through what falls into some ranges.
struct RangeFilter: ImageSink {
    let isSequential = false
    private let sink: any ImageSink
    private let ranges: [FileRange]

    /// - Parameter ranges: in ascending order, and none in another.
    init(_ sink: any ImageSink, letting ranges: [FileRange]) {
        self.sink = sink
        self.ranges = ranges
    }

    func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        let end = offset.bytes + UInt64(data.count)
        // The first range that ends behind the offset.
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].end <= offset { low = middle + 1 } else { high = middle }
        }
        for range in ranges[low...] {
            let from = max(offset.bytes, range.start.bytes)
            let to = min(end, range.end.bytes)
            guard from < to else { return }
            let piece = data.extracting(Int(from - offset.bytes)..<Int(to - offset.bytes))
            try sink.write(data: piece, at: FileOffset(from))
        }
    }

    func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try write(data: metadata, at: offset)
    }

    func finish(length: UInt64) throws(ImageError) { try sink.finish(length: length) }
}
