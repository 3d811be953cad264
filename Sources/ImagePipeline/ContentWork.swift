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
        let dispenser = Mutex(ChunkDispenser(self, chunkSize: chunkSize(work.chunkSize)))
        let total = Mutex(CRC64Sum())
        let failure = SharedFailure()
        WorkerThreads.run(work.threads) {
            do throws(ImageError) {
                var content = ChunkContent(self)
                var sum = CRC64Sum()
                while !failure.isSet, let chunk = try dispenser.withLock({ (it) throws(ImageError) in try it.next() }) {
                    try work.requireGoingOn()
                    for piece in try content.load(chunk) {
                        try content.forEachRun(of: piece, limit: .max) { (bytes, distance) throws(ImageError) in
                            let end = piece.guest + distance + UInt64(bytes.count)
                            sum.add(CRC64Sum.remainder(bytes), endingAt: end)
                        }
                    }
                    content.unload(chunk)
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
        var dispenser = ChunkDispenser(self, chunkSize: chunkSize(work.chunkSize), skippingZeros: false)
        var content = ChunkContent(self)
        var digest = SHA256Digest()
        while let chunk = try dispenser.next() {
            try work.requireGoingOn()
            var position = chunk.range.start.bytes
            for piece in try content.load(chunk) {
                try Self.updateWithZeros(&digest, count: piece.guest - position, content)
                try content.forEachRun(of: piece, limit: .max) { (bytes, _) throws(ImageError) in digest.update(bytes) }
                position = piece.end
            }
            try Self.updateWithZeros(&digest, count: chunk.range.end.bytes - position, content)
            content.unload(chunk)
            work.progress?.reach(chunk.range.end)
        }
        try source.requireUnchanged()
        return digest.hexadecimal()
    }

    private static func updateWithZeros(_ digest: inout SHA256Digest, count: UInt64, _ content: borrowing ChunkContent)
        throws(ImageError)
    {
        let zeros = ContentPiece(guest: 0, length: count, origin: .zeros)
        try content.forEachRun(of: zeros, limit: .max) { (bytes, _) throws(ImageError) in digest.update(bytes) }
    }
}
