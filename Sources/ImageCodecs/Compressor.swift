public import ImageModel

/// Compresses units, each on its own; one for each thread.
///
/// Behind it stands one engine for each library. What came before leaves no trace: a unit becomes the same bytes in every run.
public struct Compressor: ~Copyable {
    private let compression: UnitCompression
    private let engine: any CompressionEngine
    /// Where a stream is made, before what there is of it goes to the output: kept, since to make room costs more than to copy.
    private var scratch: [UInt8] = []

    /// - Throws: `unsupported` for a method that the library does not write; `invalid-option` for a level or a window that it
    ///   does not have; `limit-exceeded` where there is no memory for it.
    public init(_ compression: UnitCompression) throws(ImageError) {
        let kind = Self.kind(of: compression.library)
        guard kind.methods.contains(compression.method) else {
            throw ImageError(
                .unsupported,
                "\(compression.library.rawValue) does not write \(compression.method.rawValue); it writes "
                    + kind.methods.map(\.rawValue).joined(separator: ", "))
        }
        guard kind.levels.contains(compression.level) else {
            throw ImageError(
                .invalidOption,
                "compression level \(compression.level) is not one; \(compression.library.rawValue) has levels "
                    + "\(kind.levels.lowerBound) to \(kind.levels.upperBound)")
        }
        guard compression.method == .zstd || kind.windowBits.contains(compression.windowBits) else {
            throw ImageError(
                .invalidOption,
                "a window of \(compression.windowBits) bits is not one; \(compression.library.rawValue) has windows of "
                    + "\(kind.windowBits.lowerBound) to \(kind.windowBits.upperBound) bits")
        }
        let engine = try kind.init(compression)
        self.compression = compression
        self.engine = engine
    }

    private static func outOfMemory(_ compression: UnitCompression) -> ImageError {
        ImageError(
            .limitExceeded,
            "no memory is left for a compressor of level \(compression.level); take fewer threads (--threads) or a lower level"
        )
    }

    /// The levels that a library has.
    public static func levels(of library: UnitCompression.Library) -> ClosedRange<Int> { kind(of: library).levels }

    /// What makes the bytes, for the record: the library, its version, and what it is asked for.
    public static func record(of compression: UnitCompression) -> String {
        let window =
            compression.method == .zstd || compression.windowBits == 15 ? "" : " window \(compression.windowBits)"
        let version = kind(of: compression.library).version
        return "\(compression.library.rawValue) \(version) level \(compression.level)" + window
    }

    private static func kind(of library: UnitCompression.Library) -> any CompressionEngine.Type {
        switch library {
        case .libdeflate: LibdeflateEngine.self
        case .isal: ISALEngine.self
        case .zlib: ZlibEngine.self
        case .zstd: ZstandardEngine.self
        }
    }

    /// The most bytes that `length` bytes can become.
    public func bound(_ length: Int) -> Int {
        compression.keepsIncompressible
            ? max(0, length - 1) : engine.bound(length) + (compression.method == .gzip ? GzipTrailer.length : 0)
    }

    /// Compresses `input` to the end of `output`.
    ///
    /// - Returns: how many bytes it took; nil where the unit does not become shorter and is to be kept as it is, and nothing
    ///   was added.
    /// - Throws: `limit-exceeded` where the library or the stream gets no memory.
    public mutating func compress(_ input: Span<UInt8>, into output: inout [UInt8]) throws(ImageError) -> Int? {
        // Room for all that may come out, even where that is to be thrown away: with less, libraries give up too early.
        let room = engine.bound(input.count)
        if scratch.count < room {
            try AvailableMemory.require(room)
            scratch = [UInt8](repeating: 0, count: room)
        }
        let engine = engine
        let count = unsafe scratch.withUnsafeMutableBytes { target in
            unsafe input.withUnsafeBytes { source in
                unsafe engine.compress(source, into: UnsafeMutableRawBufferPointer(rebasing: target[..<room]))
            }
        }
        // Whatever the content, the room does; libraries that make tables as they go need memory for that.
        guard let count else { throw Self.outOfMemory(compression) }
        guard !compression.keepsIncompressible || count < input.count else { return nil }
        output += scratch[..<count]
        guard compression.method == .gzip else { return count }
        output += GzipTrailer(of: input).bytes
        return count + GzipTrailer.length
    }
}

/// One library, set up for one kind of stream and one level.
///
/// Engines are handed buffers rather than spans, as the libraries are, and keep none of them.
protocol CompressionEngine: AnyObject {
    /// What it writes. Of `gzip` only the deflate stream: the trailer comes from elsewhere.
    static var methods: [CompressionMethod] { get }
    static var levels: ClosedRange<Int> { get }
    /// The windows that it can keep to; one of another method than deflate is not asked.
    static var windowBits: ClosedRange<Int> { get }
    /// The library's version, by which its bytes can change.
    static var version: String { get }

    /// - Parameter compression: one that keeps to the above.
    /// - Throws: `limit-exceeded` where there is no memory for it.
    init(_ compression: UnitCompression) throws(ImageError)

    /// The most bytes that `length` bytes can become.
    func bound(_ length: Int) -> Int

    /// - Returns: how many bytes the stream has; nil where it does not fit, which can't be in `bound` bytes.
    @unsafe func compress(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int?
}

extension CompressionEngine {
    /// What to say where an engine gets no memory.
    static func outOfMemory(_ compression: UnitCompression) -> ImageError {
        ImageError(.limitExceeded, "no memory is left for a compressor of level \(compression.level)")
    }
}
