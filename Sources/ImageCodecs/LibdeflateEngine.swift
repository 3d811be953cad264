internal import CDeflate
internal import ImageModel

/// libdeflate: deflate and RFC 1950 streams with a window of 32 KiB.
///
/// A unit that looks random is stored: every level would come to the same size, after far more work.
@safe final class LibdeflateEngine: CompressionEngine {
    static let methods: [CompressionMethod] = [.deflate, .gzip, .zlib]
    /// 0 would store.
    static let levels = 1...12
    static let windowBits = 15...15
    static let version = LIBDEFLATE_VERSION_STRING

    private let method: CompressionMethod
    private let compressor: OpaquePointer
    /// Level 0: stored blocks.
    private let storer: OpaquePointer
    private var probe = RandomnessProbe()

    init(_ compression: UnitCompression) throws(ImageError) {
        guard let compressor = unsafe libdeflate_alloc_compressor(Int32(compression.level)) else {
            throw Self.outOfMemory(compression)
        }
        guard let storer = unsafe libdeflate_alloc_compressor(0) else {
            unsafe libdeflate_free_compressor(compressor)
            throw Self.outOfMemory(compression)
        }
        method = compression.method
        unsafe self.compressor = compressor
        unsafe self.storer = storer
    }

    deinit {
        unsafe libdeflate_free_compressor(compressor)
        unsafe libdeflate_free_compressor(storer)
    }

    func bound(_ length: Int) -> Int {
        // RFC 1950 has 6 bytes around the deflate stream.
        unsafe max(libdeflate_zlib_compress_bound(compressor, length), libdeflate_zlib_compress_bound(storer, length))
    }

    @unsafe func compress(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int? {
        let looksRandom = probe.looksRandom(unsafe input.bindMemory(to: UInt8.self).span)
        let chosen = unsafe looksRandom ? storer : compressor
        let count =
            method == .zlib
            ? unsafe libdeflate_zlib_compress(
                chosen, input.baseAddress, input.count, output.baseAddress, output.count)
            : unsafe libdeflate_deflate_compress(
                chosen, input.baseAddress, input.count, output.baseAddress, output.count)
        return count > 0 ? count : nil
    }
}
