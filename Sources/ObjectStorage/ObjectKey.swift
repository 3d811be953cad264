/// The name of an object in its bucket: 1 to 1023 bytes of UTF-8 that do not begin with `/` or `\` (OSS, "Object naming
/// conventions").
public struct ObjectKey: Hashable, Sendable, CustomStringConvertible {
    public let description: String

    /// The greatest length in bytes of UTF-8.
    public static let greatestLength = 1023

    /// - Throws: `invalid-request`, with what is wrong with the name.
    public init(_ name: String) throws(StoreError) {
        let length = name.utf8.count
        guard (1...Self.greatestLength).contains(length) else {
            throw StoreError(
                .invalidRequest,
                "an object's key has 1 to \(Self.greatestLength) bytes, this one has \(length)")
        }
        guard name.first != "/", name.first != "\\" else {
            throw StoreError(
                .invalidRequest, "'\(name)' can't be an object's key, which begins with neither '/' nor '\\'")
        }
        guard !name.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) else {
            throw StoreError(.invalidRequest, "an object's key has no control characters, this one has")
        }
        description = name
    }
}
