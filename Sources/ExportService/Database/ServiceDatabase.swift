internal import GRDB
internal import Glibc

/// The service's database: SQLite with a write-ahead log, which several processes may have open.
struct ServiceDatabase: Sendable {
    /// How long a call waits for another process to end its transaction.
    static let patienceSeconds = 10.0

    private let pool: DatabasePool

    /// Opens the database, makes it where it is not there, and brings it up to this version.
    ///
    /// - Parameter migrations: what this version is; another list than the usual one is for tests.
    /// - Throws: `newer-schema`; `corrupt`; `unavailable`.
    init(path: String, migrations: [Schema.Migration] = Schema.migrations) throws(StateError) {
        try Self.makeFile(path)
        var configuration = Configuration()
        configuration.busyMode = .timeout(Self.patienceSeconds)
        configuration.label = "lathe"
        do {
            pool = try Self.open(path, configuration)
            try pool.writeWithoutTransaction { db in
                try db.execute(sql: Self.synchronizing)
                try Schema.migrate(db, to: migrations)
            }
        } catch {
            throw StateError(error).naming(path)
        }
    }

    /// A task that a client was told of must be there after a loss of power too: with a write-ahead log, only FULL sees to that.
    private static let synchronizing = "PRAGMA synchronous = FULL"
    /// For what may be lost with the machine's power, though not with the process.
    private static let notSynchronizing = "PRAGMA synchronous = NORMAL"

    /// Makes the file, for its owner alone; SQLite gives the files beside it the same mode.
    private static func makeFile(_ path: String) throws(StateError) {
        let descriptor = unsafe Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw StateError(
                .unavailable, "the database can't be opened: \(unsafe String(cString: strerror(errno)))", subject: path)
        }
        Glibc.close(descriptor)
    }

    /// To change a new file's journal to a write-ahead log takes a lock that SQLite does not wait for.
    private static func open(_ path: String, _ configuration: Configuration) throws -> DatabasePool {
        var tries = 0
        while true {
            do {
                return try DatabasePool(path: path, configuration: configuration)
            } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY && tries < 200 {
                tries += 1
                usleep(50_000)
            }
        }
    }

    /// Reads from one state of the database; it waits for no writer.
    func read<Value>(_ body: (Database) throws -> Value) throws(StateError) -> Value {
        do { return try pool.read(body) } catch { throw StateError(error) }
    }

    /// Reads and writes in one transaction: all of it is there afterwards, or, where `body` throws, nothing.
    func write<Value>(_ body: (Database) throws -> Value) throws(StateError) -> Value {
        do {
            return try pool.writeWithoutTransaction { db in try Self.transaction(db, body) }
        } catch {
            throw StateError(error)
        }
    }

    /// The same for what may be lost with the machine's power: it does not wait for the disk.
    func writeLightly<Value>(_ body: (Database) throws -> Value) throws(StateError) -> Value {
        do {
            return try pool.writeWithoutTransaction { db in
                try db.execute(sql: Self.notSynchronizing)
                // What can't be set back fails here, and not in silence with a task.
                let result = Result { try Self.transaction(db, body) }
                try db.execute(sql: Self.synchronizing)
                return try result.get()
            }
        } catch {
            throw StateError(error)
        }
    }

    private static func transaction<Value>(_ db: Database, _ body: (Database) throws -> Value) throws -> Value {
        var value: Value?
        // From the start a writer: one that becomes a writer on the way can be refused without waiting.
        try db.inTransaction(.immediate) {
            value = try body(db)
            return .commit
        }
        guard let value else { throw StateError(.unavailable, "the transaction did not run") }
        return value
    }

    /// What SQLite finds wrong with the file, and references to nothing; empty where all is well.
    ///
    /// It reads everything.
    func integrityFindings() throws(StateError) -> [String] {
        try read { db in
            let findings = try String.fetchAll(db, sql: "PRAGMA integrity_check")
            let dangling = try Row.fetchAll(db, sql: "PRAGMA foreign_key_check")
            return findings.filter { $0 != "ok" } + dangling.map { "a reference to nothing: \($0)" }
        }
    }

    /// Runs one statement outside of a transaction; for tests.
    func execute(_ sql: String) throws(StateError) {
        do { try pool.writeWithoutTransaction { try $0.execute(sql: sql) } } catch { throw StateError(error) }
    }

    /// How thoroughly the writer's transactions are written: 2 is FULL; for tests.
    func synchronousLevel() throws(StateError) -> Int? {
        do { return try pool.writeWithoutTransaction { try Int.fetchOne($0, sql: "PRAGMA synchronous") } } catch {
            throw StateError(error)
        }
    }

    /// Ends all connections; for tests, which take the files away.
    func close() throws(StateError) {
        do { try pool.close() } catch { throw StateError(error) }
    }
}

extension StateError {
    /// What a failure of the database, or one thrown within a transaction, is to callers.
    init(_ error: any Error) {
        switch error {
        case let error as StateError: self = error
        case let error as DatabaseError where [.SQLITE_CORRUPT, .SQLITE_NOTADB].contains(error.resultCode):
            self.init(.corrupt, "this is no whole database of Lathe's: \(error.message ?? "SQLite says no more")")
        case let error as DatabaseError:
            // Without the statement's arguments, which may be secrets.
            self.init(.unavailable, "the database refused: \(error.message ?? "SQLite says no more")")
        case is RowDecodingError:
            self.init(.corrupt, "a row of the database holds a value that Lathe never writes")
        default: self.init(.unavailable, "the database failed: \(type(of: error))")
        }
    }
}
