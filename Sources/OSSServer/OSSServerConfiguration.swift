/// How a server listens, and whom it lets in.
public struct OSSServerConfiguration: Sendable {
    /// The address to listen on, or a name of it.
    public var host = "127.0.0.1"
    /// 0 takes any port that is free.
    public var port = 0
    /// The keys that are let in; with none, and without `allowsAnonymous`, nobody is but where an ACL lets everybody.
    public var credentials: [ServerCredential] = []
    /// Where further keys come from, and what each of them may do; nil lets every key do everything.
    ///
    /// It decides about `credentials` too, so they are left empty beside it.
    public var access: (any AccessControl)?
    /// Whether requests without a signature may do everything.
    ///
    /// A signature that is there must be right all the same.
    public var allowsAnonymous = false
    /// What the server says that its region is, as `cn-hangzhou`; signatures of every region are taken.
    public var region = "cn-hangzhou"
    /// The domain whose first labels are buckets (`BUCKET.DOMAIN`); nil takes every host whose first label is a bucket.
    public var domain: String?
    /// So many seconds after a connection began, the head of its first request is there, or it is closed; from 1.
    public var headSeconds = 10
    /// After so many seconds without a byte from the client, without one that it takes, or without another whole head behind an
    /// answer, its connection is closed; so is one whose body brings less than 1 KiB a second over them; from 1.
    public var idleSeconds = 60
    /// Connections beyond these displace those on which nobody was let in, or wait; from 1.
    public var connectionLimit = 512
    /// How many threads wait for the disk; from 1.
    public var threadCount = 16
    /// The time that requests are held against, in seconds since 1970-01-01 UTC; nil for that of the machine.
    public var clock: (@Sendable () -> UInt64)?
    /// Sees every answer when it was sent.
    public var observer: (@Sendable (RequestRecord) -> Void)?

    public init() {}
}

/// What is told of a request that was answered; it holds no secret.
public struct RequestRecord: Sendable {
    public var method: String
    /// The path, still escaped; the query, which may be signed, and so as good as a key for a while, is left out.
    public var target: String
    /// What the answer calls it: 24 hexadecimal digits.
    public var id: String
    /// The HTTP status of the answer.
    public var status = 0
    /// What OSS calls the failure: `NoSuchKey`.
    public var code: String?
    /// What led to a failure of the server itself, for its operator; the client is not told.
    public var cause: String?
    /// From the head of the request to the end of the answer.
    public var seconds: Double = 0

    init(method: String, target: String, id: String) {
        self.method = method
        self.target = target.split(separator: "?", maxSplits: 1).first.map(String.init) ?? ""
        self.id = id
    }

    /// One line: `PUT /bucket/key 200 12 ms 534B371674E88A4D8906008B`.
    public var line: String {
        let milliseconds = Int((seconds * 1000).rounded())
        var line = "\(method) \(target) \(status)"
        if let code { line += " \(code)" }
        line += " \(milliseconds) ms \(id)"
        if let cause { line += " (\(cause))" }
        return line
    }
}
