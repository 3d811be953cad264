internal import ArgumentParser
internal import ExportService
internal import ImageModel

struct RoleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "role", abstract: "Roles: what somebody else may do for an account.",
        subcommands: [Set.self, List.self, Show.self, Attach.self, Detach.self, Remove.self])

    struct Set: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a role, or change one.",
            discussion: """
                Without --trust-policy, a new role trusts ecs.aliyuncs.com, as the role of an export must. What it may do, its \
                policies say ('lathe admin role attach').

                Examples:
                  lathe admin role set AliyunECSImageExportDefaultRole
                  lathe admin role set release --trust-policy trust.json \\
                    --max-session-seconds 7200

                A trust policy that lets another account assume the role:
                  {"Version": "1", "Statement": [{"Effect": "Allow",
                    "Action": "sts:AssumeRole",
                    "Principal": {"RAM": ["acs:ram::1234567890123456:root"]}}]}
                """)

        @Argument(help: "The role's name.")
        var name: String

        @Option(
            help: ArgumentHelp("A file with who may assume it, as JSON; '-' is standard input.", valueName: "path"),
            completion: .file())
        var trustPolicy: String?

        @Option(
            help: ArgumentHelp("How long a session may last at most, from 3600 to 43200 seconds.", valueName: "N"))
        var maxSessionSeconds: Int?

        @OptionGroup var owner: AccountChoice
        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let trust = try trustPolicy.map { (path) throws(ImageError) in try SmallFile.read(path) }
                let state = try place.state()
                let account = try state.account(named: owner.account).id
                try state.setRole(name, ofAccount: account, trustPolicy: trust, maxSessionSeconds: maxSessionSeconds)
                try place.renderRole(name, state, account)
            }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the roles.")

        @OptionGroup var filter: AccountFilter
        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let state = try place.state()
                let owner = try filter.account.map { try state.account(named: $0).id }
                try place.render(
                    try state.roles(ofAccount: owner).map(RoleReport.init), ["NAME", "ACCOUNT", "POLICIES"]
                ) {
                    [$0.name, $0.account, $0.policies.joined(separator: ", ")]
                }
            }
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a role with its trust policy.")

        @Argument(help: "The role's name.")
        var name: String

        @OptionGroup var owner: AccountChoice
        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let state = try place.state()
                try place.renderRole(name, state, try state.account(named: owner.account).id)
            }
        }
    }

    struct Attach: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a role a policy.",
            discussion: """
                AliyunECSImageExportRolePolicy, with what an export needs, is made where the account has none of this name.

                Example:
                  lathe admin role attach AliyunECSImageExportDefaultRole \\
                    AliyunECSImageExportRolePolicy
                """)

        @Argument(help: "The role's name.")
        var role: String

        @Argument(help: "The policy's name.")
        var policy: String

        @OptionGroup var owner: AccountChoice
        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let state = try place.state()
                let account = try state.account(named: owner.account).id
                try state.attachPolicy(policy, toRole: role, ofAccount: account)
                try place.renderRole(role, state, account)
            }
        }
    }

    struct Detach: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Take a policy from a role.")

        @Argument(help: "The role's name.")
        var role: String

        @Argument(help: "The policy's name.")
        var policy: String

        @OptionGroup var owner: AccountChoice
        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let state = try place.state()
                let account = try state.account(named: owner.account).id
                try state.detachPolicy(policy, fromRole: role, ofAccount: account)
                try place.renderRole(role, state, account)
            }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove a role, and end its sessions.",
            discussion: "Exports that name it are refused from now on; those that run go on. Its policies stay.")

        @Argument(help: "The role's name.")
        var name: String

        @OptionGroup var owner: AccountChoice
        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let state = try place.state()
                try state.removeRole(name, ofAccount: state.account(named: owner.account).id)
                try place.render(RemovalReport(removed: name), [("removed", name)])
            }
        }
    }
}

extension ServicePlace {
    fileprivate func renderRole(_ name: String, _ state: ServiceState, _ account: String) throws {
        let found = try state.roles(ofAccount: account).first { $0.role.name.lowercased() == name.lowercased() }
        guard let found else {
            throw StateError(
                .notFound, "the account has no role of this name; 'lathe admin role list' shows them", subject: name)
        }
        let report = RoleReport(found)
        try render(
            report,
            [
                ("role", report.name), ("account", report.account),
                ("policies", report.policies.isEmpty ? "none" : report.policies.joined(separator: ", ")),
                ("max session seconds", "\(report.maxSessionSeconds)"), ("trust policy", report.trustPolicy),
            ])
    }
}

/// What is shown of a role.
struct RoleReport: Encodable {
    var name: String
    var account: String
    var maxSessionSeconds: Int
    var policies: [String]
    var trustPolicy: String

    init(_ found: RoleWithPolicies) {
        name = found.role.name
        account = found.role.accountID
        maxSessionSeconds = found.role.maxSessionSeconds
        policies = found.policyNames
        trustPolicy = found.role.trustPolicy
    }
}
