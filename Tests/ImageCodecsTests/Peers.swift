import CDeflate
import CZlib
import CZstd

// The libraries that the codecs are held against, called as plainly as they allow.

enum ReferenceInflate {
    /// Inflates one RFC 1950 stream with zlib itself; nil unless it ends just where the input does and fits `capacity`.
    static func zlib(_ input: [UInt8], capacity: Int) -> [UInt8]? {
        var stream = unsafe z_stream()
        guard unsafe inflateInit_(&stream, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else { return nil }
        defer { unsafe inflateEnd(&stream) }
        var input = input
        var output = [UInt8](repeating: 0xA5, count: max(capacity, 1))
        let status = unsafe input.withUnsafeMutableBufferPointer { source in
            unsafe output.withUnsafeMutableBufferPointer { target in
                unsafe stream.next_in = source.baseAddress
                unsafe stream.avail_in = UInt32(source.count)
                unsafe stream.next_out = target.baseAddress
                unsafe stream.avail_out = UInt32(capacity)
                return unsafe inflate(&stream, Z_FINISH)
            }
        }
        guard status == Z_STREAM_END, unsafe stream.avail_in == 0 else { return nil }
        return Array(output.prefix(Int(unsafe stream.total_out)))
    }
}

enum ReferenceDeflate {
    /// An RFC 1951 stream, as qcow2 has them.
    static func raw(_ input: [UInt8]) -> [UInt8] {
        guard let compressor = unsafe libdeflate_alloc_compressor(6) else { return [] }
        defer { unsafe libdeflate_free_compressor(compressor) }
        var output = [UInt8](repeating: 0, count: unsafe libdeflate_deflate_compress_bound(compressor, input.count))
        let count = unsafe libdeflate_deflate_compress(compressor, input, input.count, &output, output.count)
        return Array(output.prefix(count))
    }

    /// An RFC 1950 stream by zlib itself.
    static func zlib(_ input: [UInt8]) -> [UInt8] {
        var count = compressBound(UInt(input.count))
        var output = [UInt8](repeating: 0, count: Int(count))
        guard unsafe compress(&output, &count, input, UInt(input.count)) == Z_OK else { return [] }
        return Array(output.prefix(Int(count)))
    }

    /// One RFC 8878 frame.
    static func zstandard(_ input: [UInt8]) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: ZSTD_compressBound(input.count))
        let count = unsafe ZSTD_compress(&output, output.count, input, input.count, 3)
        return ZSTD_isError(count) != 0 ? [] : Array(output.prefix(count))
    }
}
