public import ImageFormats
public import ImageModel

/// One question that was put to an image, and the answer.
public struct VerificationCheck: Hashable, Sendable {
    /// What was asked, from the weakest proof to the strongest.
    public enum Subject: String, Hashable, Sendable, CaseIterable {
        /// The metadata, by the format's checker.
        case structure
        /// Whether format, options and virtual size are those of the manifest.
        case format
        /// The length of the file.
        case length
        /// CRC-64 of the file and of each of its parts.
        case object = "object-crc64ecma"
        /// The disk's content: that it can be read, and where there is a manifest that it has its CRC-64.
        case content = "content-crc64ecma"
        /// SHA-256 of the file.
        case objectSHA256 = "object-sha256"
        /// sha256-tree of the file.
        case objectSHA256Tree = "object-sha256-tree"
        /// SHA-256 of the disk's content.
        case contentSHA256 = "content-sha256"
        /// sha256-tree of the disk's content.
        case contentSHA256Tree = "content-sha256-tree"
        /// The content, byte by byte, against the source.
        case source
    }

    public enum Outcome: String, Hashable, Sendable {
        case passed, failed
        /// It could not be found out.
        case undecided
        /// It means nothing here: a raw image has no structure.
        case notApplicable = "not-applicable"
    }

    public var subject: Subject
    public var outcome: Outcome
    /// What was found and what was expected.
    public var message: String

    init(_ subject: Subject, _ outcome: Outcome, _ message: String) {
        self.subject = subject
        self.outcome = outcome
        self.message = message
    }
}

/// A part of an image file that is not what it must be.
public struct DamagedPart: Hashable, Sendable {
    /// In the manifest's list, from 0.
    public var index: Int
    /// Which of the image's files it is in, as the manifest lists them, from 0.
    public var fileIndex: Int
    /// What the manifest calls that file; nil where the image is one.
    public var fileName: String?
    /// Where it must be in the file.
    public var file: FileRange
    /// CRC-64/XZ by the manifest.
    public var expected: UInt64
    /// CRC-64/XZ of what is there; nil where the file ends before the part does.
    public var found: UInt64?
    /// The guest bytes that the part carries by the image's tables, neighbours joined; nil where the tables can't be read.
    public var guests: [GuestRange]?
    /// How many more guest ranges there are.
    public var omittedGuests = 0
    /// Bytes of the part that carry no guest byte: tables, or gaps.
    ///
    /// Where these are damaged, `guests` is what damaged tables say.
    public var otherBytes: UInt64?
}

/// What a verification found.
public struct VerificationReport: Sendable {
    public enum Verdict: String, Hashable, Sendable {
        case whole
        /// Neither proved nor refuted.
        case undecided = "cannot-tell"
        case damaged
    }

    public var format: ImageFormat
    public var objectLength: UInt64
    /// In bytes; nil where the header can't be read.
    public var virtualSize: UInt64?
    /// Of the file; nil where nothing asked for it.
    public var object: Checksums?
    /// Of the disk's content; nil where it can't be read.
    public var content: Checksums?
    public var checks: [VerificationCheck] = []
    /// What the format's checker found.
    public var findings: [CheckFinding] = []
    public var damagedParts: [DamagedPart] = []
    public var differences: DiskDifferences?

    public var verdict: Verdict {
        if checks.contains(where: { $0.outcome == .failed }) { return .damaged }
        let isProved = checks.contains { $0.outcome == .passed && $0.subject != .content }
        return isProved && !checks.contains { $0.outcome == .undecided } ? .whole : .undecided
    }

    mutating func add(
        _ subject: VerificationCheck.Subject, _ outcome: VerificationCheck.Outcome, _ message: String
    ) {
        checks.append(VerificationCheck(subject, outcome, message))
    }

    /// Adds a comparison of two values.
    mutating func compare<Value: Equatable>(
        _ subject: VerificationCheck.Subject, _ found: Value, with expected: Value, _ name: String
    ) {
        let message = found == expected ? "\(name) is \(found)" : "\(name) is \(found), expected \(expected)"
        add(subject, found == expected ? .passed : .failed, message)
    }
}

extension VerificationReport {
    /// What can be told of an object without reading it: what its store says, held against a manifest.
    ///
    /// - Parameters:
    ///   - length: in bytes.
    ///   - crc64: CRC-64/XZ of the object; nil where the store keeps none.
    public init(storeSays length: UInt64, crc64: UInt64?, manifest: Manifest) {
        self.init(format: manifest.format, objectLength: length)
        virtualSize = manifest.virtualSize
        compare(.length, length, with: manifest.objectLength, "the length in bytes")
        guard let crc64 else {
            add(.object, .undecided, "the store keeps no CRC-64 of the object; '--deep' reads it, and finds out")
            return
        }
        object = Checksums(crc64ecma: crc64)
        compare(.object, crc64, with: manifest.object.crc64ecma, "the CRC-64 that the store keeps")
    }

    /// The same of an image of several files.
    ///
    /// - Parameter files: what the store says of each file of the manifest; nil where it has none of that name.
    public init(storeSays files: [(length: UInt64, crc64: UInt64?)?], manifest: Manifest) {
        self.init(format: manifest.format, objectLength: files.reduce(0) { $0 + ($1?.length ?? 0) })
        virtualSize = manifest.virtualSize
        compare(.length, objectLength, with: manifest.objectLength, "the length in bytes, of all files together,")
        var faults: [String] = []
        var isKept = true
        for (file, found) in zip(manifest.files, files) {
            guard let found else {
                faults.append("\(file.name) is not there")
                continue
            }
            if found.length != file.length {
                faults.append("\(file.name) has \(found.length) bytes, expected \(file.length)")
            } else if let crc64 = found.crc64, let expected = file.checksums?.crc64ecma, crc64 != expected {
                faults.append("\(file.name) has CRC-64 \(crc64), expected \(expected)")
            }
            if found.crc64 == nil { isKept = false }
        }
        if !faults.isEmpty {
            add(.object, .failed, Self.told(faults))
        } else if isKept {
            add(.object, .passed, "each of \(files.count) files has the length and the CRC-64 of the manifest")
        } else {
            add(.object, .undecided, "the store keeps no CRC-64 of the objects; '--deep' reads them, and finds out")
        }
    }

    /// The first of many faults.
    static func told(_ faults: [String]) -> String {
        let told = faults.prefix(8).joined(separator: "; ")
        return faults.count > 8 ? "\(told); and \(faults.count - 8) more" : told
    }
}
