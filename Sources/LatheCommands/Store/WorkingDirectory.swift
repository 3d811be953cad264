internal import Glibc
internal import ImageModel

/// The directory that the process was started in.
enum WorkingDirectory {
    /// Its path from the root on; `.` where that can't be told.
    static var path: String {
        guard let path = unsafe getcwd(nil, 0) else { return "." }
        defer { unsafe free(path) }
        return unsafe PathText.text(of: path)
    }

    /// A path from the root on: images and checkpoints are found by it whatever the directory is that a process is started in.
    static func absolute(_ path: String) -> String {
        path.utf8.first == UInt8(ascii: "/") ? path : PathText.join(Self.path, path)
    }
}
