internal import ImageCodecs
public import ImageModel
internal import Synchronization

extension DiskImage {
    /// CRC-64/XZ over the whole guest content, zeros included, read through the format's reader; blocks.
    ///
    /// Only stored bytes are read: zeros cost nothing, however many.
    ///
    /// - Throws: what the reader and the source throw; `cancelled`.
    public func fingerprint(_ work: WorkOptions = .init()) throws(ImageError) -> UInt64 {
        try work.validate()
        work.progress?.begin(total: virtualSize)
        let chunkSize = chunkSize(work.chunkSize)
        let dispenser = Mutex(ChunkDispenser(self, chunkSize: chunkSize))
        let total = Mutex(CRC64Sum())
        let failure = SharedFailure()
        WorkerThreads.run(work.threads) {
            do throws(ImageError) {
                var content = ChunkContent(self, chunkSize: chunkSize)
                var sum = CRC64Sum()
                while !failure.isSet, let chunk = try dispenser.withLock({ (it) throws(ImageError) in try it.next() }) {
                    try work.requireGoingOn()
                    try content.load(chunk)
                    for piece in content.pieces {
                        try content.withBytes(of: piece) { (bytes) throws(ImageError) in
                            sum.add(CRC64Sum.remainder(bytes), endingAt: piece.end.bytes)
                        }
                    }
                    work.progress?.reach(chunk.range.end)
                }
                total.withLock { $0.add(sum) }
            } catch {
                failure.set(error)
            }
        }
        try failure.rethrow()
        try source.requireUnchanged()
        work.progress?.reach(GuestOffset(virtualSize))
        return total.withLock { $0 }.checksum(length: virtualSize)
    }

    /// SHA-256 over the whole guest content, zeros included, in lower-case hexadecimal; one thread, since each step needs
    /// the one before, and every zero costs its time.
    ///
    /// - Throws: what the reader and the source throw; `cancelled`.
    public func sha256(_ work: WorkOptions = .init()) throws(ImageError) -> String {
        try work.validate()
        work.progress?.begin(total: virtualSize)
        let chunkSize = chunkSize(work.chunkSize)
        var dispenser = ChunkDispenser(self, chunkSize: chunkSize, skippingZeros: false)
        var content = ChunkContent(self, chunkSize: chunkSize)
        var digest = SHA256Digest()
        while let chunk = try dispenser.next() {
            try work.requireGoingOn()
            try content.load(chunk)
            content.fillGaps()
            try content.withBytes(of: chunk.range) { (bytes) throws(ImageError) in digest.update(bytes) }
            work.progress?.reach(chunk.range.end)
        }
        try source.requireUnchanged()
        return digest.hexadecimal()
    }
}
