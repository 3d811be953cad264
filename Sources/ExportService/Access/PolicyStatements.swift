internal import ImageModel

/// What policies of both kinds have in common (RAM, "Policy structure and syntax"): a version, and statements of which each allows
/// or denies.
struct PolicyStatements {
    enum Effect: String { case allow = "Allow", deny = "Deny" }

    /// The members of each statement, by their names.
    let statements: [[String: DocumentValue]]

    /// - Throws: `invalid`: what is not understood is refused when a policy is stored, since ignoring it would grant too much.
    init(json text: String, members: Set<String>) throws(StateError) {
        guard case .object(let document) = try JSONReader.document(text, .policy) else {
            throw StateError(.invalid, "a policy is an object with Version and Statement")
        }
        var found: [String: DocumentValue] = [:]
        for member in document { found[member.name] = member.value }
        if let unknown = found.keys.filter({ !["Version", "Statement"].contains($0) }).min() {
            throw StateError(.invalid, "'\(unknown)' is no part of a policy, which has Version and Statement")
        }
        guard found["Version"] == .text("1") else { throw StateError(.invalid, "the Version of a policy is \"1\"") }
        let list: [DocumentValue] =
            switch found["Statement"] {
            case .list(let values): values
            case .some(let value): [value]
            case nil: []
            }
        guard !list.isEmpty else { throw StateError(.invalid, "the policy has no Statement") }
        var statements: [[String: DocumentValue]] = []
        for (place, value) in list.enumerated() {
            statements.append(try Self.statement(value, members, name: "Statement[\(place)]"))
        }
        self.statements = statements
    }

    private static func statement(_ value: DocumentValue, _ members: Set<String>, name: String) throws(StateError)
        -> [String: DocumentValue]
    {
        guard case .object(let list) = value else {
            throw StateError(.invalid, "a statement is an object, and not \(value.kind)", subject: name)
        }
        var statement: [String: DocumentValue] = [:]
        for member in list {
            guard members.contains(member.name) else {
                throw StateError(
                    .invalid,
                    "Lathe does not evaluate '\(member.name)', and without it the policy would say something else; a statement "
                        + "has \(members.sorted().joined(separator: ", "))", subject: name)
            }
            statement[member.name] = member.value
        }
        if let missing = members.sorted().first(where: { statement[$0] == nil }) {
            throw StateError(.invalid, "the statement has no \(missing)", subject: name)
        }
        return statement
    }

    static func effect(_ statement: [String: DocumentValue]) throws(StateError) -> Effect {
        guard case .text(let text) = statement["Effect"], let effect = Effect(rawValue: text) else {
            throw StateError(.invalid, "the Effect of a statement is \"Allow\" or \"Deny\"")
        }
        return effect
    }

    /// A text, or a list of them.
    static func texts(_ value: DocumentValue?, _ what: String) throws(StateError) -> [String] {
        var texts: [String] = []
        switch value {
        case .text(let text): texts = [text]
        case .list(let list):
            for value in list {
                guard case .text(let text) = value else {
                    throw StateError(.invalid, "\(what) is a text or a list of texts, and \(value.kind) stands in it")
                }
                texts.append(text)
            }
        default: throw StateError(.invalid, "\(what) is a text or a list of texts")
        }
        guard !texts.isEmpty, texts.allSatisfy({ !$0.isEmpty }) else {
            throw StateError(.invalid, "\(what) is empty")
        }
        return texts
    }
}
