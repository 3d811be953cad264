internal import CImageKernels
internal import Glibc
public import ImageModel

/// Opens the files that images name beneath one directory, which the user named.
///
/// A name is relative to the directory that the image is in, links to the image followed. An image without such a place, an
/// object or a pipe, has its files in the allowed directory. Absolute names, `..` and links are followed, and where they end must
/// lie beneath the allowed directory. The kernel opens that place over no link and no `..` (`openat2(2)`), so nobody can put a link in
/// the way between the look and the opening. Only regular files are opened.
public struct BeneathDirectory: ReferencedFiles {
    /// How many files of a directory are looked at in a search.
    public static let maximumSearch = 4096

    /// As the user named it.
    private let path: String
    private let directory: OpenDirectory
    private let sharing: FileSharing

    /// - Throws: `input-output` where it can't be opened, or is not a directory.
    public init(path: String, sharing: FileSharing = .readers) throws(ImageError) {
        try self.init(path: path, sharing: sharing, openBeneath: OpenDirectory.kernel)
    }

    /// - Parameter openBeneath: stands for `openat2(2)` in tests.
    init(
        path: String, sharing: FileSharing = .readers, openBeneath: @escaping OpenDirectory.OpenBeneath
    ) throws(ImageError) {
        self.sharing = sharing
        self.path = path
        directory = OpenDirectory(
            try FileDescriptor(path: path, flags: O_RDONLY | O_DIRECTORY), openBeneath: openBeneath)
    }

    /// The directory that an image is in, where a link to it leads.
    ///
    /// - Parameter image: the path of a file.
    public init(of image: String, sharing: FileSharing = .readers) throws(ImageError) {
        try self.init(path: PathText.directory(of: Self.realPath(image)), sharing: sharing)
    }

    /// Where a path leads when all links are followed; the path itself where that can't be found out.
    public static func realPath(_ path: String) -> String { resolved(path) ?? path }

    public func open(_ name: String, namedBy image: String) throws(ImageError) -> any ImageSource {
        try ReferencedName.requireFollowable(name, namedBy: image)
        guard let base = Self.resolved(path) else { throw systemError("realpath", errno, path: path) }
        let target = name.utf8.first == UInt8(ascii: "/") ? name : PathText.join(place(of: image) ?? base, name)
        guard let end = Self.resolved(target) else {
            let number = errno
            // What is not beneath is refused in these words, whether it is there or not.
            if let folder = Self.resolved(PathText.directory(of: target)), Self.relative(folder, beneath: base) == nil {
                throw refusal(name, endsAt: PathText.join(folder, PathText.lastComponent(target)), image)
            }
            throw systemError("open", number, path: target)
        }
        guard let relative = Self.relative(end, beneath: base), !relative.isEmpty else {
            throw refusal(name, endsAt: end, image)
        }
        return try openFile(relative)
    }

    public func nameInUTF8(of name: String, in encoding: String) -> String? {
        NameEncoding.utf8(name, from: encoding)
    }

    private func refusal(_ name: String, endsAt end: String, _ image: String) -> ImageError {
        ImageError(
            .externalReference,
            "it names '\(ReferencedName.shown(name))', which is '\(end)' and so not beneath '\(path)', the directory of "
                + "'--allow-backing'; allow a directory that holds it, if you trust the image", path: image)
    }

    public func search(
        ending: String, beside image: String, _ isWanted: (any ImageSource) throws(ImageError) -> Bool
    ) throws(ImageError) -> [any ImageSource] {
        // A snapshot's folder lies in that of the machine, which has the disk under it.
        var folders = [""]
        if let own = folder(of: image), own != "" { folders.insert(own, at: 0) }
        var found: [any ImageSource] = []
        var seen = 0
        for folder in folders {
            for name in try names(in: folder) where name.lowercased().hasSuffix(ending) {
                seen += 1
                guard seen <= Self.maximumSearch else {
                    throw ImageError(
                        .limitExceeded,
                        "there are more than \(Self.maximumSearch) files '*\(ending)' beside the image and in '\(path)'; "
                            + "put the files that belong together into a directory of their own", path: image)
                }
                guard let source = try? openFile(joined(folder, name)), (try? isWanted(source)) == true else {
                    continue
                }
                found.append(source)
            }
        }
        return found
    }

    private func joined(_ folder: String, _ name: String) -> String { folder.isEmpty ? name : "\(folder)/\(name)" }

    /// The directory that an image is in; nil where it is in none.
    private func place(of image: String) -> String? {
        // What is read from standard input may be a file, and have a place for all that.
        let path = image == FileSource.standardInputName ? "/proc/self/fd/0" : image
        if let real = Self.resolved(path) { return PathText.directory(of: real) }
        return image == FileSource.standardInputName ? nil : Self.resolved(PathText.directory(of: image))
    }

    /// The directory of an image as a path beneath the allowed one; nil where it is elsewhere.
    private func folder(of image: String) -> String? {
        guard let base = Self.resolved(path), let place = place(of: image) else { return nil }
        return Self.relative(place, beneath: base)
    }

    /// What of a path follows a directory, both being real paths.
    ///
    /// - Returns: empty for the directory itself, nil for what is elsewhere.
    private static func relative(_ path: String, beneath directory: String) -> String? {
        let (bytes, base) = (Array(path.utf8), Array(directory.utf8))
        if bytes == base { return "" }
        let prefix = base.last == UInt8(ascii: "/") ? base : base + [UInt8(ascii: "/")]
        guard bytes.starts(with: prefix) else { return nil }
        return String(decoding: bytes.dropFirst(prefix.count), as: UTF8.self)
    }

    /// - Returns: nil with `errno`.
    private static func resolved(_ path: String) -> String? {
        guard let resolved = unsafe realpath(PathText.terminated(path), nil) else { return nil }
        defer { unsafe free(resolved) }
        return unsafe PathText.text(of: resolved)
    }

    private func openFile(_ relative: String) throws(ImageError) -> FileSource {
        let name = path.hasSuffix("/") ? path + relative : "\(path)/\(relative)"
        let descriptor = try directory.open(relative, named: name)
        guard try descriptor.status(path: name).isRegularFile else {
            throw ImageError(
                .externalReference,
                "an image names this, which is not a regular file; nothing else is opened for an image",
                path: name)
        }
        return try FileSource(descriptor, name: name, mapped: true, sharing: sharing, lock: .taken)
    }

    /// The names in a directory beneath the allowed one, in order.
    private func names(in folder: String) throws(ImageError) -> [String] {
        let shown = folder.isEmpty ? path : "\(path)/\(folder)"
        let descriptor = try directory.open(folder.isEmpty ? "." : folder, named: shown)
        // The stream takes the descriptor over.
        let copy = fcntl(descriptor.number, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw systemError("dup", errno, path: shown) }
        guard let stream = unsafe fdopendir(copy) else {
            close(copy)
            throw systemError("fdopendir", errno, path: shown)
        }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe PathText.text(of: $0) }
            }
            names.append(name)
        }
        return names.sorted()
    }
}

/// A directory that stays open while anybody may still open files beneath it.
final class OpenDirectory: Sendable {
    /// Opens a path beneath a directory, over no link: a descriptor, or -1 with `errno`.
    typealias OpenBeneath = @Sendable (Int32, [CChar]) -> Int32

    static let kernel: OpenBeneath = { unsafe lathe_open_beneath($0, $1) }

    private static let patience = 100
    private let descriptor: FileDescriptor
    private let openBeneath: OpenBeneath

    init(_ descriptor: consuming FileDescriptor, openBeneath: @escaping OpenBeneath) {
        self.descriptor = descriptor
        self.openBeneath = openBeneath
    }

    /// - Parameter relative: without `..`.
    /// - Throws: `external-reference` where the way leads out of the directory or over a link; `input-output`.
    func open(_ relative: String, named name: String) throws(ImageError) -> FileDescriptor {
        var attempts = 0
        while true {
            let number = openBeneath(descriptor.number, PathText.terminated(relative))
            if number >= 0 { return FileDescriptor(owning: number) }
            attempts += 1
            switch errno {
            // Something was renamed at this moment, and the kernel can't say whether the path stayed beneath.
            case EAGAIN where attempts < Self.patience, EINTR: continue
            // Before Linux 5.6, and where a container's filter does not know the call.
            case ENOSYS, EPERM: return try walk(relative, named: name)
            default: throw Self.failure(errno, "openat2", name)
            }
        }
    }

    /// The same step by step: no part of the path is `..` or a link, so each directory that is opened lies in the one before.
    private func walk(_ relative: String, named name: String) throws(ImageError) -> FileDescriptor {
        let parts = relative.utf8.split(separator: UInt8(ascii: "/")).map { String(Substring($0)) }
        var directory = fcntl(descriptor.number, F_DUPFD_CLOEXEC, 0)
        for (index, part) in parts.enumerated() {
            guard directory >= 0 else { break }
            let isLast = index == parts.count - 1
            let flags = isLast ? O_RDONLY | O_NONBLOCK | O_NOCTTY : lathe_O_PATH | O_DIRECTORY
            let next =
                part == ".." ? -1 : unsafe openat(directory, PathText.terminated(part), flags | O_NOFOLLOW | O_CLOEXEC)
            let number = part == ".." ? EXDEV : errno
            close(directory)
            directory = next
            errno = number
        }
        guard directory >= 0 else { throw Self.failure(errno, "openat", name) }
        return FileDescriptor(owning: directory)
    }

    private static func failure(_ number: Int32, _ operation: String, _ name: String) -> ImageError {
        guard [EXDEV, ELOOP].contains(number) else { return systemError(operation, number, path: name) }
        return ImageError(
            .externalReference,
            "an image names this, but a symbolic link came to stand in the way there, or it leads out of the directory of "
                + "'--allow-backing'; nothing is opened that way", path: name, operation: operation,
            systemError: number)
    }
}
