/// A number of bytes, written as digits or with one of the suffixes k, M, G, T, P or E (powers of 1024) as in qemu-img.
public struct ByteSize: Hashable, Sendable {
    public let bytes: UInt64

    public init(bytes: UInt64) { self.bytes = bytes }

    /// nil for what is no such number, or more than 2^64 - 1 bytes.
    public init?(argument: String) {
        let suffixes: [Character: UInt64] = ["k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60]
        var digits = Substring(argument)
        var shift: UInt64 = 0
        if let last = argument.lowercased().last, let power = suffixes[last] {
            digits = argument.dropLast()
            shift = power
        }
        guard let number = UInt64(digits) else { return nil }
        let (value, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        guard !overflow else { return nil }
        bytes = value
    }

    /// The exact size, in the largest unit in which it is a whole number: `1536k`.
    public var exactText: String {
        guard bytes > 0 else { return "0" }
        let power = min(6, bytes.trailingZeroBitCount / 10)
        return "\(bytes >> (UInt64(power) * 10))" + ["", "k", "M", "G", "T", "P", "E"][power]
    }
}
