/// How the service goes about its work.
public struct ServiceSettings: Sendable {
    /// How many tasks run at a time, 1 to 64.
    public var workers = 2
    /// Whether a raw disk is exported as the one member of a tar.gz, as ECS does, or as it is.
    public var packagesRaw = true
    /// For how many seconds a store that can't be reached is tried again before a task fails.
    public var storePatience: Double = 600

    /// The largest virtual size of a disk that is exported, in bytes: what a disk holds, however little of it is stored.
    public var greatestDisk: UInt64 = 500 << 30
    /// The longest object that an export makes, in bytes.
    public var greatestObject: UInt64 = 512 << 30

    public static let workerCounts = 1...64

    public init() {}
}
