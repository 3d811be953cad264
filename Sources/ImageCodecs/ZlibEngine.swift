internal import CZlib
internal import ImageModel

/// zlib: bare deflate with any window, as QEMU makes it.
@safe final class ZlibEngine: CompressionEngine {
    static let methods: [CompressionMethod] = [.deflate, .gzip]
    static let levels = 1...9
    /// zlib itself refuses 8 for bare deflate.
    static let windowBits = 9...15
    static var version: String { unsafe String(cString: zlibVersion()) }

    /// The most memory that zlib takes, and what QEMU gives it: with less, blocks are shorter and streams longer.
    private static let memoryLevel: Int32 = 9

    private let stream: UnsafeMutablePointer<z_stream>

    init(_ compression: UnitCompression) throws(ImageError) {
        unsafe stream = .allocate(capacity: 1)
        unsafe stream.initialize(to: z_stream())
        // A window below zero is a stream without header and checksum.
        let status = unsafe deflateInit2_(
            stream, Int32(compression.level), Z_DEFLATED, -Int32(compression.windowBits), Self.memoryLevel,
            Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        guard status == Z_OK else { throw Self.outOfMemory(compression) }
    }

    deinit {
        unsafe deflateEnd(stream)
        unsafe stream.deallocate()
    }

    func bound(_ length: Int) -> Int { Int(unsafe deflateBound(stream, UInt(length))) }

    @unsafe func compress(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int? {
        guard unsafe deflateReset(stream) == Z_OK else { return nil }
        // zlib only reads the input, though its prototype does not say const.
        let source = unsafe UnsafeMutableRawPointer(mutating: input.baseAddress)
        unsafe stream.pointee.next_in = source?.assumingMemoryBound(to: UInt8.self)
        unsafe stream.pointee.avail_in = UInt32(input.count)
        unsafe stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        unsafe stream.pointee.avail_out = UInt32(output.count)
        guard unsafe deflate(stream, Z_FINISH) == Z_STREAM_END else { return nil }
        return Int(unsafe stream.pointee.total_out)
    }
}
