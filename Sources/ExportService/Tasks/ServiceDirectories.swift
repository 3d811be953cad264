internal import FoundationEssentials
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
    /// Removes the locks beside checkpoints that exports of a killed process left: a checkpoint goes before its lock, and
    /// nobody comes for that one again.
    ///
    /// For the process that serves, before it works: none of these locks is held then.
    package func removeStaleLocks() {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: checkpointsPath)) ?? []
        for name in names where name.hasSuffix(".lock") { _ = unsafe unlink("\(checkpointsPath)/\(name)") }
    }
}
