internal import CImageKernels
internal import Glibc
internal import ImageModel

/// A block device as the kernel shows it to everybody (`/sys/dev/block`, `proc(5)`); where these can't be read, nothing is known of it.
struct BlockDevice: Sendable {
    /// Its major and minor number: `7:0`.
    private let name: String
    /// Its directory below `/sys`; that of a partition lies in its disk's.
    private let folder: String?

    /// - Parameter number: of the device itself, `st_rdev`.
    init(number: dev_t) {
        // As the C library takes it apart (sys/sysmacros.h).
        let major = number >> 8 & 0xfff | number >> 32 & 0xffff_f000
        let minor = number & 0xff | number >> 12 & 0xffff_ff00
        self.init(name: "\(major):\(minor)")
    }

    private init(name: String) {
        self.name = name
        folder = unsafe realpath(PathText.terminated("/sys/dev/block/\(name)"), nil).map { path in
            defer { unsafe free(path) }
            return unsafe PathText.text(of: path)
        }
    }

    /// The device at a path; nil where there is none.
    private init?(path: String) {
        var status = stat()
        guard unsafe stat(PathText.terminated(path), &status) == 0, status.isBlockDevice else { return nil }
        self.init(number: status.st_rdev)
    }

    /// How many sectors have been written to it since it is there (`Documentation/block/stat.rst` of Linux); nil where that is not told.
    var sectorsWritten: UInt64? {
        guard let folder, let text = Self.text(of: folder + "/stat") else { return nil }
        let numbers = text.split(separator: " ")
        return numbers.count > 6 ? UInt64(numbers[6]) : nil
    }

    /// The file that a loop device shows, also where this is a partition of one.
    var backingFile: String? {
        guard let folder else { return nil }
        for place in [folder, PathText.directory(of: folder)] {
            if let path = Self.text(of: place + "/loop/backing_file") { return path }
        }
        return nil
    }

    /// Whether two are one, or one is a partition of the other.
    func overlaps(_ other: BlockDevice) -> Bool {
        if name == other.name { return true }
        guard let folder, let theirs = other.folder else { return false }
        return folder.hasPrefix(theirs + "/") || theirs.hasPrefix(folder + "/")
    }

    /// Who has it, or a part of it, for himself, a mounted file system or a device that is made of it, and may write to it.
    ///
    /// - Returns: nil where nobody has, or only to read.
    func user(path: String) -> String? {
        // What claims a device keeps others from claiming it, and this is closed again at once.
        let probe = unsafe open(PathText.terminated(path), O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK)
        if probe >= 0 {
            close(probe)
            return nil
        }
        guard errno == EBUSY else { return nil }
        let mounts = mounts
        if let written = mounts.first(where: { !$0.isReadOnly }) { return "it is mounted at '\(written.place)'" }
        return mounts.isEmpty ? "another device, a file system or a program has it for itself" : nil
    }

    private var mounts: [(place: String, isReadOnly: Bool)] {
        // proc_pid_mountinfo(5): ID, parent, major:minor, root, place, options, tags, "-", type, source, options of the file system.
        let lines = (Self.text(of: "/proc/self/mountinfo") ?? "").split(separator: "\n")
        return lines.compactMap { line in
            let words = line.split(separator: " ").map(String.init)
            guard words.count > 9, let options = words.last else { return nil }
            // btrfs has numbers of its own; what it is mounted from is a device all the same.
            let isOurs =
                overlaps(BlockDevice(name: words[2]))
                || BlockDevice(path: words[words.count - 2]).map(overlaps) ?? false
            return isOurs ? (words[4], options.split(separator: ",").first == "ro") : nil
        }
    }

    /// The text of a file of the kernel's, without the end of its last line.
    private static func text(of path: String) -> String? {
        guard let descriptor = try? FileDescriptor(path: path, flags: O_RDONLY) else { return nil }
        var bytes: [CChar] = []
        var block = [CChar](repeating: 0, count: 64 << 10)
        while true {
            let count = unsafe block.withUnsafeMutableBytes { unsafe read(descriptor.number, $0.baseAddress, $0.count) }
            guard count > 0 else { break }
            bytes += block.prefix(count)
        }
        while bytes.last == CChar(bitPattern: UInt8(ascii: "\n")) { bytes.removeLast() }
        return PathText.text(of: bytes.map { UInt8(bitPattern: $0) })
    }
}
