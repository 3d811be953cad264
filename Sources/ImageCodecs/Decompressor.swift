internal import CDeflate
internal import CZstd
public import ImageModel

/// Inflates compressed units of every method; one for each thread.
@safe public struct Decompressor: ~Copyable {
    /// The longest window of a zstd frame that is read, as a power of two: `ImageLimits.inflatedUnitLength`, 8 MiB.
    ///
    /// No unit is longer, so no encoder that knows a unit's length asks for more.
    private static let longestWindowLog: CInt = 23

    private let inflater: OpaquePointer
    private let zstandard: OpaquePointer

    /// - Throws: `limit-exceeded` where there is no memory for it.
    public init() throws(ImageError) {
        let outOfMemory = ImageError(.limitExceeded, "no memory is left for a decompressor")
        guard let inflater = unsafe libdeflate_alloc_decompressor() else { throw outOfMemory }
        guard let zstandard = unsafe ZSTD_createDCtx() else {
            unsafe libdeflate_free_decompressor(inflater)
            throw outOfMemory
        }
        // A frame's header says how much of its past it looks back at, and that much is allocated.
        guard unsafe ZSTD_isError(ZSTD_DCtx_setParameter(zstandard, ZSTD_d_windowLogMax, Self.longestWindowLog)) == 0
        else {
            unsafe libdeflate_free_decompressor(inflater)
            unsafe ZSTD_freeDCtx(zstandard)
            throw outOfMemory
        }
        unsafe self.inflater = inflater
        unsafe self.zstandard = zstandard
    }

    deinit {
        unsafe libdeflate_free_decompressor(inflater)
        unsafe ZSTD_freeDCtx(zstandard)
    }

    /// Inflates a unit into a range of `output`.
    ///
    /// - Parameters:
    ///   - input: the stored bytes; what follows the end of the stream is ignored, as qcow2 counts in sectors.
    ///   - range: where in `output` the content goes; the unit may not inflate to more than the range holds.
    /// - Returns: how many bytes it inflated to; nil where the stream is damaged or holds more.
    public func decompress(
        _ input: Span<UInt8>, method: CompressionMethod, into output: inout [UInt8], _ range: Range<Int>
    ) -> Int? {
        precondition(output.indices.contains(range), "the output has no room for \(range)")
        guard let (produced, used) = inflate(input, method, into: &output, range) else { return nil }
        guard method == .gzip else { return produced }
        let content = output.span.extracting(range.lowerBound..<range.lowerBound + produced)
        return GzipTrailer(of: content).stands(in: input, at: used) ? produced : nil
    }

    /// - Returns: how many bytes it inflated to, and how many of the stored ones it took for that.
    private func inflate(
        _ input: Span<UInt8>, _ method: CompressionMethod, into output: inout [UInt8], _ range: Range<Int>
    ) -> (produced: Int, used: Int)? {
        let capacity = range.count
        return unsafe output.withUnsafeMutableBytes { output in
            let target = unsafe UnsafeMutableRawBufferPointer(rebasing: output[range])
            return unsafe input.withUnsafeBytes { source in
                var produced = 0
                var used = 0
                switch method {
                case .deflate, .gzip:
                    let result = unsafe libdeflate_deflate_decompress_ex(
                        inflater, source.baseAddress, source.count, target.baseAddress, capacity, &used, &produced)
                    return result == LIBDEFLATE_SUCCESS ? (produced, used) : nil
                case .zlib:
                    let result = unsafe libdeflate_zlib_decompress_ex(
                        inflater, source.baseAddress, source.count, target.baseAddress, capacity, &used, &produced)
                    return result == LIBDEFLATE_SUCCESS ? (produced, used) : nil
                case .zstd:
                    return unsafe decompressZstandard(source, into: target, capacity: capacity)
                        .map { ($0, source.count) }
                }
            }
        }
    }

    /// Reads frames until `capacity` bytes are there or the input ends: a unit may hold more than one frame, and padding.
    private func decompressZstandard(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, capacity: Int
    ) -> Int? {
        // One frame that holds it all is what everybody writes, and read at once it takes no buffer in between.
        let frame = unsafe ZSTD_findFrameCompressedSize(input.baseAddress, input.count)
        if ZSTD_isError(frame) == 0 {
            let count = unsafe ZSTD_decompressDCtx(
                zstandard, output.baseAddress, capacity, input.baseAddress, frame)
            if ZSTD_isError(count) == 0, count == capacity { return count }
        }
        return unsafe decompressFrames(input, into: output, capacity: capacity)
    }

    private func decompressFrames(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, capacity: Int
    ) -> Int? {
        guard unsafe ZSTD_isError(ZSTD_DCtx_reset(zstandard, ZSTD_reset_session_only)) == 0 else { return nil }
        var source = unsafe ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        var target = unsafe ZSTD_outBuffer(dst: output.baseAddress, size: capacity, pos: 0)
        var hint = 1
        while unsafe target.pos < capacity || hint != 0 {
            // Frames that end with the input may hold less than there is room for.
            if hint == 0, unsafe source.pos == source.size { break }
            let before = unsafe (source.pos, target.pos)
            hint = unsafe ZSTD_decompressStream(zstandard, &target, &source)
            if ZSTD_isError(hint) != 0 { return nil }
            let after = unsafe (source.pos, target.pos)
            if after == before { return nil }
        }
        let produced = unsafe target.pos
        return produced
    }
}
