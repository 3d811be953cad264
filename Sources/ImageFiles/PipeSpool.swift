internal import Glibc
public import ImageModel

/// Makes a pipe readable at any offset: a format's tables may stand anywhere, and a pipe can't go back.
public enum PipeSpool {
    private static let blockLength = 64 << 10
    /// How often who waits for the pipe asks whether it still has to, in milliseconds.
    private static let glance: Int32 = 200

    /// Reads a descriptor to its end into a nameless sparse temporary file; blocks of zeros become holes.
    ///
    /// - Parameters:
    ///   - descriptor: stays the caller's.
    ///   - goOn: asked before each block, and several times a second while nothing comes; what it throws ends the spooling.
    /// - Throws: `input-output`.
    public static func spool(_ descriptor: Int32, name: String, goOn: () throws(ImageError) -> Void) throws(ImageError)
        -> FileSource
    {
        let scratch = try ScratchFile()
        var block = [UInt8](repeating: 0, count: blockLength)
        var position: UInt64 = 0
        while true {
            try goOn()
            let count = try fill(&block, from: descriptor, name: name, goOn)
            let bytes = block.span.extracting(0..<count)
            if !isZero(bytes) { try scratch.write(bytes, at: position) }
            position += UInt64(count)
            if count < blockLength { break }
        }
        try scratch.setLength(position)
        return try scratch.source(name: name)
    }

    /// Reads until the block is full or the pipe ends.
    private static func fill(
        _ block: inout [UInt8], from descriptor: Int32, name: String, _ goOn: () throws(ImageError) -> Void
    ) throws(ImageError) -> Int {
        var filled = 0
        while filled < block.count {
            try waitForBytes(descriptor, goOn)
            let count = unsafe block.withUnsafeMutableBytes { buffer in
                guard let base = buffer.baseAddress else { return 0 }
                return unsafe read(descriptor, base + filled, buffer.count - filled)
            }
            if count == 0 { break }
            if count > 0 {
                filled += count
            } else if errno != EINTR {
                throw systemError("read", errno, path: name)
            }
        }
        return filled
    }

    /// Waits until there is something to read, or the end: whoever writes may take any time, and whoever stops the work does not wait
    /// for that.
    private static func waitForBytes(_ descriptor: Int32, _ goOn: () throws(ImageError) -> Void) throws(ImageError) {
        // What can't be read never has anything to be read; the read itself says so.
        guard fcntl(descriptor, F_GETFL) & O_ACCMODE != O_WRONLY else { return }
        var waited = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while unsafe poll(&waited, 1, glance) == 0 { try goOn() }
    }

    private static func isZero(_ bytes: Span<UInt8>) -> Bool {
        unsafe bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress, buffer.count > 0 else { return true }
            // Zero if the first byte is, and each byte is as the one before it.
            return unsafe buffer[0] == 0 && memcmp(base, base + 1, buffer.count - 1) == 0
        }
    }
}
