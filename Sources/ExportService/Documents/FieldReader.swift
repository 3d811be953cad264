internal import ImageModel

/// Takes fields out of an object of a document, and tells what is left over.
///
/// An error names the field by its path, as `accounts[0].keys[1].id`.
struct FieldReader {
    let path: String
    private let members: [String: DocumentValue]
    private var taken: Set<String> = []

    /// - Parameter path: empty for the document itself.
    /// - Throws: `invalid`.
    init(_ value: DocumentValue, path: String) throws(StateError) {
        guard case .object(let list) = value else {
            throw StateError(
                .invalid, "expected an object, found \(value.kind)", subject: path.isEmpty ? "document" : path)
        }
        var members: [String: DocumentValue] = [:]
        for member in list { members[member.name] = member.value }
        self.members = members
        self.path = path
    }

    func path(of name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

    /// - Returns: nil where the field is absent, or null.
    mutating func value(_ name: String) -> DocumentValue? {
        taken.insert(name)
        guard let value = members[name], value != .null else { return nil }
        return value
    }

    /// A text; a number is taken as it is written, so that ids need no quotation marks.
    mutating func text(_ name: String) throws(StateError) -> String? {
        switch value(name) {
        case nil: return nil
        case .text(let text): return text
        case .number(let digits): return digits
        case .some(let value): throw failure(name, "expected a text, found \(value.kind)")
        }
    }

    mutating func requiredText(_ name: String) throws(StateError) -> String {
        guard let text = try text(name) else { throw failure(name, "the field is missing") }
        return text
    }

    mutating func flag(_ name: String) throws(StateError) -> Bool? {
        switch value(name) {
        case nil: return nil
        case .flag(let flag): return flag
        case .some(let value): throw failure(name, "expected true or false, found \(value.kind)")
        }
    }

    mutating func number(_ name: String) throws(StateError) -> Int? {
        switch value(name) {
        case nil: return nil
        case .number(let digits):
            guard let number = Int(digits) else { throw failure(name, "expected a whole number") }
            return number
        case .some(let value): throw failure(name, "expected a number, found \(value.kind)")
        }
    }

    /// A list of objects.
    mutating func objects<Item>(
        _ name: String, _ read: (inout FieldReader) throws(StateError) -> Item
    ) throws(StateError) -> [Item] {
        var items: [Item] = []
        for (place, value) in try list(name).enumerated() {
            var reader = try FieldReader(value, path: "\(path(of: name))[\(place)]")
            items.append(try read(&reader))
            try reader.finish()
        }
        return items
    }

    /// An object.
    mutating func object<Item>(_ name: String, _ read: (inout FieldReader) throws(StateError) -> Item)
        throws(StateError)
        -> Item?
    {
        guard let value = value(name) else { return nil }
        var reader = try FieldReader(value, path: path(of: name))
        let item = try read(&reader)
        try reader.finish()
        return item
    }

    mutating func texts(_ name: String) throws(StateError) -> [String] {
        var texts: [String] = []
        for (place, value) in try list(name).enumerated() {
            guard case .text(let text) = value else {
                throw StateError(
                    .invalid, "expected a text, found \(value.kind)", subject: "\(path(of: name))[\(place)]")
            }
            texts.append(text)
        }
        return texts
    }

    private mutating func list(_ name: String) throws(StateError) -> [DocumentValue] {
        switch value(name) {
        case nil: return []
        case .list(let values): return values
        case .some(let value): throw failure(name, "expected a list, found \(value.kind)")
        }
    }

    /// A field that nobody has taken is one that nobody knows.
    func finish() throws(StateError) {
        guard let unknown = members.keys.filter({ !taken.contains($0) }).min() else { return }
        throw failure(unknown, "there is no such field here; there are \(taken.sorted().joined(separator: ", "))")
    }

    func failure(_ name: String, _ message: String) -> StateError {
        StateError(.invalid, message, subject: path(of: name))
    }
}
