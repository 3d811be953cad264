public import ImageModel

/// One thing that a checker has to say about an image.
public struct CheckFinding: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable {
        /// Content is lost or may be read wrongly, or another program may refuse or harm the image.
        case corruption
        /// Space in the file that nothing uses.
        case leak
        /// Allowed, but not as it should be.
        case warning
    }

    public var kind: Kind
    /// What was found and what was expected.
    public var message: String
    /// Where in the file.
    public var fileOffset: FileOffset?
    /// Which guest bytes it touches first.
    public var guestOffset: GuestOffset?

    public init(_ kind: Kind, _ message: String, at fileOffset: FileOffset? = nil, guest: GuestOffset? = nil) {
        self.kind = kind
        self.message = message
        self.fileOffset = fileOffset
        self.guestOffset = guest
    }
}

/// What a checker found in an image.
public struct CheckReport: Sendable {
    /// How many findings are kept with their texts; the counts go on.
    public static let keptFindings = 1000

    public private(set) var findings: [CheckFinding] = []
    public private(set) var corruptions = 0
    public private(set) var leaks = 0
    public private(set) var warnings = 0

    /// Allocation units of the disk.
    public var totalUnits: UInt64 = 0
    /// Of these, with a place in the file.
    public var allocatedUnits: UInt64 = 0
    /// Of these, compressed.
    public var compressedUnits: UInt64 = 0
    /// Of these, not where the one before them ends.
    public var fragmentedUnits: UInt64 = 0
    /// Where the last byte in use ends.
    public var imageEnd = FileOffset(0)
    /// Why the check could not be done to its end: a header that can't be read, an error of the source.
    public var incomplete: ImageError?

    public init() {}

    /// Counts a finding, and keeps it while there is room; its text is made only then.
    mutating func add(
        _ kind: CheckFinding.Kind, _ message: @autoclosure () -> String, at offset: FileOffset? = nil,
        guest: GuestOffset? = nil
    ) {
        switch kind {
        case .corruption: corruptions += 1
        case .leak: leaks += 1
        case .warning: warnings += 1
        }
        if findings.count < Self.keptFindings {
            findings.append(CheckFinding(kind, message(), at: offset, guest: guest))
        }
    }
}

/// Looks for what is wrong in an image of one format.
public protocol ImageChecker {
    /// Reads all metadata, never the content, and says what is wrong with it.
    ///
    /// Bad content is a finding, never an error; only what stops the check stands in `incomplete`. Memory is bounded
    /// whatever the image says of itself.
    static func check(_ source: any ImageSource) -> CheckReport
}

extension CheckReport {
    /// Files an error that ended the check: what content caused is a corruption, all else leaves the check incomplete.
    mutating func fail(with error: ImageError) {
        switch error.code {
        case .corrupt, .truncated, .limitExceeded: add(.corruption, error.message, at: error.offset)
        default: incomplete = error
        }
    }
}
