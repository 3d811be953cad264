/// What went wrong, in a form that a program can act on and a person can read.
///
/// The message names what was found, what was expected and what to do; `path`, `offset` and `operation` say where.
public struct ImageError: Error, Sendable {
    /// The kind of failure.
    ///
    /// Codes are stable: programs may compare them and print them.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }

        /// The bytes break the format's specification or contradict each other.
        public static let corrupt = Code(rawValue: "corrupt")
        /// The file ends before something that it must hold.
        public static let truncated = Code(rawValue: "truncated")
        /// Valid, as far as seen, but with a feature that this version of Lathe does not handle.
        public static let unsupported = Code(rawValue: "unsupported")
        /// The image names another file, which Lathe does not open.
        public static let externalReference = Code(rawValue: "external-reference")
        /// More than the format, or Lathe's own bound, allows.
        public static let limitExceeded = Code(rawValue: "limit-exceeded")
        /// The output would become longer than whoever asked for it lets it.
        public static let outputTooLong = Code(rawValue: "output-too-long")
        /// An option is unknown, malformed, or contradicts another.
        public static let invalidOption = Code(rawValue: "invalid-option")
        /// The format can't be told, or the name and the content disagree.
        public static let ambiguousFormat = Code(rawValue: "ambiguous-format")
        /// The destination is there already.
        public static let destinationExists = Code(rawValue: "destination-exists")
        /// The operating system refused an operation.
        public static let inputOutput = Code(rawValue: "input-output")
        /// The source changed, or became shorter, while it was read.
        public static let sourceChanged = Code(rawValue: "source-changed")
        /// The result does not hold what the source holds.
        public static let verificationFailed = Code(rawValue: "verification-failed")
        /// Things that were named together, an image and a manifest for one, do not belong together.
        public static let mismatch = Code(rawValue: "mismatch")
        /// An object store refused something, or could not be reached.
        public static let store = Code(rawValue: "store")
        /// Whoever read the output has gone away.
        public static let readerGone = Code(rawValue: "reader-gone")
        /// The work was stopped on request.
        public static let cancelled = Code(rawValue: "cancelled")
    }

    public var code: Code
    /// One or two sentences for people.
    public var message: String
    /// The file that it is about.
    public var path: String?
    /// Where in that file.
    public var offset: FileOffset?
    /// The system call or step that failed.
    public var operation: String?
    /// The operating system's error number, where it gave one.
    public var systemError: Int32?
    /// What led to it.
    public var cause: (any Error)?

    public init(
        _ code: Code, _ message: String, path: String? = nil, offset: FileOffset? = nil, operation: String? = nil,
        systemError: Int32? = nil, cause: (any Error)? = nil
    ) {
        self.code = code
        self.message = message
        self.path = path
        self.offset = offset
        self.operation = operation
        self.systemError = systemError
        self.cause = cause
    }

    /// `ENOENT` (errno(3)), which stands for an object that a store does not have, too.
    public static let noSuchFile: Int32 = 2

    /// Whether what it is about is not there at all.
    public var isMissing: Bool { systemError == Self.noSuchFile }

    /// The same error with the file named, where it names none yet.
    public func naming(_ path: String) -> ImageError {
        var named = self
        if named.path == nil { named.path = path }
        return named
    }
}

extension ImageError: CustomStringConvertible {
    /// The path, the message, then the place and the cause, on one line.
    public var description: String {
        var text = path.map { "\($0): " } ?? ""
        text += message
        var context: [String] = []
        if let operation { context.append(operation) }
        if let offset { context.append("file offset \(offset.bytes)") }
        if !context.isEmpty { text += " [\(context.joined(separator: ", "))]" }
        if let cause { text += " (because: \(cause))" }
        return text
    }
}
