import ImageCodecs
import ImageModel
import Synchronization

/// What one thread counts of the content that comes by; what all threads counted adds up.
protocol ContentCounter: Sendable {
    /// Takes stored bytes that start at a guest offset.
    mutating func count(_ bytes: Span<UInt8>, at guest: GuestOffset)

    /// Takes in what another thread has counted.
    mutating func add(_ other: Self)
}

extension CRC64Sum: ContentCounter {
    mutating func count(_ bytes: Span<UInt8>, at guest: GuestOffset) {
        add(Self.remainder(bytes), endingAt: guest.bytes + UInt64(bytes.count))
    }
}

/// One pass over a disk's content by many threads: every stored byte is counted once, and hashed in order where asked.
final class ContentPass<Counter: ContentCounter>: Sendable {
    private let image: DiskImage
    private let options: WorkOptions
    private let chunkSize: UInt64
    private let dispenser: Mutex<ChunkDispenser>
    private let blank: Counter
    private let total: Mutex<Counter>
    private let digests: OrderedDigests?
    private let failure = SharedFailure()

    /// - Parameters:
    ///   - length: where the content ends, in bytes: the virtual size, or for a raw file its length to the byte.
    ///   - counter: what every thread starts with.
    init(
        _ image: DiskImage, _ selection: ChecksumSelection, length: UInt64, counter: Counter, _ options: WorkOptions
    ) {
        self.image = image
        self.options = options
        chunkSize = image.chunkSize(options.chunkSize)
        dispenser = Mutex(ChunkDispenser(image, chunkSize: chunkSize))
        blank = counter
        total = Mutex(counter)
        digests = OrderedDigests(selection, length: length)
    }

    /// Blocks until all is read.
    ///
    /// - Returns: what was counted, and the digests, none of which is a CRC-64.
    /// - Throws: what the reader and the source throw; `cancelled`.
    func run() throws(ImageError) -> (counter: Counter, digests: OrderedDigests?) {
        try options.validate()
        options.progress?.begin(total: image.virtualSize)
        WorkerThreads.run(options.threads) { [self] in work() }
        try failure.rethrow()
        try image.source.requireUnchanged()
        options.progress?.reach(GuestOffset(image.virtualSize))
        return (total.withLock { $0 }, digests)
    }

    private func work() {
        do throws(ImageError) {
            var content = ChunkContent(image, chunkSize: chunkSize)
            var counter = blank
            while !failure.isSet, let chunk = try dispenser.withLock({ (it) throws(ImageError) in try it.next() }) {
                try options.requireGoingOn()
                try content.load(chunk)
                for piece in content.pieces {
                    try content.withBytes(of: piece) { (bytes) throws(ImageError) in
                        counter.count(bytes, at: piece.start)
                    }
                }
                if let digests {
                    content.dropZeros()
                    try content.fillGaps()
                    try digests.add(chunk, content)
                }
                options.progress?.reach(chunk.range.end)
            }
            total.withLock { $0.add(counter) }
        } catch {
            failure.set(error)
            digests?.stop()
        }
    }
}
