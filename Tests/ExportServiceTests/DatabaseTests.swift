import Foundation
import LatheTestSupport
import Testing

@testable import ExportService

/// The file that everything is in.
@Suite struct DatabaseTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.file("lathe.db") }

    init() throws { directory = try TemporaryDirectory() }

    private static let extra = Schema.Migration(name: "2999-01 later", sql: "CREATE TABLE later (id TEXT) STRICT")

    @Test func onlyItsOwnerMayReadIt() throws {
        let state = try ServiceState(directory: directory.file("deep/service"))
        try state.makeAccount(name: "build")
        func mode(_ path: String) throws -> Int? {
            try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        }
        #expect(try mode(state.directory) == 0o700)
        let files = try FileManager.default.contentsOfDirectory(atPath: state.directory)
        #expect(files.contains("lathe.db") && files.contains("lathe.db-wal"))
        for file in files { #expect(try mode(state.directory + "/" + file) == 0o600, "\(file)") }
    }

    @Test func whatIsNotThereIsMadeOnlyWhereAsked() throws {
        #expect(code { _ = try ServiceState(directory: directory.file("absent"), makesDirectory: false) } == .notFound)
        #expect(try directory.contents.isEmpty)
    }

    @Test func aMigrationIsAppliedOnceAndKeepsWhatIsThere() throws {
        let first = try ServiceState(directory: directory.path)
        let account = try first.makeAccount(name: "build")
        try first.database.close()
        for _ in 0..<2 {
            let later = try ServiceDatabase(path: path, migrations: Schema.migrations + [Self.extra])
            #expect(try later.integrityFindings() == [])
            try later.close()
        }
        // This version then meets what the later one made.
        #expect(code { _ = try ServiceState(directory: directory.path) } == .newerSchema)
        #expect(message { _ = try ServiceState(directory: directory.path) }.contains("2999-01 later"))
        let later = try ServiceDatabase(path: path, migrations: Schema.migrations + [Self.extra])
        #expect(try later.read { try $0.account(account.id) } == account)
    }

    @Test func aMigrationThatFailsLeavesNothing() throws {
        try ServiceState(directory: directory.path).database.close()
        let broken = Schema.Migration(
            name: "broken", sql: "CREATE TABLE half (id TEXT); CREATE TABLE account (id TEXT)")
        #expect(code { _ = try ServiceDatabase(path: path, migrations: Schema.migrations + [broken]) } == .unavailable)
        let state = try ServiceState(directory: directory.path)
        #expect(message { try state.database.execute("SELECT * FROM half") }.contains("no such table"))
    }

    @Test func whatIsNoDatabaseIsRefused() throws {
        try Data(repeating: 0x41, count: 8192).write(to: URL(filePath: path))
        #expect(code { _ = try ServiceState(directory: directory.path) } == .corrupt)
        #expect(try Data(contentsOf: URL(filePath: path)) == Data(repeating: 0x41, count: 8192))
    }

    @Test func aSymbolicLinkIsNotFollowed() throws {
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: directory.file("other"))
        #expect(code { _ = try ServiceState(directory: directory.path) } == .unavailable)
        #expect(try directory.contents == ["lathe.db"])
    }

    /// Several connections, as of several processes, open a new directory at once, then write at once.
    @Test(.timeLimit(.minutes(3))) func severalWhoOpenItAtOnceAllFindIt() async throws {
        let path = directory.path
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<4 {
                group.addTask {
                    let state = try ServiceState(directory: path)
                    for turn in 0..<5 { try state.makeAccount(name: "a-\(number)-\(turn)") }
                }
            }
            try await group.waitForAll()
        }
        let state = try ServiceState(directory: path)
        #expect(try state.accounts().count == 20)
        #expect(try state.integrityFindings() == [])
    }

    @Test func ofOneNonceManyClaimsOneIsGood() async throws {
        let path = directory.path
        _ = try ServiceState(directory: path)
        let good = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    try ServiceState(directory: path).claimNonce("n", of: "k", expires: .max)
                }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(good == 1)
    }

    @Test func aTransactionThatThrowsChangesNothing() throws {
        let state = try ServiceState(directory: directory.path)
        #expect(
            code {
                try state.database.write { db in
                    _ = try db.makeAccount(name: "build", id: nil, AccountSettings(), now: 1)
                    throw StateError(.inUse, "after all")
                }
            } == .inUse)
        #expect(try state.accounts().isEmpty)
        // What may be lost with the power is written by the same connection; a task after it is not.
        _ = try state.claimNonce("n", of: "k", expires: 1)
        #expect(try state.database.synchronousLevel() == 2)
    }

    @Test func aRowThatLatheNeverWritesIsAnErrorAndNoCrash() throws {
        let state = try ServiceState(directory: directory.path)
        let account = try state.makeAccount(name: "build")
        #expect(code { try state.database.execute("UPDATE account SET created = -1") } == .unavailable)
        try state.database.execute("PRAGMA ignore_check_constraints = 1")
        try state.database.execute("UPDATE account SET created = -1")
        #expect(code { _ = try state.accounts() } == .corrupt)
        #expect(code { _ = try state.account(account.id) } == .corrupt)
    }

    @Test func aNumberThatNoColumnHoldsIsRefused() throws {
        let state = try ServiceState(directory: directory.path)
        try state.setRegion("cn-hangzhou")
        let account = try state.makeAccount(name: "build")
        let image = NewImage(
            accountID: account.id, regionID: "cn-hangzhou", name: "huge",
            disks: [.init(path: "/x", facts: DiskFacts(format: "raw", virtualSize: .max))])
        #expect(code { try state.addImage(image) } == .invalid)
    }
}
