internal import ArgumentParser
internal import ExportService

struct PolicyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy", abstract: "Policies: what the roles that have them may do.",
        subcommands: [Set.self, List.self, Show.self, Remove.self])

    struct Set: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a policy, or put another document into one.",
            discussion: """
                A document is that of a RAM policy: what a statement denies stays denied, whatever another allows; '*' and '?' \
                are wildcards; the case of actions does not matter. NotAction, NotResource and Condition are refused, since \
                Lathe does not evaluate them.

                Example:
                  lathe admin policy set ReleaseBucketOnly policy.json

                with this in policy.json:
                  {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "oss:*",
                    "Resource": ["acs:oss:*:*:release-images",
                                 "acs:oss:*:*:release-images/*"]}]}
                """)

        @Argument(help: "The policy's name: letters, digits and hyphens.")
        var name: String

        @Argument(help: "A file with the document, as JSON; '-' is standard input.", completion: .file())
        var document: String

        @OptionGroup var owner: AccountChoice
        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let text = try SmallFile.read(document)
                let state = try place.state()
                let account = try state.account(named: owner.account).id
                let report = PolicyReport(try state.setPolicy(name, ofAccount: account, document: text))
                try place.render(report, report.lines)
            }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the policies.")

        @OptionGroup var filter: AccountFilter
        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let state = try place.state()
                let owner = try filter.account.map { try state.account(named: $0).id }
                try place.render(try state.policies(ofAccount: owner).map(PolicyReport.init), ["NAME", "ACCOUNT"]) {
                    [$0.name, $0.account]
                }
            }
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a policy with its document.")

        @Argument(help: "The policy's name.")
        var name: String

        @OptionGroup var owner: AccountChoice
        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let state = try place.state()
                let account = try state.account(named: owner.account).id
                let found = try state.policies(ofAccount: account).first { $0.name.lowercased() == name.lowercased() }
                guard let found else {
                    throw StateError(
                        .notFound, "the account has no policy of this name; 'lathe admin policy list' shows them",
                        subject: name)
                }
                try place.render(PolicyReport(found), PolicyReport(found).lines)
            }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove a policy that no role has.")

        @Argument(help: "The policy's name.")
        var name: String

        @OptionGroup var owner: AccountChoice
        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let state = try place.state()
                try state.removePolicy(name, ofAccount: state.account(named: owner.account).id)
                try place.render(RemovalReport(removed: name), [("removed", name)])
            }
        }
    }
}

/// What is shown of a policy.
struct PolicyReport: Encodable {
    var name: String
    var account: String
    var document: String

    init(_ policy: PolicyRecord) {
        name = policy.name
        account = policy.accountID
        document = policy.document
    }

    var lines: [(String, String?)] { [("policy", name), ("account", account), ("document", document)] }
}
