internal import ImageCodecs
public import ImageModel
public import ImagePipeline
public import ObjectStorage
internal import Synchronization

/// Fetches an object, by parts and in parallel, and believes no part that has not the CRC-64 it must have.
public struct ObjectDownload: Sendable {
    /// Of a part, where no manifest says another, and of the longest single request, in bytes.
    private static let requestLength: UInt64 = 8 << 20
    /// How often a part is fetched that arrives damaged.
    private static let attempts = 3
    /// Zeros are left as holes in steps of so many bytes.
    private static let holeLength = 64 << 10

    public var store: any ObjectStore
    public var key: ObjectKey
    /// What the object must be; nil goes by what the store says.
    public var manifest: Manifest?
    /// How many requests are on their way at a time.
    public var parallel: Int
    public var cancellation: CancellationFlag?

    public init(
        _ key: ObjectKey, in store: any ObjectStore, manifest: Manifest? = nil, parallel: Int = 4,
        cancellation: CancellationFlag? = nil
    ) {
        self.store = store
        self.key = key
        self.manifest = manifest
        self.parallel = parallel
        self.cancellation = cancellation
    }

    /// Blocks until the sink has all of the object; call it from a thread that may wait.
    ///
    /// - Throws: `verification-failed` where the object is not what the manifest or the store says; `source-changed` where it was
    ///   replaced meanwhile; `store`.
    public func run(into sink: any ImageSink) throws(ImageError) -> ObjectSummary {
        let summary: ObjectSummary
        do throws(StoreError) { summary = try store.head(key) } catch { throw error.imageError }
        if let manifest, manifest.objectLength != summary.length {
            throw failed("it has \(summary.length) bytes, expected \(manifest.objectLength)")
        }
        let partLength = manifest?.parts.length ?? Self.requestLength
        let count = summary.length.dividedRoundingUp(by: partLength)
        let next = Atomic<UInt64>(0)
        let whole = Mutex(CRC64Sum())
        let failure = SharedFailure()
        let work = { @Sendable in
            do throws(ImageError) {
                while !failure.isSet {
                    let index = next.add(1, ordering: .relaxed).oldValue
                    guard index < count else { return }
                    let start = index * partLength
                    let range = start..<min(start + partLength, summary.length)
                    let sum = try fetch(range, part: Int(index), summary.tag, into: sink)
                    whole.withLock { $0.add(sum, startingAt: start) }
                }
            } catch {
                failure.set(error)
            }
        }
        try WorkerThreads.run(besides: max(1, parallel - 1), work) { () throws(ImageError) in work() }
        try failure.rethrow()
        let crc64 = whole.withLock { $0 }.checksum(length: summary.length)
        if let expected = manifest?.object.crc64ecma ?? summary.crc64, crc64 != expected {
            throw failed("it has CRC-64 \(crc64), expected \(expected)")
        }
        try sink.finish(length: summary.length)
        return summary
    }

    /// Fetches a part until it is right.
    private func fetch(_ range: Range<UInt64>, part: Int, _ tag: String, into sink: any ImageSink) throws(ImageError)
        -> CRC64Sum
    {
        let length = range.upperBound - range.lowerBound
        var found: UInt64 = 0
        for attempt in 0..<Self.attempts {
            try WorkOptions(cancellation: cancellation).requireGoingOn()
            var sum = CRC64Sum()
            var start = range.lowerBound
            while start < range.upperBound {
                let end = min(start + Self.requestLength, range.upperBound)
                let bytes: [UInt8]
                do throws(StoreError) { bytes = try store.get(key, range: start..<end, tag: tag) } catch {
                    throw error.imageError
                }
                sum.add(CRC64Sum.remainder(bytes.span), endingAt: end - range.lowerBound)
                // What a try before wrote is written over, with zeros too.
                try write(bytes.span, at: start, leavingHoles: attempt == 0, into: sink)
                start = end
            }
            found = sum.checksum(length: length)
            guard let expected = manifest?.parts.crc64ecma[part], found != expected else { return sum }
        }
        throw failed(
            "part \(part) (bytes \(range)) has CRC-64 \(found), as often as it is fetched, and must have another")
    }

    private func write(_ bytes: Span<UInt8>, at start: UInt64, leavingHoles: Bool, into sink: any ImageSink)
        throws(ImageError)
    {
        var done = 0
        while done < bytes.count {
            let count = min(Self.holeLength, bytes.count - done)
            let piece = bytes.extracting(done..<done + count)
            if !leavingHoles || !ZeroDetector.isZero(piece) {
                try sink.write(data: piece, at: FileOffset(start + UInt64(done)))
            }
            done += count
        }
    }

    private func failed(_ what: String) -> ImageError {
        ImageError(.verificationFailed, "the object is damaged: \(what); export it again", path: "\(store.name)/\(key)")
    }
}
