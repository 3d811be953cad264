internal import Glibc
internal import ImageModel

/// What the service knows: accounts with their keys, roles and policies, regions, buckets, images and tasks.
///
/// Everything is in the database of a data directory, which several processes may use at a time: `lathe serve`, and `lathe admin`
/// beside it. Calls block.
public struct ServiceState: Sendable {
    /// Where everything is; only its owner may look into it.
    public let directory: String
    let database: ServiceDatabase
    /// Seconds since 1970-01-01 UTC.
    let clock: @Sendable () -> UInt64

    /// Opens the state of a data directory.
    ///
    /// - Parameters:
    ///   - makesDirectory: whether a directory, or a database in it, that is not there is made; else that is an error.
    ///   - clock: seconds since 1970-01-01 UTC; by default those of the machine.
    /// - Throws: `not-found`; `newer-schema` where a later version of Lathe made the database; `corrupt`; `unavailable`.
    public init(
        directory: String, makesDirectory: Bool = true,
        clock: @escaping @Sendable () -> UInt64 = ServiceState.machineClock
    ) throws(StateError) {
        let path = directory + "/" + Self.databaseName
        if makesDirectory {
            try Self.make(directory)
        } else if unsafe access(path, F_OK) != 0 {
            throw StateError(
                .notFound,
                "there is no service here; 'lathe serve' or 'lathe admin apply' makes one, and --data-directory names another place",
                subject: directory)
        }
        self.directory = directory
        self.clock = clock
        database = try ServiceDatabase(path: path)
    }

    private static let databaseName = "lathe.db"
    public var databasePath: String { directory + "/" + Self.databaseName }
    /// Where exports leave what they need to go on after a restart.
    public var checkpointsPath: String { directory + "/checkpoints" }
    /// Where imported images are.
    public var importsPath: String { directory + "/imports" }
    /// Where the embedded store keeps its objects.
    public var objectsPath: String { directory + "/objects" }
    /// What the process that serves holds a lock on.
    public var lockPath: String { directory + "/serve.lock" }

    public static let machineClock: @Sendable () -> UInt64 = { UInt64(clamping: time(nil)) }

    /// What is wrong with the database; empty where all is well.
    ///
    /// It reads all of it.
    public func integrityFindings() throws(StateError) -> [String] { try database.integrityFindings() }

    /// Makes a directory for its owner alone, and those above it as ever.
    ///
    /// - Throws: `invalid` for a name that is not UTF-8, by which SQLite would make other files than those that are named.
    private static func make(_ directory: String) throws(StateError) {
        guard !PathText.isEscaped(directory) else {
            throw StateError(
                .invalid, "the name of the service's directory must be UTF-8; name another", subject: directory)
        }
        var missing: [String] = []
        var path = Substring(directory)
        while !path.isEmpty, unsafe access(String(path), F_OK) != 0 {
            missing.append(String(path))
            guard let slash = path.lastIndex(of: "/") else { break }
            path = path[..<slash]
        }
        for path in missing.reversed() {
            let mode: mode_t = path == directory ? 0o700 : 0o777
            guard unsafe mkdir(path, mode) == 0 || errno == EEXIST else {
                throw StateError(
                    .unavailable, "the directory can't be made: \(unsafe String(cString: strerror(errno)))",
                    subject: path)
            }
        }
    }
}
