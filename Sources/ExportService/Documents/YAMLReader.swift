internal import ImageModel
internal import Yams

/// Reads the YAML that configuration files are written in.
///
/// Texts, numbers, true, false and null are what the core schema of YAML 1.2 has them, so that `no` is a text. Anchors, aliases and
/// tags are refused: with the first two, a few lines stand for more than fits into a machine.
enum YAMLReader {
    /// - Throws: `invalid`, with the line where that is known, and never with what stands there, which may be a secret.
    static func read(_ text: String, _ limits: DocumentLimits) throws(StateError) -> DocumentValue {
        guard text.utf8.count <= limits.bytes else {
            throw StateError(.invalid, "the document has \(text.utf8.count) bytes; at most \(limits.bytes) are read")
        }
        try requireNoAnchors(text)
        let node: Node?
        do {
            node = try Parser(yaml: text, encoding: .utf8).singleRoot()
        } catch {
            throw StateError(.invalid, "this is no YAML that can be read: \(problem(error))")
        }
        guard let node else { return .null }
        var count = 0
        return try value(node, limits, depth: 0, count: &count)
    }

    /// Looks for what may begin an anchor or an alias, before anything is made of it.
    ///
    /// In quotation marks it would begin none, but to know that takes a parser, and the parser is who must not see it.
    private static func requireNoAnchors(_ text: String) throws(StateError) {
        var line = 1
        var previous = UInt8(ascii: "\n")
        let bytes = Array(text.utf8)
        for (place, byte) in bytes.enumerated() {
            if byte == UInt8(ascii: "&"), " \t\r\n,[]{}:-?".utf8.contains(previous), place + 1 < bytes.count,
                !" \t\r\n".utf8.contains(bytes[place + 1])
            {
                throw StateError(
                    .invalid,
                    "line \(line) has an anchor ('&' before a name), which Lathe does not read; write '\\u0026' in double "
                        + "quotation marks for the character itself")
            }
            if byte == UInt8(ascii: "\n") { line += 1 }
            previous = byte
        }
    }

    private static func value(_ node: Node, _ limits: DocumentLimits, depth: Int, count: inout Int) throws(StateError)
        -> DocumentValue
    {
        count += 1
        guard count <= limits.values else {
            throw StateError(.invalid, "there are more than \(limits.values) values in the document")
        }
        guard depth <= limits.depth else {
            throw failure("more than \(limits.depth) lists and objects stand in each other", node.mark)
        }
        switch node {
        case .scalar(let scalar): return try self.scalar(scalar)
        case .sequence(let sequence):
            guard sequence.tag == .implicit else { throw tagged(sequence.mark) }
            var values: [DocumentValue] = []
            for item in sequence { values.append(try value(item, limits, depth: depth + 1, count: &count)) }
            return .list(values)
        case .mapping(let mapping):
            guard mapping.tag == .implicit else { throw tagged(mapping.mark) }
            var members: [DocumentValue.Member] = []
            for (key, item) in mapping {
                guard case .scalar(let name) = key else { throw failure("a name is not a text", key.mark) }
                let value = try value(item, limits, depth: depth + 1, count: &count)
                members.append(DocumentValue.Member(name: name.string, value: value))
            }
            guard Set(members.map(\.name)).count == members.count else {
                throw failure("a name stands twice in an object", mapping.mark)
            }
            return .object(members)
        case .alias(let alias): throw failure("an alias is not read", alias.mark)
        }
    }

    private static func scalar(_ scalar: Node.Scalar) throws(StateError) -> DocumentValue {
        guard scalar.style == .plain else {
            guard scalar.tag == Tag(.str) else { throw tagged(scalar.mark) }
            return .text(scalar.string)
        }
        guard scalar.tag == .implicit else { throw tagged(scalar.mark) }
        switch scalar.string {
        case "", "~", "null", "Null", "NULL": return .null
        case "true", "True", "TRUE": return .flag(true)
        case "false", "False", "FALSE": return .flag(false)
        case let text: return isNumber(text) ? .number(text) : .text(text)
        }
    }

    /// As JSON has numbers; others are texts.
    private static func isNumber(_ text: String) -> Bool {
        guard let first = text.utf8.first, first == UInt8(ascii: "-") || (0x30...0x39).contains(first),
            case .number? = try? JSONReader.read(text, DocumentLimits(bytes: 64, depth: 0, values: 1))
        else { return false }
        return true
    }

    private static func tagged(_ mark: Mark?) -> StateError { failure("tags ('!' before a value) are not read", mark) }

    private static func failure(_ what: String, _ mark: Mark?) -> StateError {
        let place = mark.map { " (line \($0.line), column \($0.column))" } ?? ""
        return StateError(.invalid, "this is no YAML that can be read: \(what)\(place)")
    }

    private static func problem(_ error: any Error) -> String {
        switch error {
        case YamlError.scanner(_, let problem, let mark, _), YamlError.parser(_, let problem, let mark, _),
            YamlError.composer(_, let problem, let mark, _):
            "\(problem) (line \(mark.line), column \(mark.column))"
        case YamlError.reader(let problem, _, _, _): problem
        case YamlError.duplicatedKeysInMapping(let names, _):
            "\(names.sorted().first ?? "a name") stands twice in an object"
        default: "the parser says no more"
        }
    }
}
