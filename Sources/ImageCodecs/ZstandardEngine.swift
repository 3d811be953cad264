internal import CZstd
internal import ImageModel

/// libzstd: one frame for each unit, which says its content's size, and has a checksum where one is asked for.
@safe final class ZstandardEngine: CompressionEngine {
    static let methods: [CompressionMethod] = [.zstd]
    /// Beyond 19 come those that take 16 times the memory, and below 1 those that hardly compress.
    static let levels = 1...19
    static let windowBits = 15...15
    static var version: String { unsafe String(cString: ZSTD_versionString()) }

    private let context: OpaquePointer

    init(_ compression: UnitCompression) throws(ImageError) {
        guard let context = unsafe ZSTD_createCCtx() else { throw Self.outOfMemory(compression) }
        unsafe self.context = context
        let settings = [
            (ZSTD_c_compressionLevel, Int32(compression.level)), (ZSTD_c_checksumFlag, compression.hasChecksum ? 1 : 0),
        ]
        for (parameter, value) in settings {
            let status = unsafe ZSTD_CCtx_setParameter(context, parameter, value)
            guard ZSTD_isError(status) == 0 else {
                throw ImageError(
                    .unsupported, "this libzstd does not take \(value) for its parameter \(parameter.rawValue)")
            }
        }
    }

    deinit { unsafe ZSTD_freeCCtx(context) }

    func bound(_ length: Int) -> Int { ZSTD_compressBound(length) }

    @unsafe func compress(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int? {
        let count = unsafe ZSTD_compress2(
            context, output.baseAddress, output.count, input.baseAddress, input.count)
        return ZSTD_isError(count) != 0 ? nil : count
    }
}
