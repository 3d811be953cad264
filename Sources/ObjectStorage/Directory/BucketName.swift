/// The name of a bucket: 3 to 63 of `a` to `z`, `0` to `9` and `-`, with a letter or digit at both ends (OSS, "Bucket naming
/// conventions").
public struct BucketName: Hashable, Sendable, CustomStringConvertible {
    public let description: String

    /// - Throws: `invalid-request`, with what is wrong with the name.
    public init(_ name: String) throws(StoreError) {
        let bytes = name.utf8
        guard (3...63).contains(bytes.count) else {
            throw StoreError(.invalidRequest, "a bucket's name has 3 to 63 characters, this one has \(bytes.count)")
        }
        guard bytes.allSatisfy({ Self.isLetterOrDigit($0) || $0 == UInt8(ascii: "-") }) else {
            throw StoreError(
                .invalidRequest, "'\(name)' can't be a bucket's name, which has only a to z, 0 to 9 and '-'")
        }
        guard let first = bytes.first, let last = bytes.last, Self.isLetterOrDigit(first), Self.isLetterOrDigit(last)
        else {
            throw StoreError(
                .invalidRequest,
                "'\(name)' can't be a bucket's name, which begins and ends with a letter or a digit")
        }
        description = name
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}

/// What is known of a bucket.
public struct BucketSummary: Hashable, Sendable {
    public var name: BucketName
    /// In seconds since 1970-01-01 UTC.
    public var created: UInt64

    public init(name: BucketName, created: UInt64) {
        self.name = name
        self.created = created
    }
}
