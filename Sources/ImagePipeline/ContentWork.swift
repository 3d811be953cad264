internal import ImageCodecs
internal import ImageFormats
public import ImageModel
internal import Synchronization

extension DiskImage {
    /// CRC-64/XZ over the whole guest content, zeros included, read through the format's reader; blocks.
    ///
    /// Only stored bytes are read: zeros cost nothing, however many.
    ///
    /// - Throws: what the reader and the source throw; `cancelled`.
    public func fingerprint(_ work: WorkOptions = .init()) throws(ImageError) -> UInt64 {
        try run(.crc64ecma, length: virtualSize, work).crc64ecma
    }

    /// Checksums over the whole guest content, zeros included, read through the format's reader in one pass; blocks.
    ///
    /// CRC-64 is among them whether it was asked for or not.
    ///
    /// - Throws: what the reader and the source throw; `cancelled`.
    public func checksums(_ selection: ChecksumSelection, _ work: WorkOptions = .init()) throws(ImageError) -> Checksums
    {
        try run(selection, length: virtualSize, work)
    }

    /// Checksums over every byte of a source, whatever it holds.
    ///
    /// - Throws: what the source throws; `cancelled`.
    public static func checksums(
        ofBytesOf source: any ImageSource, _ selection: ChecksumSelection, _ work: WorkOptions = .init()
    ) throws(ImageError) -> Checksums {
        try DiskImage(source, format: .raw).run(selection, length: source.length, work)
    }

    /// - Parameter length: where the content ends, in bytes: the virtual size, or for a raw file its length to the byte.
    private func run(_ selection: ChecksumSelection, length: UInt64, _ work: WorkOptions) throws(ImageError)
        -> Checksums
    {
        try work.validate()
        work.progress?.begin(total: virtualSize)
        let run = ChecksumRun(self, selection, length: length, work)
        WorkerThreads.run(work.threads) { run.work() }
        return try run.complete()
    }
}

/// What the workers of one pass over a disk's content share.
private final class ChecksumRun: Sendable {
    private let image: DiskImage
    private let length: UInt64
    private let options: WorkOptions
    private let chunkSize: UInt64
    private let dispenser: Mutex<ChunkDispenser>
    private let total = Mutex(CRC64Sum())
    private let digests: OrderedDigests?
    private let failure = SharedFailure()

    init(_ image: DiskImage, _ selection: ChecksumSelection, length: UInt64, _ options: WorkOptions) {
        self.image = image
        self.length = length
        self.options = options
        chunkSize = image.chunkSize(options.chunkSize)
        dispenser = Mutex(ChunkDispenser(image, chunkSize: chunkSize))
        digests = OrderedDigests(selection, length: length)
    }

    func work() {
        do throws(ImageError) {
            var content = ChunkContent(image, chunkSize: chunkSize)
            var sum = CRC64Sum()
            while !failure.isSet, let chunk = try dispenser.withLock({ (it) throws(ImageError) in try it.next() }) {
                try options.requireGoingOn()
                try content.load(chunk)
                for piece in content.pieces {
                    try content.withBytes(of: piece) { (bytes) throws(ImageError) in
                        sum.add(CRC64Sum.remainder(bytes), endingAt: piece.end.bytes)
                    }
                }
                if let digests {
                    content.dropZeros()
                    content.fillGaps()
                    try digests.add(chunk, content)
                }
                options.progress?.reach(chunk.range.end)
            }
            total.withLock { $0.add(sum) }
        } catch {
            failure.set(error)
            digests?.stop()
        }
    }

    func complete() throws(ImageError) -> Checksums {
        try failure.rethrow()
        try image.source.requireUnchanged()
        options.progress?.reach(GuestOffset(image.virtualSize))
        var checksums = Checksums(crc64ecma: total.withLock { $0 }.checksum(length: length))
        digests?.finish(&checksums)
        return checksums
    }
}
