internal import CImageKernels
internal import Glibc

/// Calls on open files that Linux has and the C library does not show to Swift; each answers as the call does, with `errno`.
package enum FileCalls {
    /// Waits until a descriptor that does not wait by itself (`O_NONBLOCK`) takes bytes, or says why it takes none.
    package static func waitUntilWritable(_ descriptor: Int32) {
        var waited = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = unsafe poll(&waited, 1, -1)
    }

    /// Waits until a descriptor that does not wait by itself has bytes, or its end.
    package static func waitUntilReadable(_ descriptor: Int32) {
        var waited = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&waited, 1, -1)
    }

    /// Flags of `open(2)` for a file without a name.
    package static let namelessFile = O_RDWR | O_CLOEXEC | lathe_O_TMPFILE

    /// `copy_file_range(2)`: how many bytes were copied, 0 at the end of the source.
    package static func copy(
        from source: Int32, at offset: UInt64, to target: Int32, at place: UInt64, length: UInt64
    ) -> Int64 {
        lathe_copy_range(source, Int64(clamping: offset), target, Int64(clamping: place), Int64(clamping: length))
    }

    /// Makes a range a hole.
    package static func punchHole(_ descriptor: Int32, at offset: UInt64, length: UInt64) -> Int32 {
        lathe_punch_hole(descriptor, Int64(clamping: offset), Int64(clamping: length))
    }

    /// Has blocks booked for a range that is about to be written; only a hint.
    package static func reserve(_ descriptor: Int32, at offset: UInt64, length: UInt64) {
        _ = lathe_reserve(descriptor, Int64(clamping: offset), Int64(clamping: length))
    }

    /// Whether a file lives in memory alone, where nothing is booked.
    package static func isOnTmpfs(_ descriptor: Int32) -> Bool { lathe_is_on_tmpfs(descriptor) }

    /// Takes or ends an exclusive lock of this open file (not of the process) on a range of it; never waits.
    ///
    /// - Parameter length: 0 for all from `offset` on.
    package static func lockRange(_ descriptor: Int32, at offset: UInt64, length: UInt64, locked: Bool) -> Int32 {
        lathe_lock_range(descriptor, Int64(clamping: offset), Int64(clamping: length), locked)
    }
}
