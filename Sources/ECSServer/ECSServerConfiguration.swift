/// How the gateway listens, and what it takes.
public struct ECSServerConfiguration: Sendable {
    /// The address to listen on, or a name of it.
    public var host = "127.0.0.1"
    /// 0 takes any port that is free.
    public var port = 0
    /// So many seconds after a connection began, the head of its first request is there, or it is closed; from 1.
    public var headSeconds = 10
    /// After so many seconds without a byte from the client, without one that it takes, or without another whole head behind an
    /// answer, its connection is closed; a body must be there as a whole within them; from 1.
    public var idleSeconds = 30
    /// Connections beyond these displace those on which nobody proved a signature, or wait; from 1.
    public var connectionLimit = 512
    /// How many threads wait for the backend; from 1.
    public var threadCount = 8
    /// How many requests a second a key may send on average, over bursts of twice as many; from 1, nil for any number.
    public var requestsPerSecond: Int?
    /// The time that requests are held against, in seconds since 1970-01-01 UTC; nil for that of the machine.
    public var clock: (@Sendable () -> UInt64)?
    /// Sees every request when its answer was sent; it must not block.
    public var observer: (@Sendable (APIRequestRecord) -> Void)?

    public init() {}
}

/// A file of the console, served as it is at one path.
public struct StaticPage: Sendable {
    /// As `text/html; charset=utf-8`.
    public var contentType: String
    public var bytes: [UInt8]

    public init(contentType: String, _ bytes: [UInt8]) {
        self.contentType = contentType
        self.bytes = bytes
    }
}
