internal import Glibc
internal import ImageModel

/// A descriptor that is closed when its owner goes.
package struct FileDescriptor: ~Copyable, Sendable {
    package let number: Int32

    /// Takes over an open descriptor.
    package init(owning number: Int32) { self.number = number }

    /// Opens a path; `EINTR` is tried again.
    init(path: String, flags: Int32, mode: mode_t = 0o666) throws(ImageError) {
        var number: Int32
        repeat {
            number = unsafe open(PathText.terminated(path), flags | O_CLOEXEC, mode)
        } while number < 0 && errno == EINTR
        guard number >= 0 else { throw systemError("open", errno, path: path) }
        self.number = number
    }

    deinit { close(number) }

    /// Writes all of the bytes at a file offset; what falls short goes on, and `EINTR` is tried again.
    func writeAll(_ bytes: Span<UInt8>, at offset: UInt64, path: String) throws(ImageError) {
        var failure: ImageError?
        unsafe bytes.withUnsafeBytes { buffer in
            var done = 0
            while done < buffer.count {
                guard let base = buffer.baseAddress else { return }
                let place = offset + UInt64(done)
                let count = unsafe pwrite(number, base + done, buffer.count - done, off_t(place))
                if count > 0 {
                    done += count
                } else if count == 0 || errno != EINTR {
                    failure = writeError("pwrite", count == 0 ? EIO : errno, path: path, offset: place)
                    return
                }
            }
        }
        if let failure { throw failure }
    }

    func setLength(_ length: UInt64, path: String) throws(ImageError) {
        guard ftruncate(number, off_t(clamping: length)) == 0 else {
            throw writeError("ftruncate", errno, path: path, offset: length)
        }
    }

    /// The length of a file, or of a block device, whose status has none; the descriptor, which others may read by, stays where it
    /// stands.
    func end(_ status: stat, path: String) throws(ImageError) -> UInt64 {
        guard status.isBlockDevice else { return UInt64(max(0, status.st_size)) }
        let position = lseek(number, 0, SEEK_CUR)
        let end = lseek(number, 0, SEEK_END)
        guard end >= 0, lseek(number, position, SEEK_SET) >= 0 else { throw systemError("lseek", errno, path: path) }
        return UInt64(end)
    }

    func status(path: String) throws(ImageError) -> stat {
        var status = stat()
        guard unsafe fstat(number, &status) == 0 else { throw systemError("fstat", errno, path: path) }
        return status
    }
}

extension stat {
    var kind: mode_t { st_mode & mode_t(S_IFMT) }
    var isRegularFile: Bool { kind == mode_t(S_IFREG) }
    var isBlockDevice: Bool { kind == mode_t(S_IFBLK) }
    var isDirectory: Bool { kind == mode_t(S_IFDIR) }
}
