internal import ArgumentParser
internal import ExportService
internal import OSSWire

struct AccountCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "account", abstract: "Accounts: who owns keys, buckets and images.",
        subcommands: [Create.self, List.self, Set.self, Remove.self])

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make an account.",
            discussion: """
                It has no key yet ('lathe admin key create'), no role ('lathe admin role set') and no bucket.

                Example:
                  lathe admin account create --name build
                """)

        @Option(help: ArgumentHelp("Its name: letters, digits and any of '-_.'.", valueName: "name"))
        var name: String

        @Option(help: ArgumentHelp("Its id, sixteen digits; without it, one is made up.", valueName: "id"))
        var id: String?

        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let account = try place.state(making: true).makeAccount(name: name, id: id)
                try place.render(AccountReport(account), AccountReport(account).lines)
            }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the accounts.")

        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let accounts = try place.state().accounts().map(AccountReport.init)
                try place.render(accounts, ["ID", "NAME", "EXPORTS", "DATA DISKS", "AT A TIME", "A WEEK"]) {
                    [
                        $0.id, $0.name, $0.mayExport ? "yes" : "no", $0.exportsDataDisks ? "yes" : "no",
                        "\($0.concurrentExports)", "\($0.weeklyExports)",
                    ]
                }
            }
        }
    }

    struct Set: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Change what an account may do.",
            discussion: """
                Without --may-export yes it is not on the white list, and its exports answer UserNotInTheWhiteList; without \
                --data-disks yes, those of images with data disks answer OperationDenied.
                """)

        @Argument(help: "The account's id or name.")
        var account: String

        @Option(help: "Whether it may export at all: yes or no.")
        var mayExport: YesOrNo?

        @Option(help: "Whether images with data disks can be exported: yes or no.")
        var dataDisks: YesOrNo?

        @OptionGroup var place: ServicePlace

        func validate() throws {
            guard mayExport != nil || dataDisks != nil else {
                throw ValidationError("nothing is changed; name --may-export or --data-disks.")
            }
        }

        func run() throws {
            try runOnState {
                let state = try place.state()
                let settings = AccountSettings(mayExport: mayExport?.isYes, exportsDataDisks: dataDisks?.isYes)
                let report = AccountReport(try state.set(settings, ofAccount: state.account(named: account).id))
                try place.render(report, report.lines)
            }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove an account with its keys, roles and policies.",
            discussion: """
                Its images must have been removed, and no task of it may wait or run. Its buckets stay in the store, and are \
                nobody's.
                """)

        @Argument(help: "The account's id or name.")
        var account: String

        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let state = try place.state()
                let account = try state.account(named: account)
                try state.removeAccount(account.id)
                try place.render(RemovalReport(removed: account.id), [("removed", account.id)])
            }
        }
    }
}

struct QuotaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quota", abstract: "How many exports an account may have.", subcommands: [Set.self, List.self])

    struct Set: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Change how many exports an account may have.",
            discussion: """
                An export beyond them is refused with ConcurrentQuotaExceed.ExportImage or WeeklyQuotaExceed.ExportImage; what \
                runs goes on.

                Example:
                  lathe admin quota set --account build --concurrent 2 --weekly 50
                """)

        @OptionGroup var owner: AccountChoice

        @Option(help: ArgumentHelp("How many may wait or run at a time, from 0 to 10000.", valueName: "N"))
        var concurrent: Int?

        @Option(help: ArgumentHelp("How many may be begun within seven days, from 0 to 1000000.", valueName: "N"))
        var weekly: Int?

        @OptionGroup var place: ServicePlace

        func validate() throws {
            guard concurrent != nil || weekly != nil else {
                throw ValidationError("nothing is changed; name --concurrent or --weekly.")
            }
        }

        func run() throws {
            try runOnState {
                let state = try place.state()
                let settings = AccountSettings(concurrentExports: concurrent, weeklyExports: weekly)
                let report = AccountReport(try state.set(settings, ofAccount: state.account(named: owner.account).id))
                try place.render(report, report.lines)
            }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the quotas of the accounts.")

        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let accounts = try place.state().accounts().map(AccountReport.init)
                try place.render(accounts, ["ACCOUNT", "NAME", "AT A TIME", "A WEEK"]) {
                    [$0.id, $0.name, "\($0.concurrentExports)", "\($0.weeklyExports)"]
                }
            }
        }
    }
}

/// What is shown of an account.
struct AccountReport: Encodable {
    var id: String
    var name: String
    var mayExport: Bool
    var exportsDataDisks: Bool
    var concurrentExports: Int
    var weeklyExports: Int
    var created: String

    init(_ account: AccountRecord) {
        id = account.id
        name = account.name
        mayExport = account.mayExport
        exportsDataDisks = account.exportsDataDisks
        concurrentExports = account.concurrentExports
        weeklyExports = account.weeklyExports
        created = ISO8601.format(account.created)
    }

    var lines: [(String, String?)] {
        [
            ("account", id), ("name", name), ("may export", mayExport ? "yes" : "no"),
            ("exports data disks", exportsDataDisks ? "yes" : "no"), ("exports at a time", "\(concurrentExports)"),
            ("exports a week", "\(weeklyExports)"), ("created", created),
        ]
    }
}

/// What is said of something that was removed.
struct RemovalReport: Encodable {
    var removed: String
}
