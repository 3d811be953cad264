/// Why the service's state is not what was asked for.
public struct StateError: Error, Hashable, Sendable {
    /// The kind of failure; codes are stable, programs may compare and print them.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }

        /// What was named is not there.
        public static let notFound = Code(rawValue: "not-found")
        /// A thing of that name is there already.
        public static let exists = Code(rawValue: "exists")
        /// A value is malformed, or out of its range.
        public static let invalid = Code(rawValue: "invalid")
        /// Nobody has allowed it.
        public static let forbidden = Code(rawValue: "forbidden")
        /// There are too many of them.
        public static let limitExceeded = Code(rawValue: "limit-exceeded")
        /// Something else needs what would be removed or changed.
        public static let inUse = Code(rawValue: "in-use")
        /// The database is of a later version of Lathe.
        public static let newerSchema = Code(rawValue: "newer-schema")
        /// The database's content contradicts itself.
        public static let corrupt = Code(rawValue: "corrupt")
        /// The database can't be read or written now.
        public static let unavailable = Code(rawValue: "unavailable")
    }

    public var code: Code
    /// A sentence or two for people: what was found, what was expected, what to do.
    public var message: String
    /// What it is about: a path, or a field of a configuration file such as `accounts[0].keys[1].id`.
    public var subject: String?

    public init(_ code: Code, _ message: String, subject: String? = nil) {
        self.code = code
        self.message = message
        self.subject = subject
    }

    /// The same error with its subject named, where it names none yet.
    public func naming(_ subject: String) -> StateError {
        var named = self
        if named.subject == nil { named.subject = subject }
        return named
    }
}

extension StateError: CustomStringConvertible {
    /// The subject and the message, on one line.
    public var description: String { subject.map { "\($0): \(message)" } ?? message }
}
