internal import CDeflate
public import ImageModel

/// Compresses units with libdeflate: to bare deflate, to RFC 1950 streams, or to what gzip members have behind their header;
/// one for each thread.
///
/// A unit that looks random is stored: every level would come to the same size, after far more work.
@safe public struct DeflateCompressor: ~Copyable {
    /// libdeflate's levels that are of use: 0 would store.
    public static let levels = 1...12

    /// The library and its version, by which its bytes can change.
    public static let library = "libdeflate \(LIBDEFLATE_VERSION_STRING)"

    private let method: CompressionMethod
    private let compressor: OpaquePointer
    /// Level 0 of libdeflate: stored blocks.
    private let storer: OpaquePointer
    private var probe = RandomnessProbe()

    /// - Throws: `unsupported` for a method that is not deflate's; `invalid-option` for a level out of range; `limit-exceeded`
    ///   where there is no memory for it.
    public init(_ method: CompressionMethod = .zlib, level: Int) throws(ImageError) {
        guard method != .zstd else {
            throw ImageError(.unsupported, "units are compressed with deflate; \(method.rawValue) is only read")
        }
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
        self.method = method
        unsafe self.compressor = compressor
        unsafe self.storer = storer
    }

    deinit {
        unsafe libdeflate_free_compressor(compressor)
        unsafe libdeflate_free_compressor(storer)
    }

    /// The most bytes that `length` bytes can become.
    public func bound(_ length: Int) -> Int {
        // zlib's frame has 6 bytes around the deflate stream, and gzip's trailer 8.
        unsafe max(
            libdeflate_zlib_compress_bound(compressor, length), libdeflate_zlib_compress_bound(storer, length))
            + GzipTrailer.length
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
                let place = unsafe target.baseAddress.map { unsafe $0 + start }
                return switch method {
                case .zlib:
                    unsafe libdeflate_zlib_compress(chosen, source.baseAddress, source.count, place, room)
                case .deflate, .gzip, .zstd:
                    unsafe libdeflate_deflate_compress(chosen, source.baseAddress, source.count, place, room)
                }
            }
        }
        precondition(count > 0, "a \(method.rawValue) stream of \(input.count) bytes must fit its bound of \(room)")
        output.removeLast(room - count)
        guard method == .gzip else { return count }
        output += GzipTrailer(of: input).bytes
        return count + GzipTrailer.length
    }
}
