/// Which internal snapshot of an image is meant, as `-l` of `qemu-img` has it.
public struct SnapshotSelection: Hashable, Sendable {
    /// The number that QEMU gave it.
    public var id: String?
    /// What its maker called it.
    public var name: String?
    /// An ID or, where none is that, a name.
    public var either: String?

    /// - Parameter text: `snapshot.id=ID`, `snapshot.name=NAME`, both joined by a comma, or an ID or a name alone.
    public init?(parsing text: String) {
        guard !text.isEmpty else { return nil }
        guard text.hasPrefix("snapshot.") else {
            either = text
            return
        }
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            if part.hasPrefix("snapshot.id="), id == nil {
                id = String(part.dropFirst("snapshot.id=".utf8.count))
            } else if part.hasPrefix("snapshot.name="), name == nil {
                name = String(part.dropFirst("snapshot.name=".utf8.count))
            } else {
                return nil
            }
        }
        if id?.isEmpty ?? false || name?.isEmpty ?? false { return nil }
    }
}

extension SnapshotSelection: CustomStringConvertible {
    public var description: String {
        if let either { return "'\(either)'" }
        return [id.map { "with the ID '\($0)'" }, name.map { "named '\($0)'" }].compactMap(\.self)
            .joined(separator: " and ")
    }
}
