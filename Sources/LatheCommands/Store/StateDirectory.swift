internal import Glibc
internal import ImageCodecs
internal import ImageModel

/// Where Lathe keeps files of its own that the user did not name (XDG Base Directory Specification).
enum StateDirectory {
    /// A path in `$XDG_STATE_HOME/lathe`, or `~/.local/state/lathe`; the directories are made.
    static func path(of file: String) throws(ImageError) -> String {
        let path = try base("XDG_STATE_HOME", ".local/state") + "/lathe/" + file
        try make(PathText.directory(of: path))
        return path
    }

    /// Where objects go when no store is named: `$XDG_DATA_HOME/lathe/store`, or `~/.local/share/lathe/store`.
    ///
    /// - Parameter creating: makes it.
    static func storePath(creating: Bool) throws(ImageError) -> String {
        let path = try base("XDG_DATA_HOME", ".local/share") + "/lathe/store"
        if creating { try make(path) }
        return path
    }

    /// Where `lathe serve` keeps all it has when no directory is named: `$XDG_DATA_HOME/lathe/service`, or
    /// `~/.local/share/lathe/service`; it is not made.
    static func servicePath() throws(ImageError) -> String {
        try base("XDG_DATA_HOME", ".local/share") + "/lathe/service"
    }

    /// Makes a directory, and those above it.
    private static func make(_ directory: String) throws(ImageError) {
        if unsafe mkdir(PathText.terminated(directory), 0o777) == 0 || errno == EEXIST { return }
        var number = errno
        let parent = PathText.directory(of: directory)
        if number == ENOENT, ![".", "/"].contains(parent) {
            try make(parent)
            if unsafe mkdir(PathText.terminated(directory), 0o777) == 0 || errno == EEXIST { return }
            number = errno
        }
        throw ImageError(
            .inputOutput,
            "Lathe keeps files of its own here, and the directory can't be made: \(unsafe String(cString: strerror(number))); name "
                + "the files on the command line, or set HOME, or the XDG variable of this place, to a directory that can be "
                + "written to", path: directory, operation: "mkdir", systemError: number)
    }

    /// A file name that stands for a text.
    static func fileName(for text: String) -> String {
        String(CRC64.checksum(Array(text.utf8).span), radix: 16)
    }

    private static func base(_ variable: String, _ folder: String) throws(ImageError) -> String {
        if let named = environment(variable), named.hasPrefix("/") { return named }
        guard let home = environment("HOME") else {
            throw ImageError(
                .invalidOption,
                "there is no HOME in the environment, so Lathe has no place for files of its own; set it")
        }
        return home + "/" + folder
    }

    /// A variable of the environment that is set and not empty.
    static func environment(_ name: String) -> String? {
        let value = unsafe getenv(name).map { unsafe PathText.text(of: $0) }
        return value?.isEmpty ?? true ? nil : value
    }
}
