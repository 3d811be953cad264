internal import CDeflate
public import ImageModel

/// Compresses units to RFC 1950 streams with libdeflate; one for each thread.
///
/// A unit that looks random is stored: every level would come to the same size, after far more work.
@safe public struct ZlibCompressor: ~Copyable {
    /// libdeflate's levels that are of use: 0 would store.
    public static let levels = 1...12

    /// The library and its version, by which its bytes can change.
    public static let library = "libdeflate \(LIBDEFLATE_VERSION_STRING)"

    private let compressor: OpaquePointer
    /// Level 0 of libdeflate: stored blocks.
    private let storer: OpaquePointer
    private var probe = RandomnessProbe()

    /// - Throws: `invalid-option` for a level out of range; `limit-exceeded` where there is no memory for it.
    public init(level: Int) throws(ImageError) {
        guard Self.levels.contains(level) else {
            throw ImageError(.invalidOption, "compression level \(level) is not one; levels are 1 to 12")
        }
        guard let compressor = unsafe libdeflate_alloc_compressor(Int32(level)) else {
            throw ImageError(.limitExceeded, "no memory is left for a compressor of level \(level)")
        }
        guard let storer = unsafe libdeflate_alloc_compressor(0) else {
            unsafe libdeflate_free_compressor(compressor)
            throw ImageError(.limitExceeded, "no memory is left for a compressor of level 0")
        }
        unsafe self.compressor = compressor
        unsafe self.storer = storer
    }

    deinit {
        unsafe libdeflate_free_compressor(compressor)
        unsafe libdeflate_free_compressor(storer)
    }

    /// The most bytes that `length` bytes can become.
    public func bound(_ length: Int) -> Int {
        unsafe max(
            libdeflate_zlib_compress_bound(compressor, length), libdeflate_zlib_compress_bound(storer, length))
    }

    /// Compresses `input` to the end of `output`, which has room for `bound(input.count)` bytes more.
    ///
    /// - Returns: how many bytes it took.
    public mutating func compress(_ input: Span<UInt8>, into output: inout [UInt8]) -> Int {
        let chosen = unsafe probe.looksRandom(input) ? storer : compressor
        let start = output.count
        let room = bound(input.count)
        output.append(contentsOf: repeatElement(0, count: room))
        let count = unsafe output.withUnsafeMutableBytes { target in
            unsafe input.withUnsafeBytes { source in
                unsafe libdeflate_zlib_compress(
                    chosen, source.baseAddress, source.count, target.baseAddress.map { unsafe $0 + start }, room)
            }
        }
        precondition(count > 0, "a zlib stream of \(input.count) bytes must fit its bound of \(room)")
        output.removeLast(room - count)
        return count
    }
}
