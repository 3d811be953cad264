internal import Glibc
public import ImageModel

/// Takes a file's name away.
public enum FileRemoval {
    /// Removes a file; that there is none is no error.
    ///
    /// - Throws: `input-output`.
    public static func remove(_ path: String) throws(ImageError) {
        guard unsafe unlink(PathText.terminated(path)) == 0 || errno == ENOENT else {
            throw systemError("unlink", errno, path: path)
        }
    }
}
