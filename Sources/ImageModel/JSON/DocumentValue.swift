/// What a JSON or YAML document holds: policies, the configuration file, names of backing files.
package indirect enum DocumentValue: Hashable, Sendable {
    case null
    case flag(Bool)
    /// As it is written.
    case number(String)
    case text(String)
    case list([DocumentValue])
    /// In the order of the document; no name comes twice.
    case object([Member])

    package struct Member: Hashable, Sendable {
        package var name: String
        package var value: DocumentValue

        package init(name: String, value: DocumentValue) {
            self.name = name
            self.value = value
        }
    }

    /// What an error calls it.
    package var kind: String {
        switch self {
        case .null: "nothing"
        case .flag: "true or false"
        case .number: "a number"
        case .text: "a text"
        case .list: "a list"
        case .object: "an object"
        }
    }

    /// The same value as JSON, without white space.
    package var json: String {
        switch self {
        case .null: "null"
        case .flag(let flag): flag ? "true" : "false"
        case .number(let digits): digits
        case .text(let text): Self.quoted(text)
        case .list(let values): "[" + values.map(\.json).joined(separator: ",") + "]"
        case .object(let members):
            "{" + members.map { Self.quoted($0.name) + ":" + $0.value.json }.joined(separator: ",") + "}"
        }
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}

/// How large a document may be before it is not looked at any further.
package struct DocumentLimits: Sendable {
    package var bytes: Int
    /// How many lists and objects may stand in each other.
    package var depth: Int
    /// How many values there may be, those within others counted too.
    package var values: Int

    package init(bytes: Int, depth: Int, values: Int) {
        self.bytes = bytes
        self.depth = depth
        self.values = values
    }
}
