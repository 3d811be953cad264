internal import CDeflate
internal import CZstd
public import ImageModel

/// Inflates compressed units of every method; one for each thread.
@safe public struct Decompressor: ~Copyable {
    private let inflater: OpaquePointer

    /// - Throws: `limit-exceeded` where there is no memory for it.
    public init() throws(ImageError) {
        guard let inflater = unsafe libdeflate_alloc_decompressor() else {
            throw ImageError(.limitExceeded, "no memory is left for a decompressor")
        }
        unsafe self.inflater = inflater
    }

    deinit { unsafe libdeflate_free_decompressor(inflater) }

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
                    return unsafe Self.decompressZstandard(source, into: target, capacity: capacity)
                        .map { ($0, source.count) }
                }
            }
        }
    }

    /// Reads frames until `capacity` bytes are there or the input ends: a unit may hold more than one frame, and padding.
    private static func decompressZstandard(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, capacity: Int
    ) -> Int? {
        guard let context = unsafe ZSTD_createDCtx() else { return nil }
        defer { unsafe ZSTD_freeDCtx(context) }
        var source = unsafe ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        var target = unsafe ZSTD_outBuffer(dst: output.baseAddress, size: capacity, pos: 0)
        var hint = 1
        while unsafe target.pos < capacity || hint != 0 {
            // Frames that end with the input may hold less than there is room for.
            if hint == 0, unsafe source.pos == source.size { break }
            let before = unsafe (source.pos, target.pos)
            hint = unsafe ZSTD_decompressStream(context, &target, &source)
            if ZSTD_isError(hint) != 0 { return nil }
            let after = unsafe (source.pos, target.pos)
            if after == before { return nil }
        }
        let produced = unsafe target.pos
        return produced
    }
}
