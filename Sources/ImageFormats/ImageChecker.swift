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
    /// A sentence: where, what was found, what was expected, and what follows.
    public var message: String
    /// The value that was found.
    public var found: String?
    /// The value that was expected.
    public var expected: String?
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

    /// A value that is not what it should be.
    ///
    /// - Parameters:
    ///   - subject: whose value it is: "the refcount of cluster 5".
    ///   - found: what goes on as "is …".
    ///   - expected: what goes on as "expected …".
    ///   - consequence: what follows from it, or what to do; a sentence without a full stop.
    ///   - fileOffset: where the value stands.
    public init(
        _ kind: Kind, _ subject: String, is found: String, expected: String, _ consequence: String,
        at fileOffset: FileOffset, guest: GuestOffset? = nil
    ) {
        self.init(
            kind, "at byte \(fileOffset.bytes), \(subject) is \(found), expected \(expected): \(consequence)",
            at: fileOffset, guest: guest)
        self.found = found
        self.expected = expected
    }
}

extension CheckFinding: CustomStringConvertible {
    /// The sentence, and the places that it does not name.
    public var description: String {
        var text = message
        if found == nil, let fileOffset { text += " [file offset \(fileOffset.bytes)]" }
        if let guestOffset { text += " [guest offset \(guestOffset.bytes)]" }
        return text
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

    /// What is right by the format, and not what some program takes, in sentences.
    public private(set) var remarks: [String] = []

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

    mutating func remark(_ sentence: String) { remarks.append(sentence) }

    /// Counts a finding, and keeps it while there is room; its text is made only then.
    mutating func add(
        _ kind: CheckFinding.Kind, _ message: @autoclosure () -> String, at offset: FileOffset? = nil,
        guest: GuestOffset? = nil
    ) {
        if count(kind) { findings.append(CheckFinding(kind, message(), at: offset, guest: guest)) }
    }

    /// The same for a value that is not what it should be; see `CheckFinding`.
    mutating func add(
        _ kind: CheckFinding.Kind, _ subject: @autoclosure () -> String, is found: @autoclosure () -> String,
        expected: @autoclosure () -> String, _ consequence: @autoclosure () -> String, at offset: FileOffset,
        guest: GuestOffset? = nil
    ) {
        guard count(kind) else { return }
        findings.append(
            CheckFinding(
                kind, subject(), is: found(), expected: expected(), consequence(), at: offset, guest: guest))
    }

    /// - Returns: whether there is room for the finding itself.
    private mutating func count(_ kind: CheckFinding.Kind) -> Bool {
        switch kind {
        case .corruption: corruptions += 1
        case .leak: leaks += 1
        case .warning: warnings += 1
        }
        return findings.count < Self.keptFindings
    }

    /// Whether nothing is wrong, warnings aside, as far as was looked.
    public var isSound: Bool { corruptions == 0 && leaks == 0 && incomplete == nil }
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

    /// Takes in what was found in another file of the same image; the kept findings name it, and have no guest offset, for that is
    /// one of its own.
    mutating func add(_ other: CheckReport, of file: String) {
        for finding in other.findings where findings.count < Self.keptFindings {
            var named = finding
            named.message = "\(file): \(finding.message)"
            named.guestOffset = nil
            findings.append(named)
        }
        corruptions += other.corruptions
        leaks += other.leaks
        warnings += other.warnings
        totalUnits += other.totalUnits
        allocatedUnits += other.allocatedUnits
        compressedUnits += other.compressedUnits
        fragmentedUnits += other.fragmentedUnits
        incomplete = incomplete ?? other.incomplete
    }
}
