internal import ImageModel

/// Who may assume a role.
package struct TrustPolicy: Hashable, Sendable {
    /// Who asks to assume it.
    package enum Party: Hashable, Sendable {
        /// As `ecs.aliyuncs.com`.
        case service(String)
        /// By an access key of its own.
        case account(String)
        case role(accountID: String, name: String)
    }

    private struct Statement: Hashable, Sendable {
        var isDenial: Bool
        var services: [String]
        /// `acs:ram::ACCOUNT:root`, `acs:ram::ACCOUNT:role/NAME`.
        var names: [String]

        func covers(_ party: Party) -> Bool {
            switch party {
            case .service(let name): services.contains(name)
            case .account(let id): names.contains("acs:ram::\(id):root")
            // That of an account is all that is in it, its roles too.
            case .role(let id, let name):
                names.contains("acs:ram::\(id):root")
                    || names.contains { $0.lowercased() == "acs:ram::\(id):role/\(name)".lowercased() }
            }
        }
    }

    private let statements: [Statement]

    /// - Throws: `invalid`.
    package init(json: String) throws(StateError) {
        let document = try PolicyStatements(json: json, members: ["Effect", "Action", "Principal"])
        var statements: [Statement] = []
        for statement in document.statements {
            for action in try PolicyStatements.texts(statement["Action"], "Action")
            where action.lowercased() != "sts:assumerole" {
                throw StateError(.invalid, "the Action of a trust policy is sts:AssumeRole, and not '\(action)'")
            }
            let (services, names) = try Self.principal(statement["Principal"])
            statements.append(
                Statement(
                    isDenial: try PolicyStatements.effect(statement) == .deny, services: services, names: names))
        }
        self.statements = statements
    }

    /// Whether a statement allows it and none denies it.
    package func allows(_ party: Party) -> Bool {
        let covering = statements.filter { $0.covers(party) }
        return !covering.isEmpty && !covering.contains(where: \.isDenial)
    }

    private static func principal(_ value: DocumentValue?) throws(StateError) -> (services: [String], names: [String]) {
        guard case .object(let members) = value, !members.isEmpty else {
            throw StateError(.invalid, "the Principal of a trust policy is an object with Service or RAM")
        }
        var services: [String] = []
        var names: [String] = []
        for member in members {
            let texts = try PolicyStatements.texts(member.value, member.name)
            switch member.name {
            case "Service": services = texts
            case "RAM":
                for text in texts { try requireName(text) }
                names = texts
            default:
                throw StateError(
                    .invalid, "Lathe does not know principals of the kind '\(member.name)'; it knows Service and RAM")
            }
        }
        return (services, names)
    }

    /// No wildcard: a role that every account may assume is nobody's any more.
    private static func requireName(_ text: String) throws(StateError) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        if parts.count == 5, parts[0...2] == ["acs", "ram", ""] {
            let role = parts[4].split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            if parts[4] == "root" { return try Names.requireAccountID(parts[3]) }
            if role.count == 2, role[0] == "role" {
                try Names.requireAccountID(parts[3])
                return try Names.requireRoleName(role[1])
            }
        }
        throw StateError(
            .invalid,
            "a RAM principal is 'acs:ram::ACCOUNT:root' or 'acs:ram::ACCOUNT:role/NAME', with sixteen digits for ACCOUNT, and not "
                + "'\(text)'")
    }
}
