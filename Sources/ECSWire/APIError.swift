/// What a caller of the API is told when a request is refused: `Code`, `Message` and the HTTP status.
///
/// It never holds a secret, nor a path of this machine.
public struct APIError: Error, Hashable, Sendable {
    /// As `InvalidImageId.NotFound`.
    public var code: String
    /// The HTTP status.
    public var status: Int
    public var message: String
    /// After how many seconds another try makes sense, for `Throttling` and its like.
    public var retryAfterSeconds: Int?
    /// What led to it, for the log alone: callers never see it.
    public var cause: String?

    public init(
        _ status: Int, _ code: String, _ message: String, retryAfterSeconds: Int? = nil, cause: String? = nil
    ) {
        self.code = code
        self.status = status
        self.message = message
        self.retryAfterSeconds = retryAfterSeconds
        self.cause = cause
    }
}
