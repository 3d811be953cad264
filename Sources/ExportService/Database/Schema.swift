internal import GRDB

/// The tables, and how a database of an earlier version becomes one of this.
///
/// A migration that was released is never changed: the next one is put behind it. Tables are STRICT, so that a column gives what
/// `Records.swift` says; numbers that are read as unsigned are held to 0 and more.
enum Schema {
    struct Migration: Sendable {
        /// What the database remembers it by.
        let name: String
        /// Statements, in order.
        let sql: String
    }

    static let migrations = [Migration(name: "2026-11 first tables", sql: firstTables)]

    /// Brings a database up to this version, in one transaction, so that of two processes that open a new one, the second finds
    /// it made.
    ///
    /// - Throws: `newer-schema` where it has a migration that this version does not know.
    static func migrate(_ db: Database, to migrations: [Migration] = migrations) throws {
        try db.inTransaction(.immediate) {
            try db.execute(sql: "CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY NOT NULL) STRICT")
            let applied = try String.fetchSet(db, sql: "SELECT name FROM migration")
            let known = Set(migrations.map(\.name))
            if let unknown = applied.subtracting(known).min() {
                throw StateError(
                    .newerSchema,
                    "the database has the change '\(unknown)', which this version of Lathe does not know; use the version that "
                        + "made it, or a later one")
            }
            for migration in migrations where !applied.contains(migration.name) {
                try db.execute(sql: migration.sql)
                try db.execute(sql: "INSERT INTO migration (name) VALUES (?)", arguments: [migration.name])
            }
            return .commit
        }
    }

    private static let firstTables = """
        CREATE TABLE account (
            id TEXT PRIMARY KEY NOT NULL,
            name TEXT NOT NULL UNIQUE,
            mayExport INTEGER NOT NULL CHECK (mayExport IN (0, 1)),
            exportsDataDisks INTEGER NOT NULL CHECK (exportsDataDisks IN (0, 1)),
            concurrentExports INTEGER NOT NULL CHECK (concurrentExports >= 0),
            weeklyExports INTEGER NOT NULL CHECK (weeklyExports >= 0),
            created INTEGER NOT NULL CHECK (created >= 0)
        ) STRICT;
        CREATE TABLE accessKey (
            id TEXT PRIMARY KEY NOT NULL,
            secret TEXT NOT NULL,
            accountID TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
            isActive INTEGER NOT NULL CHECK (isActive IN (0, 1)),
            created INTEGER NOT NULL CHECK (created >= 0)
        ) STRICT;
        CREATE INDEX accessKeyByAccount ON accessKey (accountID);
        CREATE TABLE role (
            accountID TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
            name TEXT NOT NULL COLLATE NOCASE,
            roleID TEXT NOT NULL,
            trustPolicy TEXT NOT NULL,
            maxSessionSeconds INTEGER NOT NULL CHECK (maxSessionSeconds > 0),
            created INTEGER NOT NULL CHECK (created >= 0),
            PRIMARY KEY (accountID, name)
        ) STRICT;
        CREATE TABLE policy (
            accountID TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
            name TEXT NOT NULL COLLATE NOCASE,
            document TEXT NOT NULL,
            PRIMARY KEY (accountID, name)
        ) STRICT;
        CREATE TABLE rolePolicy (
            accountID TEXT NOT NULL,
            roleName TEXT NOT NULL COLLATE NOCASE,
            policyName TEXT NOT NULL COLLATE NOCASE,
            PRIMARY KEY (accountID, roleName, policyName),
            FOREIGN KEY (accountID, roleName) REFERENCES role (accountID, name) ON DELETE CASCADE,
            FOREIGN KEY (accountID, policyName) REFERENCES policy (accountID, name)
                ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
        ) STRICT;
        CREATE INDEX rolePolicyByPolicy ON rolePolicy (accountID, policyName);
        CREATE TABLE session (
            accessKeyID TEXT PRIMARY KEY NOT NULL,
            secret TEXT NOT NULL,
            tokenSHA256 TEXT NOT NULL,
            accountID TEXT NOT NULL,
            roleName TEXT NOT NULL COLLATE NOCASE,
            sessionName TEXT NOT NULL,
            policy TEXT,
            created INTEGER NOT NULL CHECK (created >= 0),
            expires INTEGER NOT NULL CHECK (expires >= 0),
            FOREIGN KEY (accountID, roleName) REFERENCES role (accountID, name) ON DELETE CASCADE
        ) STRICT;
        CREATE INDEX sessionByExpiry ON session (expires);
        CREATE INDEX sessionByRole ON session (accountID, roleName);
        CREATE TABLE nonce (
            accessKeyID TEXT NOT NULL,
            nonce TEXT NOT NULL,
            expires INTEGER NOT NULL CHECK (expires >= 0),
            PRIMARY KEY (accessKeyID, nonce)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX nonceByExpiry ON nonce (expires);
        CREATE TABLE region (
            id TEXT PRIMARY KEY NOT NULL,
            localName TEXT NOT NULL,
            endpoint TEXT NOT NULL,
            supportsExport INTEGER NOT NULL CHECK (supportsExport IN (0, 1))
        ) STRICT;
        CREATE TABLE bucket (
            name TEXT PRIMARY KEY NOT NULL,
            accountID TEXT NOT NULL REFERENCES account (id),
            regionID TEXT NOT NULL REFERENCES region (id),
            created INTEGER NOT NULL CHECK (created >= 0)
        ) STRICT;
        CREATE INDEX bucketByAccount ON bucket (accountID);
        CREATE INDEX bucketByRegion ON bucket (regionID);
        CREATE TABLE image (
            id TEXT PRIMARY KEY NOT NULL,
            accountID TEXT NOT NULL REFERENCES account (id),
            regionID TEXT NOT NULL REFERENCES region (id),
            name TEXT NOT NULL,
            description TEXT NOT NULL,
            status TEXT NOT NULL,
            productCode TEXT,
            licenseRestriction TEXT,
            osType TEXT NOT NULL,
            architecture TEXT NOT NULL,
            platform TEXT NOT NULL,
            created INTEGER NOT NULL CHECK (created >= 0)
        ) STRICT;
        CREATE INDEX imageByAccount ON image (accountID, regionID, created);
        CREATE INDEX imageByRegion ON image (regionID);
        CREATE TABLE disk (
            imageID TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
            position INTEGER NOT NULL CHECK (position >= 0),
            device TEXT NOT NULL,
            path TEXT NOT NULL,
            format TEXT NOT NULL,
            virtualSize INTEGER NOT NULL CHECK (virtualSize >= 0),
            isEncrypted INTEGER NOT NULL CHECK (isEncrypted IN (0, 1)),
            isOwned INTEGER NOT NULL CHECK (isOwned IN (0, 1)),
            PRIMARY KEY (imageID, position),
            UNIQUE (imageID, device)
        ) STRICT;
        CREATE TABLE task (
            id TEXT PRIMARY KEY NOT NULL,
            accountID TEXT NOT NULL REFERENCES account (id),
            regionID TEXT NOT NULL,
            action TEXT NOT NULL,
            status TEXT NOT NULL,
            imageID TEXT NOT NULL,
            format TEXT NOT NULL,
            bucket TEXT NOT NULL,
            prefix TEXT,
            roleName TEXT NOT NULL,
            requestID TEXT NOT NULL,
            created INTEGER NOT NULL CHECK (created >= 0),
            finished INTEGER CHECK (finished >= 0),
            isCancelRequested INTEGER NOT NULL CHECK (isCancelRequested IN (0, 1)),
            progress INTEGER NOT NULL CHECK (progress BETWEEN 0 AND 100),
            errorCode TEXT,
            errorMessage TEXT
        ) STRICT;
        CREATE INDEX taskByAccount ON task (accountID, action, created);
        CREATE INDEX taskByRegion ON task (accountID, regionID, created);
        CREATE INDEX taskByImage ON task (imageID, status);
        CREATE INDEX taskByStatus ON task (status, created);
        CREATE TABLE taskObject (
            taskID TEXT NOT NULL REFERENCES task (id) ON DELETE CASCADE,
            position INTEGER NOT NULL CHECK (position >= 0),
            key TEXT NOT NULL,
            isDone INTEGER NOT NULL CHECK (isDone IN (0, 1)),
            length INTEGER CHECK (length >= 0),
            crc64 TEXT,
            fingerprint TEXT,
            PRIMARY KEY (taskID, position)
        ) STRICT;
        """
}
