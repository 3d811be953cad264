/// What a policy allows and denies (RAM, "Policy structure and syntax").
package struct PolicyDocument: Hashable, Sendable {
    /// What policies together say of an action on a resource.
    package enum Decision: Hashable, Sendable {
        case allowed
        /// A statement denies it; no other can allow it again.
        case denied
        /// No statement is about it, which is as good as denied.
        case unmentioned
    }

    private struct Statement: Hashable, Sendable {
        var isDenial: Bool
        /// Case does not matter.
        var actions: [WildcardPattern]
        var resources: [WildcardPattern]

        func covers(_ action: String, _ resource: String) -> Bool {
            actions.contains { $0.matches(action) } && resources.contains { $0.matches(resource) }
        }
    }

    private let statements: [Statement]

    /// - Throws: `invalid`, for anything that would not be evaluated as well: `NotAction`, `NotResource`, `Condition`.
    package init(json: String) throws(StateError) {
        let document = try PolicyStatements(json: json, members: ["Effect", "Action", "Resource"])
        var statements: [Statement] = []
        for statement in document.statements {
            let actions = try PolicyStatements.texts(statement["Action"], "Action")
            if let strange = actions.first(where: { $0 != "*" && !$0.contains(":") }) {
                throw StateError(.invalid, "an action is a service and a name, as oss:PutObject, and not '\(strange)'")
            }
            let resources = try PolicyStatements.texts(statement["Resource"], "Resource")
            if let strange = resources.first(where: { $0 != "*" && !$0.hasPrefix("acs:") }) {
                throw StateError(.invalid, "a resource is \"*\" or begins with 'acs:', and is not '\(strange)'")
            }
            statements.append(
                Statement(
                    isDenial: try PolicyStatements.effect(statement) == .deny,
                    actions: actions.map { WildcardPattern($0, ignoresCase: true) },
                    resources: resources.map { WildcardPattern($0) }))
        }
        self.statements = statements
    }

    /// - Parameters:
    ///   - action: as `oss:PutObject`.
    ///   - resource: as `acs:oss:oss-cn-hangzhou:1234567890123456:bucket/key`.
    package static func decision(_ policies: [PolicyDocument], _ action: String, on resource: String) -> Decision {
        let covering = policies.flatMap { $0.statements.filter { $0.covers(action, resource) } }
        if covering.contains(where: \.isDenial) { return .denied }
        return covering.isEmpty ? .unmentioned : .allowed
    }
}
