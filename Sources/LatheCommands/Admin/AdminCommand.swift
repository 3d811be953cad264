internal import ArgumentParser

struct AdminCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "admin",
        abstract: "Set up the ExportImage service: accounts, keys, roles, policies, buckets, regions.",
        discussion: """
            A first 'lathe serve' makes all that is needed; these verbs change it, and work while the service runs. What an \
            account is named by is its id or its name; where there is only one account, it need not be named.

            An export needs, in its account: a key (who asks), a bucket in the image's region (where to), and a role that \
            trusts ecs.aliyuncs.com and whose policies allow the writing, AliyunECSImageExportDefaultRole unless the request \
            names another. 'lathe image add' registers what can be exported.

            Examples:
              lathe admin account create --name build
              lathe admin key create --account build
              lathe admin role set AliyunECSImageExportDefaultRole --account build
              lathe admin role attach AliyunECSImageExportDefaultRole \\
                AliyunECSImageExportRolePolicy --account build
              lathe admin bucket create release-images --account build \\
                --region cn-hangzhou
              lathe admin quota set --account build --concurrent 2
              lathe admin apply service.yaml
            """,
        subcommands: [
            AccountCommand.self, KeyCommand.self, RoleCommand.self, PolicyCommand.self, BucketCommand.self,
            RegionCommand.self, QuotaCommand.self, ApplyCommand.self,
        ])
}

/// Whose a thing is.
struct AccountChoice: ParsableArguments {
    @Option(
        help: ArgumentHelp("The account's id or name; not needed where there is one account.", valueName: "account"))
    var account: String?
}

/// An optional account, for lists.
struct AccountFilter: ParsableArguments {
    @Option(help: ArgumentHelp("Only what is this account's: its id or its name.", valueName: "account"))
    var account: String?
}

/// `yes` and `no` on the command line.
enum YesOrNo: String, ExpressibleByArgument, CaseIterable {
    case yes, no

    var isYes: Bool { self == .yes }
}
