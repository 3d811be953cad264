internal import CImageKernels
internal import Glibc
public import ImageModel

/// Opens the files that images name beneath one directory, which the user named.
///
/// A name is relative to the directory of the image that has it, as for QEMU, where that lies beneath the allowed directory;
/// else to the allowed directory itself. The kernel resolves it (`openat2(2)`: `RESOLVE_BENEATH`, no symbolic links), so
/// nobody can put a link in the way between a look and the opening. Only regular files are opened.
public struct BeneathDirectory: ReferencedFiles {
    /// How many files of a directory are looked at in a search.
    public static let maximumSearch = 4096

    /// As the user named it.
    private let path: String
    private let directory: OpenDirectory

    /// - Throws: `input-output` where it can't be opened, or is not a directory.
    public init(path: String) throws(ImageError) {
        self.path = path
        directory = OpenDirectory(try FileDescriptor(path: path, flags: O_RDONLY | O_DIRECTORY))
    }

    /// The directory that an image is in.
    ///
    /// - Parameter image: the path of a file.
    public init(of image: String) throws(ImageError) { try self.init(path: FileSink.directory(of: image)) }

    public func open(_ name: String, namedBy image: String) throws(ImageError) -> any ImageSource {
        try ReferencedName.requireBeneath("the directory of '--allow-backing'", name, namedBy: image)
        return try openFile(joined(folder(of: image) ?? "", name))
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

    /// The directory of an image as a path beneath the allowed one; nil where it is elsewhere.
    private func folder(of image: String) -> String? {
        let end = image.utf8.lastIndex(of: UInt8(ascii: "/"))
        let parent = end.map { $0 == image.startIndex ? "/" : String(image[..<$0]) } ?? "."
        guard let base = realPath(path), let place = realPath(parent) else { return nil }
        if place == base { return "" }
        let prefix = base.hasSuffix("/") ? base : base + "/"
        return place.hasPrefix(prefix) ? String(place.dropFirst(prefix.count)) : nil
    }

    private func realPath(_ path: String) -> String? {
        guard let resolved = unsafe realpath(path, nil) else { return nil }
        defer { unsafe free(resolved) }
        return unsafe String(cString: resolved)
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
        return try FileSource(descriptor, name: name, mapped: true)
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
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            names.append(name)
        }
        return names.sorted()
    }
}

/// A directory that stays open while anybody may still open files beneath it.
private final class OpenDirectory: Sendable {
    private static let patience = 100
    private let descriptor: FileDescriptor

    init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

    /// - Throws: `external-reference` where the way leads out of the directory or over a link; `input-output`.
    func open(_ relative: String, named name: String) throws(ImageError) -> FileDescriptor {
        var attempts = 0
        while true {
            let number = unsafe lathe_open_beneath(descriptor.number, relative)
            if number >= 0 { return FileDescriptor(owning: number) }
            let failure = errno
            attempts += 1
            switch failure {
            // Something was renamed at this moment, and the kernel can't say whether the path stayed beneath.
            case EAGAIN where attempts < Self.patience, EINTR: continue
            case EXDEV, ELOOP:
                throw ImageError(
                    .externalReference,
                    "an image names this, but the way there leads over a symbolic link or out of the directory of "
                        + "'--allow-backing'; nothing is opened that way", path: name, operation: "openat2",
                    systemError: failure)
            case ENOSYS:
                throw systemError(
                    "openat2", failure, path: name, "Linux 5.6 or later is needed to open what an image names")
            default: throw systemError("openat2", failure, path: name)
            }
        }
    }
}
