internal import CISAL
internal import ImageModel

/// ISA-L: deflate at several hundred MB/s and core, with a window that can be made small.
///
/// Levels 1 and 2 give the same bytes on every processor, from those without AVX to those with AVX-512; level 3 does not.
@safe final class ISALEngine: CompressionEngine {
    static let methods: [CompressionMethod] = [.deflate, .gzip]
    static let levels = 1...2
    static let windowBits = 9...15
    static let version = "\(ISAL_MAJOR_VERSION).\(ISAL_MINOR_VERSION).\(ISAL_PATCH_VERSION)"

    private let memory: ISALStreamMemory
    /// `level_buf`, with room for the tokens of 64 KiB of content, so that a cluster of qcow2 is one block with codes of its own.
    private let workspace: UnsafeMutableBufferPointer<UInt8>
    private let level: UInt32
    private let windowBits: UInt16

    init(_ compression: UnitCompression) throws(ImageError) {
        level = UInt32(compression.level)
        windowBits = UInt16(compression.windowBits)
        guard let memory = ISALStreamMemory() else { throw Self.outOfMemory(compression) }
        self.memory = memory
        let length = compression.level == 1 ? lathe_ISAL_DEF_LVL1_LARGE : lathe_ISAL_DEF_LVL2_LARGE
        unsafe workspace = .allocate(capacity: Int(length))
        unsafe workspace.initialize(repeating: 0)
    }

    deinit { unsafe workspace.deallocate() }

    func bound(_ length: Int) -> Int {
        // Where codes would not help it stores blocks of up to 65535 bytes, with five bytes in front of each.
        length + 5 * (length / 65535 + 1) + 64
    }

    @unsafe func compress(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int? {
        let stream = unsafe memory.stream
        unsafe isal_deflate_stateless_init(stream)
        // ISA-L only reads the input, though its prototype does not say const.
        let source = unsafe UnsafeMutableRawPointer(mutating: input.baseAddress)
        unsafe stream.pointee.next_in = source?.assumingMemoryBound(to: UInt8.self)
        unsafe stream.pointee.avail_in = UInt32(input.count)
        unsafe stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        unsafe stream.pointee.avail_out = UInt32(output.count)
        unsafe stream.pointee.level = level
        unsafe stream.pointee.level_buf = workspace.baseAddress
        unsafe stream.pointee.level_buf_size = UInt32(workspace.count)
        unsafe stream.pointee.end_of_stream = 1
        unsafe stream.pointee.flush = UInt16(NO_FLUSH)
        unsafe stream.pointee.gzip_flag = UInt16(IGZIP_DEFLATE)
        unsafe stream.pointee.hist_bits = windowBits
        guard unsafe isal_deflate_stateless(stream) == COMP_OK, unsafe stream.pointee.avail_in == 0 else { return nil }
        return Int(unsafe stream.pointee.total_out)
    }
}
