internal import CImageKernels
internal import Glibc
public import ImageModel

/// Reflinks: XFS and btrfs let two files share blocks, so that a copy moves no byte and takes no room.
extension FileSink {
    /// Finds out by cloning the first block of the source, since no table says which file systems, mounts and files allow
    /// it; the block is dropped again.
    public func cloning(of source: any ImageSource) -> CloningSupport {
        guard let file = source as? FileSource else { return .unavailable("the source is not a file") }
        guard file.start == 0 else { return .unavailable("the source begins within a file") }
        guard file.isRegularFile else { return .unavailable("the source is not a regular file") }
        let size = lathe_block_size(descriptor.number)
        guard size > 0, size.nonzeroBitCount == 1 else {
            return .unavailable("the file system does not say how long its blocks are")
        }
        let block = UInt64(size)
        // A length of 0 means all up to the end, which is right for a source that is no block long.
        let length = file.length < block ? 0 : block
        let number = cloneRange(FileRange(0, length: length), of: file, to: FileOffset(0))
        if number == 0, calls.ftruncate(descriptor.number, 0) == 0 { return .blocks(of: block) }
        return .unavailable(Self.reason(number))
    }

    public func clone(_ range: FileRange, of source: any ImageSource, to offset: FileOffset) throws(ImageError) -> Bool
    {
        guard let file = source as? FileSource, file.start == 0 else { return false }
        // As with writes: the kernel takes one at a time, and waiters had better sleep.
        let number = try turn.withLock { () throws(ImageError) in cloneRange(range, of: file, to: offset) }
        switch number {
        case 0: return true
        case EOPNOTSUPP, EXDEV, EINVAL, ENOTTY, ETXTBSY, EPERM: return false
        default: throw writeError("ioctl FICLONERANGE", number, path: path, offset: offset.bytes)
        }
    }

    /// - Returns: 0, or the error number.
    private func cloneRange(_ range: FileRange, of file: FileSource, to offset: FileOffset) -> Int32 {
        var status: Int32
        repeat {
            status = calls.clone(
                file.descriptor.number, Int(range.start.bytes), Int(range.length), descriptor.number,
                Int(offset.bytes))
        } while status != 0 && errno == EINTR
        return status == 0 ? 0 : errno
    }

    private static func reason(_ number: Int32) -> String {
        switch number {
        case EXDEV: "source and destination are on different file systems"
        case EOPNOTSUPP, ENOTTY: "the file system has no reflinks, as XFS and btrfs have"
        default: "the system refuses it (\(errorText(number)))"
        }
    }
}
