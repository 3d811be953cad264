internal import CImageKernels
internal import Glibc
internal import ImageModel

/// Reads what only goes forward: a pipe, a socket or a terminal.
struct PipeInput: Sendable {
    /// How often who waits for the pipe asks whether it still has to, in milliseconds.
    private static let glance: Int32 = 200
    /// What a pipe is asked to hold, in bytes: as much as Linux grants everybody, by pipe(7).
    ///
    /// It holds 64 KiB by itself, for each of which writer and reader have to be woken.
    private static let capacity: Int32 = 1 << 20

    /// Stays the caller's.
    let descriptor: Int32
    let name: String

    init(descriptor: Int32, name: String) {
        self.descriptor = descriptor
        self.name = name
        // What is no pipe, or has its limit, stays as it is.
        _ = fcntl(descriptor, lathe_F_SETPIPE_SZ, Self.capacity)
    }

    /// Reads until the block is full or the pipe ends.
    ///
    /// - Parameter goOn: asked before each read, and several times a second while nothing comes; what it throws ends the reading.
    /// - Returns: how many bytes there were.
    /// - Throws: `input-output`; what `goOn` throws.
    func fill(_ block: inout [UInt8], _ goOn: () throws(ImageError) -> Void) throws(ImageError) -> Int {
        var filled = 0
        while filled < block.count {
            try goOn()
            try waitForBytes(goOn)
            let count = unsafe block.withUnsafeMutableBytes { buffer in
                guard let base = buffer.baseAddress else { return 0 }
                return unsafe read(descriptor, base + filled, buffer.count - filled)
            }
            if count == 0 { break }
            if count > 0 {
                filled += count
            } else if errno != EINTR, errno != EAGAIN {
                throw systemError("read", errno, path: name)
            }
        }
        return filled
    }

    /// What a pipe without a byte becomes: as a rule, whoever should have written to it has failed.
    var emptiness: ImageError {
        ImageError(
            .truncated,
            "it ended before its first byte, so whatever should have written to it has most likely failed; for an empty disk, "
                + "name an empty file", path: name, operation: "read")
    }

    /// Waits until there is something to read, or the end: whoever writes may take any time, and whoever stops the work does not wait
    /// for that.
    private func waitForBytes(_ goOn: () throws(ImageError) -> Void) throws(ImageError) {
        // What can't be read never has anything to be read; the read itself says so.
        guard fcntl(descriptor, F_GETFL) & O_ACCMODE != O_WRONLY else { return }
        var waited = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        // A signal ends the waiting too, and then nobody may have written yet.
        while unsafe poll(&waited, 1, Self.glance) == 0 { try goOn() }
    }
}
