internal import Glibc
internal import ImageCodecs
internal import ImageFiles

/// Writes bytes in order from some place of a file on, of which nothing is there yet, and leaves out zeros.
struct SparseWriter {
    /// The file offset of the first byte.
    let start: UInt64
    /// What was written so far, in bytes.
    private(set) var length: UInt64 = 0
    /// CRC-64/XZ of what was written so far.
    private(set) var crc64: UInt64 = 0

    private let descriptor: Int32
    private let path: String
    private let reservesBlocks: Bool
    private let turn: SleepingLock

    /// - Parameter descriptor: of a file that outlives this, and reads as zeros from `start` on.
    init(_ descriptor: Int32, from start: UInt64 = 0, path: String) throws(StoreError) {
        self.start = start
        self.descriptor = descriptor
        self.path = path
        reservesBlocks = !FileCalls.isOnTmpfs(descriptor)
        turn = FileTurns.turn(of: try fileStatus(descriptor, path: path))
    }

    /// What file systems allocate at once, as a rule.
    private static let blockLength: UInt64 = 4096

    /// Runs of so many bytes and more have their blocks reserved in one call before (see `FileSink`).
    private static let reservedFrom = 256 << 10

    mutating func write(_ bytes: Span<UInt8>) throws(StoreError) {
        let place = start + length
        /// The end of the block, or piece of one, that begins at an index.
        func blockEnd(_ index: Int) -> Int {
            let rest = Self.blockLength - (place + UInt64(index)) % Self.blockLength
            return min(bytes.count, index + Int(rest))
        }
        var index = 0
        while index < bytes.count {
            var end = blockEnd(index)
            if ZeroDetector.isZero(bytes.extracting(index..<end)) {
                index = end
                continue
            }
            while end < bytes.count {
                let next = blockEnd(end)
                if ZeroDetector.isZero(bytes.extracting(end..<next)) { break }
                end = next
            }
            try writeRun(bytes.extracting(index..<end), at: place + UInt64(index))
            index = end
        }
        crc64 = CRC64.checksum(bytes, continuing: crc64)
        length += UInt64(bytes.count)
    }

    private func writeRun(_ bytes: Span<UInt8>, at place: UInt64) throws(StoreError) {
        turn.lock()
        defer { turn.unlock() }
        if reservesBlocks, bytes.count >= Self.reservedFrom {
            FileCalls.reserve(descriptor, at: place, length: UInt64(bytes.count))
        }
        try writeAll(bytes, to: descriptor, at: place, path: path)
    }
}

/// Locks of files, by which the threads of a process write one after the other to each.
///
/// The kernel lets one thread at a time write to a file and makes the others spin; here they sleep.
private enum FileTurns {
    private static let turns = (0..<64).map { _ in SleepingLock() }

    /// Files may share one.
    static func turn(of file: stat) -> SleepingLock { turns[Int(UInt64(file.st_ino) % UInt64(turns.count))] }
}
