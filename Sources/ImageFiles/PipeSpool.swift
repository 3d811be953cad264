internal import Glibc
public import ImageModel

/// Makes a pipe readable at any offset: a format's tables may stand anywhere, and a pipe can't go back.
public enum PipeSpool {
    private static let blockLength = 64 << 10

    /// Reads a descriptor to its end into a nameless sparse temporary file; blocks of zeros become holes.
    ///
    /// - Parameters:
    ///   - descriptor: stays the caller's.
    ///   - goOn: asked before each block, and several times a second while nothing comes; what it throws ends the spooling.
    /// - Throws: `input-output`; `truncated` for a pipe without a byte.
    public static func spool(
        _ descriptor: Int32, name: String, goOn: () throws(ImageError) -> Void
    ) throws(ImageError) -> FileSource {
        let scratch = try ScratchFile()
        let input = PipeInput(descriptor: descriptor, name: name)
        var block = [UInt8](repeating: 0, count: blockLength)
        var position: UInt64 = 0
        while true {
            let count = try input.fill(&block, goOn)
            let bytes = block.span.extracting(0..<count)
            if !isZero(bytes) { try scratch.write(bytes, at: position) }
            position += UInt64(count)
            if count < blockLength { break }
        }
        guard position > 0 else { throw input.emptiness }
        try scratch.setLength(position)
        return try scratch.source(name: name)
    }

    private static func isZero(_ bytes: Span<UInt8>) -> Bool {
        unsafe bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress, buffer.count > 0 else { return true }
            // Zero if the first byte is, and each byte is as the one before it.
            return unsafe buffer[0] == 0 && memcmp(base, base + 1, buffer.count - 1) == 0
        }
    }
}
