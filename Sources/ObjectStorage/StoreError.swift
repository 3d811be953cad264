public import ImageModel

/// What went wrong with a store, and whether it is worth another try.
public struct StoreError: Error, Sendable {
    /// The kind of failure; codes are stable, programs may compare and print them.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }

        public static let noSuchBucket = Code(rawValue: "no-such-bucket")
        /// The bucket is there already.
        public static let bucketExists = Code(rawValue: "bucket-exists")
        /// The bucket holds objects or uploads.
        public static let bucketNotEmpty = Code(rawValue: "bucket-not-empty")
        public static let noSuchObject = Code(rawValue: "no-such-object")
        public static let noSuchUpload = Code(rawValue: "no-such-upload")
        /// The object is there, and may not be replaced.
        public static let objectExists = Code(rawValue: "object-exists")
        /// A part that the store does not have, or has with another tag, or that is too small.
        public static let invalidPart = Code(rawValue: "invalid-part")
        /// A part that is there already is not the one that would be sent now.
        public static let partDiffers = Code(rawValue: "part-differs")
        /// A range that is not within the object.
        public static let invalidRange = Code(rawValue: "invalid-range")
        /// The object has another tag than it must have.
        public static let preconditionFailed = Code(rawValue: "precondition-failed")
        /// What arrived is not what was sent.
        public static let checksumMismatch = Code(rawValue: "checksum-mismatch")
        /// Credentials are missing, wrong or expired, or do not allow the operation.
        public static let accessDenied = Code(rawValue: "access-denied")
        /// The store says that the request makes no sense, or it could not be made.
        public static let invalidRequest = Code(rawValue: "invalid-request")
        /// The store can't do this.
        public static let unsupported = Code(rawValue: "unsupported")
        /// The store can't be reached, or the connection broke or stalled.
        public static let connection = Code(rawValue: "connection")
        /// The store asks for fewer requests.
        public static let throttled = Code(rawValue: "throttled")
        /// The store failed.
        public static let server = Code(rawValue: "server")
        /// An answer that breaks the protocol.
        public static let malformedAnswer = Code(rawValue: "malformed-answer")
        /// The store has no room.
        public static let noSpace = Code(rawValue: "no-space")
        /// The operating system refused an operation.
        public static let inputOutput = Code(rawValue: "input-output")
        /// The work was stopped on request.
        public static let cancelled = Code(rawValue: "cancelled")
    }

    /// Whether the same call may succeed later.
    public enum Persistence: Hashable, Sendable {
        /// It fails again.
        case permanent
        /// It may succeed; not before so many seconds, where the store said so.
        case transient(afterSeconds: Double?)

        public static let transient = Persistence.transient(afterSeconds: nil)
    }

    public var code: Code
    public var persistence: Persistence
    /// One or two sentences for people: what was found, what was expected, what to do.
    public var message: String
    /// What was being done: `PUT oss://bucket/key part 3`, a path.
    public var operation: String?
    /// The HTTP status of the answer, where there was one.
    public var status: Int?
    /// What the server calls the error (`SignatureDoesNotMatch`), where it did.
    public var serverCode: String?
    /// What the server calls the request: its operators find it by this.
    public var requestID: String?
    /// What led to it.
    public var cause: (any Error)?

    public init(
        _ code: Code, _ message: String, persistence: Persistence = .permanent, operation: String? = nil,
        status: Int? = nil, serverCode: String? = nil, requestID: String? = nil, cause: (any Error)? = nil
    ) {
        self.code = code
        self.persistence = persistence
        self.message = message
        self.operation = operation
        self.status = status
        self.serverCode = serverCode
        self.requestID = requestID
        self.cause = cause
    }

    /// Whether another try may succeed.
    public var isTransient: Bool {
        if case .transient = persistence { true } else { false }
    }

    /// The same error with the operation named, where it names none yet.
    public func during(_ operation: String) -> StoreError {
        var named = self
        if named.operation == nil { named.operation = operation }
        return named
    }

    /// What the engine and the commands see of it.
    public var imageError: ImageError {
        switch code {
        case .cancelled: ImageError(.cancelled, message)
        case .partDiffers, .preconditionFailed: ImageError(.sourceChanged, description)
        case .objectExists: ImageError(.destinationExists, description)
        case .noSuchObject: ImageError(.store, description, systemError: ImageError.noSuchFile)
        default: ImageError(.store, description)
        }
    }
}

extension StoreError: CustomStringConvertible {
    /// The operation, the message, then what the server called it and the cause, on one line.
    public var description: String {
        var text = operation.map { "\($0): " } ?? ""
        text += message
        var context: [String] = []
        if let status { context.append("HTTP \(status)") }
        if let serverCode { context.append(serverCode) }
        if let requestID { context.append("request \(requestID)") }
        if !context.isEmpty { text += " [\(context.joined(separator: ", "))]" }
        if let cause { text += " (because: \(cause))" }
        return text
    }
}
