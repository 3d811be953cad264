/// What is told of a request that was answered: no secret, no signature, and nothing else that a client wrote but the names
/// of what it asked for, which are letters and digits.
public struct APIRequestRecord: Hashable, Sendable {
    /// What a request went to.
    public enum Route: String, Hashable, Sendable {
        /// The API itself, at `/`.
        case api
        case health, readiness, metrics
        /// A file of the console.
        case page
        /// A path that nothing stands at.
        case unknown
    }

    /// What the answer calls it: a UUID in capitals.
    public var requestID: String
    public var route: Route
    /// As `ExportImage`; nil where the request is none of the API, or can't be read that far.
    public var action: String?
    /// Whose the key is that signed, once the signature was right.
    public var accountID: String?
    /// The HTTP status of the answer.
    public var status = 0
    /// What the API calls the failure: `InvalidImageId.NotFound`.
    public var code: String?
    /// What led to a failure of the server itself, for its operator; the client is not told.
    public var cause: String?
    /// From the head of the request to the end of the answer.
    public var seconds: Double = 0

    init(requestID: String, route: Route) {
        self.requestID = requestID
        self.route = route
    }

    /// One line: `ExportImage 200 12 ms 2D7A3B52-… account 1234567890123456`.
    public var line: String {
        var line = "\(action ?? route.rawValue) \(status)"
        if let code { line += " \(code)" }
        line += " \(Int((seconds * 1000).rounded())) ms \(requestID)"
        if let accountID { line += " account \(accountID)" }
        if let cause { line += " (\(cause))" }
        return line
    }
}
