internal import CImageKernels
internal import Glibc
internal import ImageModel

/// A file mapped for reading, in which a page that can't be had reads as zeros and is reported.
final class GuardedMapping: Sendable {
    private let base: UInt
    let length: Int
    private let guardNumber: Int32

    static let pageSize = Int(sysconf(Int32(_SC_PAGESIZE)))

    /// - Returns: nil where the file can't be mapped, or no guard is free: then it is read into buffers.
    init?(descriptor: borrowing FileDescriptor, length: UInt64) {
        guard length > 0, let size = Int(exactly: length),
            let address = unsafe mmap(nil, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, descriptor.number, 0),
            unsafe address != MAP_FAILED
        else { return nil }
        let number = unsafe lathe_guard_add(address, size)
        guard number >= 0 else {
            unsafe munmap(address, size)
            return nil
        }
        base = UInt(bitPattern: address)
        self.length = size
        guardNumber = number
    }

    deinit {
        lathe_guard_remove(guardNumber)
        unsafe munmap(UnsafeMutableRawPointer(bitPattern: base), length)
    }

    /// Where in the file the first page fault happened that could not be served.
    var faultOffset: UInt64? {
        let offset = lathe_guard_fault(guardNumber)
        return offset < 0 ? nil : UInt64(offset)
    }

    /// Lends mapped bytes; `range` lies within the mapping.
    func withBytes<Result>(_ range: Range<Int>, _ body: (Span<UInt8>) throws(ImageError) -> Result)
        throws(ImageError) -> Result
    {
        precondition(range.lowerBound >= 0 && range.upperBound <= length, "a range outside the mapping")
        let start = unsafe UnsafePointer<UInt8>(bitPattern: base + UInt(range.lowerBound))
        let buffer = unsafe UnsafeBufferPointer(start: start, count: range.count)
        return try unsafe body(buffer.span)
    }

    /// Brings a range in with one call.
    ///
    /// - Returns: 0, or the error number: `EFAULT` where a page can't be had.
    func populate(_ range: Range<Int>) -> Int32 {
        advise(range, MADV_POPULATE_READ) == 0 ? 0 : errno
    }

    /// Gives the pages of a range back; the file's cache keeps them.
    func release(_ range: Range<Int>) { _ = advise(range, MADV_DONTNEED) }

    /// Advises the kernel on the part of a range that is mapped: behind it lies memory of others, which must not be dropped.
    private func advise(_ range: Range<Int>, _ advice: Int32) -> Int32 {
        let range = range.clamped(to: 0..<length)
        guard !range.isEmpty else { return 0 }
        let mask = UInt(Self.pageSize - 1)
        let start = (base + UInt(range.lowerBound)) & ~mask
        let end = (base + UInt(range.upperBound) + mask) & ~mask
        return unsafe madvise(UnsafeMutableRawPointer(bitPattern: start), Int(end - start), advice)
    }
}

/// `MADV_POPULATE_READ` of Linux 5.14, which Debian 12's headers lack.
private let MADV_POPULATE_READ: Int32 = 22
