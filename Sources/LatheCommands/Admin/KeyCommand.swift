internal import ArgumentParser
internal import ExportService
internal import ImageModel
internal import OSSWire

struct KeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key", abstract: "Access keys: who may ask for what an account has.",
        subcommands: [Create.self, List.self, Enable.self, Disable.self, Remove.self])

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a key of an account, and show its secret this once.",
            discussion: """
                A key may do everything with what is its account's. A key that was made elsewhere is taken over by its id and \
                a file with its secret; a secret never stands on a command line, which other users of the machine can read.

                Examples:
                  lathe admin key create --account build
                  lathe admin key create --id LTAI5tExample --secret-file secret.txt
                """)

        @OptionGroup var owner: AccountChoice

        @Option(help: ArgumentHelp("The id of the key; without it, one is made up.", valueName: "id"))
        var id: String?

        @Option(
            help: ArgumentHelp(
                "A file with the secret; '-' is standard input. Without it, one is made up.", valueName: "path"),
            completion: .file())
        var secretFile: String?

        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let secret = try secretFile.map { (path) throws(ImageError) in try SmallFile.secret(path) }
                let state = try place.state()
                let accountID = try state.account(named: owner.account).id
                try state.makeKey(ofAccount: accountID, id: id, secret: secret) { (key) throws(StateError) in
                    var report = KeyReport(key)
                    // Who brought it has it.
                    if secret == nil { report.secret = key.secret }
                    try place.announce { try place.render(report, report.lines) }
                }
            }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the keys, without their secrets.")

        @OptionGroup var filter: AccountFilter
        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let state = try place.state()
                let owner = try filter.account.map { try state.account(named: $0).id }
                try place.render(try state.keys(ofAccount: owner).map(KeyReport.init), ["ID", "ACCOUNT", "ACTIVE"]) {
                    [$0.id, $0.account, $0.active ? "yes" : "no"]
                }
            }
        }
    }

    struct Enable: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let a key in again.")

        @Argument(help: "The id of the key.")
        var id: String

        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let report = KeyReport(try place.state().setKey(id, isActive: true))
                try place.render(report, report.lines)
            }
        }
    }

    struct Disable: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let a key in no longer; it stays, and can be enabled again.")

        @Argument(help: "The id of the key.")
        var id: String

        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let report = KeyReport(try place.state().setKey(id, isActive: false))
                try place.render(report, report.lines)
            }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove a key for good.")

        @Argument(help: "The id of the key.")
        var id: String

        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                try place.state().removeKey(id)
                try place.render(RemovalReport(removed: id), [("removed", id)])
            }
        }
    }
}

/// What is shown of a key.
struct KeyReport: Encodable {
    var id: String
    /// Only of a key that was made just now.
    var secret: String?
    var account: String
    var active: Bool
    var created: String

    init(_ key: AccessKeyRecord) {
        id = key.id
        account = key.accountID
        active = key.isActive
        created = ISO8601.format(key.created)
    }

    var lines: [(String, String?)] {
        [
            ("access key ID", id), ("access key secret", secret), ("account", account),
            ("active", active ? "yes" : "no"),
        ]
    }
}
