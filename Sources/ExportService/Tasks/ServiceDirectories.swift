internal import Glibc

extension ServiceState {
    /// Makes the directories that tasks write to, for their owner alone.
    ///
    /// - Throws: `unavailable`.
    package func makeDirectories() throws(StateError) {
        for path in [checkpointsPath, importsPath, objectsPath] {
            guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else {
                throw StateError(
                    .unavailable, "the directory can't be made: \(unsafe String(cString: strerror(errno)))",
                    subject: path)
            }
        }
    }
}
