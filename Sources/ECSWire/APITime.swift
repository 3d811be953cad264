internal import OSSWire

/// Times of the API, in UTC: `2023-10-26T10:22:32Z`.
public enum APITime {
    /// - Parameter seconds: since 1970-01-01 UTC.
    public static func format(_ seconds: UInt64) -> String {
        // The fraction of three digits that OSS has goes.
        "\(ISO8601.format(seconds).dropLast(5))Z"
    }

    /// Seconds since 1970-01-01 UTC; nil for any other text.
    public static func parse(_ text: String) -> UInt64? {
        guard text.utf8.count == 20 else { return nil }
        return ISO8601.parse(text)
    }
}
