import CDeflate
import CZlib
import CZstd

// The libraries that the codecs are held against, called as plainly as they allow.

enum ReferenceInflate {
    /// Inflates one RFC 1950 stream with zlib itself; nil unless it ends just where the input does and fits `capacity`.
    static func zlib(_ input: [UInt8], capacity: Int) -> [UInt8]? {
        inflated(input, capacity: capacity, windowBits: 15)
    }

    /// Inflates one RFC 1952 member with zlib itself, as `zlib` does.
    static func gzip(_ input: [UInt8], capacity: Int) -> [UInt8]? {
        inflated(input, capacity: capacity, windowBits: 16 + 15)
    }

    /// Inflates a bare deflate stream with zlib itself, which has no more of the content at hand than its window: the output
    /// goes out in pieces of 64 bytes.
    static func raw(_ input: [UInt8], capacity: Int, windowBits: Int) -> [UInt8]? {
        var stream = unsafe z_stream()
        let size = unsafe Int32(MemoryLayout<z_stream>.size)
        guard unsafe inflateInit2_(&stream, -Int32(windowBits), ZLIB_VERSION, size) == Z_OK else { return nil }
        defer { unsafe inflateEnd(&stream) }
        var input = input
        var output: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64)
        var status = Z_OK
        unsafe input.withUnsafeMutableBufferPointer { source in
            unsafe stream.next_in = source.baseAddress
            unsafe stream.avail_in = UInt32(source.count)
            while status == Z_OK, output.count <= capacity {
                let count = unsafe piece.withUnsafeMutableBufferPointer { target in
                    unsafe stream.next_out = target.baseAddress
                    unsafe stream.avail_out = UInt32(target.count)
                    status = unsafe inflate(&stream, Z_NO_FLUSH)
                    return unsafe target.count - Int(stream.avail_out)
                }
                output += piece.prefix(count)
            }
        }
        guard status == Z_STREAM_END, unsafe stream.avail_in == 0, output.count <= capacity else { return nil }
        return output
    }

    /// Reads one RFC 8878 frame that says its content's size; nil unless it ends just where the input does.
    static func zstandard(_ input: [UInt8], capacity: Int) -> [UInt8]? {
        guard unsafe ZSTD_getFrameContentSize(input, input.count) == UInt64(capacity) else { return nil }
        var output = [UInt8](repeating: 0xA5, count: max(1, capacity))
        let count = unsafe ZSTD_decompress(&output, capacity, input, input.count)
        return count == capacity ? Array(output.prefix(capacity)) : nil
    }

    /// - Parameter windowBits: the logarithm of the window, and 16 more for gzip.
    private static func inflated(_ input: [UInt8], capacity: Int, windowBits: Int32) -> [UInt8]? {
        var stream = unsafe z_stream()
        let size = unsafe Int32(MemoryLayout<z_stream>.size)
        guard unsafe inflateInit2_(&stream, windowBits, ZLIB_VERSION, size) == Z_OK else { return nil }
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

    /// What an RFC 1952 member has behind its header, by zlib itself.
    static func gzipBody(_ input: [UInt8]) -> [UInt8] {
        // 2 bytes in front of the deflate stream, and an Adler-32 behind it.
        var body = Array(zlib(input).dropFirst(2).dropLast(4))
        let checksum = unsafe crc32(0, input, UInt32(input.count))
        for value in [UInt32(checksum), UInt32(input.count)] {
            for shift: UInt32 in [0, 8, 16, 24] { body.append(UInt8(truncatingIfNeeded: value >> shift)) }
        }
        return body
    }

    /// One RFC 8878 frame.
    static func zstandard(_ input: [UInt8]) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: ZSTD_compressBound(input.count))
        let count = unsafe ZSTD_compress(&output, output.count, input, input.count, 3)
        return ZSTD_isError(count) != 0 ? [] : Array(output.prefix(count))
    }
}
