internal import ImageModel

extension DocumentLimits {
    /// A RAM policy (RAM, "Limits": 6,144 characters).
    static let policy = DocumentLimits(bytes: 6144, depth: 6, values: 2000)
    static let configuration = DocumentLimits(bytes: 4 << 20, depth: 12, values: 200_000)
}

extension JSONReader {
    /// - Throws: `invalid`, with the line and the column.
    static func document(_ text: String, _ limits: DocumentLimits) throws(StateError) -> DocumentValue {
        do throws(JSONFailure) { return try read(text, limits) } catch { throw StateError(.invalid, error.message) }
    }
}
