internal import Glibc
internal import ImageCodecs

/// Room for the bytes of one part: zeros, of which only the pages that are written to take memory.
///
/// Threads write to it at the same time, each to bytes of its own; it is read when all have written.
@safe final class PartBuffer: BodyContent {
    private let base: UInt
    let length: Int

    /// - Throws: `input-output` where the system has no more memory.
    init(length: Int) throws(StoreError) {
        let address = unsafe mmap(
            nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let address = unsafe address, unsafe address != MAP_FAILED else {
            throw StoreError(
                .inputOutput, "no memory for a part of \(length) bytes; ask for smaller parts, or fewer at a time",
                operation: "mmap")
        }
        base = UInt(bitPattern: address)
        self.length = length
    }

    deinit { unsafe munmap(UnsafeMutableRawPointer(bitPattern: base), length) }

    /// Copies bytes to an offset within the buffer, which nobody else writes to.
    func write(_ bytes: Span<UInt8>, at offset: Int) {
        precondition(offset >= 0 && bytes.count <= length - offset, "bytes outside their part")
        unsafe bytes.withUnsafeBytes { source in
            guard let from = source.baseAddress, let to = unsafe UnsafeMutableRawPointer(bitPattern: base) else {
                return
            }
            unsafe (to + offset).copyMemory(from: from, byteCount: source.count)
        }
    }

    func withBytes(of range: Range<UInt64>, _ body: (Span<UInt8>) throws(StoreError) -> Void) throws(StoreError) {
        precondition(range.upperBound <= UInt64(length), "bytes outside their part")
        let start = unsafe UnsafePointer<UInt8>(bitPattern: base + UInt(range.lowerBound))
        let bytes = unsafe UnsafeBufferPointer(start: start, count: Int(range.upperBound - range.lowerBound))
        try unsafe body(bytes.span)
    }

    /// The first `count` bytes as a body.
    func body(count: UInt64) throws(StoreError) -> ObjectBody {
        var checksum: UInt64 = 0
        if count > 0 {
            try withBytes(of: 0..<count) { (bytes) throws(StoreError) in checksum = CRC64.checksum(bytes) }
        }
        return ObjectBody(self, length: count, crc64: checksum)
    }
}
