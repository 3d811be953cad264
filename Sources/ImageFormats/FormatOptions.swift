public import ImageModel

/// The `-o key=value` options of one conversion, taken one by one; what nobody takes is an error, so none is ignored.
public struct FormatOptions: Hashable, Sendable {
    private var values: [String: String]
    private var known: [String] = []
    /// What every option that was taken came to, defaults included.
    public private(set) var settled: [String: String] = [:]

    public init(_ values: [String: String] = [:]) { self.values = values }

    /// Reads `key=value,key=value`, as `qemu-img -o` takes it; a key alone means `on`.
    public init(parsing texts: [String]) throws(ImageError) {
        values = [:]
        for text in texts {
            for pair in text.split(separator: ",") {
                let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
                guard let key = parts.first, !key.isEmpty else {
                    throw ImageError(
                        .invalidOption, "'\(pair)' is not an option; write -o KEY=VALUE, several joined by commas")
                }
                let value = parts.count > 1 ? parts[1] : "on"
                guard values.updateValue(value, forKey: key) == nil else {
                    throw ImageError(.invalidOption, "option '\(key)' is given twice; give it once")
                }
            }
        }
    }

    /// Adds an option that a flag of its own implies; one that says otherwise is an error.
    public mutating func imply(_ key: String, _ value: String, because flag: String) throws(ImageError) {
        if let given = values[key], given != value {
            throw ImageError(
                .invalidOption, "\(flag) needs \(key)=\(value), but -o says \(key)=\(given); drop one of them")
        }
        values[key] = value
    }

    /// Takes an option that must be one of `choices`; the first is the default.
    ///
    /// Names compare without case.
    public mutating func take(_ key: String, oneOf choices: [String]) throws(ImageError) -> String {
        known.append(key)
        guard let given = values.removeValue(forKey: key) else {
            settled[key] = choices[0]
            return choices[0]
        }
        guard let choice = choices.first(where: { $0.lowercased() == given.lowercased() }) else {
            throw ImageError(
                .invalidOption,
                "option \(key)=\(given) is not one that Lathe writes; \(key) can be \(choices.joined(separator: ", "))")
        }
        settled[key] = choice
        return choice
    }

    /// Takes an option that must be one of `choices`, each with all its names; settled is the choice's first name, and the first
    /// choice is the default.
    public mutating func take(_ key: String, oneOf choices: [[String]]) throws(ImageError) -> String {
        let name = try take(key, oneOf: choices.flatMap(\.self))
        let choice = choices.first { $0.contains(name) }?.first ?? name
        settled[key] = choice
        return choice
    }

    /// Takes an option that is a size in bytes, written as `65536`, `64k` or `64K`; settled is the number of bytes.
    ///
    /// - Parameters:
    ///   - rule: what it must be, for the error.
    ///   - isValid: whether it is that.
    public mutating func takeSize(
        _ key: String, default standard: UInt64, rule: String, where isValid: (UInt64) -> Bool
    ) throws(ImageError) -> UInt64 {
        let text = try take(key, default: String(standard), rule: rule) { Self.bytes($0).map(isValid) ?? false }
        let size = Self.bytes(text) ?? standard
        settled[key] = String(size)
        return size
    }

    /// A size with one of the suffixes that `qemu-img` knows, in bytes.
    private static func bytes(_ text: String) -> UInt64? {
        let powers: [Character: UInt64] = ["b": 0, "k": 10, "m": 20, "g": 30, "t": 40]
        let power = text.lowercased().last.flatMap { powers[$0] }
        guard let number = UInt64(power == nil ? Substring(text) : text.dropLast()) else { return nil }
        let (size, overflow) = number.multipliedReportingOverflow(by: 1 << (power ?? 0))
        return overflow ? nil : size
    }

    /// Takes an option that must be a number in `range`.
    public mutating func take(_ key: String, in range: ClosedRange<Int>, default standard: Int) throws(ImageError)
        -> Int
    {
        known.append(key)
        guard let given = values.removeValue(forKey: key) else {
            settled[key] = String(standard)
            return standard
        }
        guard let number = Int(given), range.contains(number) else {
            throw ImageError(
                .invalidOption,
                "option \(key)=\(given) is out of range; \(key) is a number from \(range.lowerBound) to \(range.upperBound)"
            )
        }
        settled[key] = String(number)
        return number
    }

    /// Takes an option that is a text.
    ///
    /// - Parameters:
    ///   - rule: what it must be, for the error.
    ///   - isValid: whether it is that.
    public mutating func take(
        _ key: String, default standard: String, rule: String, where isValid: (String) -> Bool
    ) throws(ImageError) -> String {
        known.append(key)
        let text = values.removeValue(forKey: key) ?? standard
        guard isValid(text) else {
            throw ImageError(.invalidOption, "option \(key)=\(text.prefix(200)) can't be had; \(key) is \(rule)")
        }
        settled[key] = text
        return text
    }

    /// Takes an option that is a size and a power of two: in bytes, or with k, M or G (powers of 1024) behind the number.
    ///
    /// Settled in bytes, and not at all where it is not given.
    ///
    /// - Returns: nil where it is not given.
    public mutating func take(_ key: String, powerOfTwoIn range: ClosedRange<UInt64>) throws(ImageError) -> UInt64? {
        known.append(key)
        guard let given = values.removeValue(forKey: key) else { return nil }
        guard let size = Self.size(given), range.contains(size), size.nonzeroBitCount == 1 else {
            throw ImageError(
                .invalidOption,
                "option \(key)=\(given.prefix(200)) can't be had; \(key) is a power of two from \(range.lowerBound) to "
                    + "\(range.upperBound) bytes (k, M and G may stand behind the number)")
        }
        settled[key] = String(size)
        return size
    }

    /// nil for what is no size.
    private static func size(_ text: String) -> UInt64? {
        let shifts: [Character: UInt64] = ["k": 10, "m": 20, "g": 30]
        guard let last = text.lowercased().last, let shift = shifts[last] else { return UInt64(text) }
        return UInt64(text.dropLast()).flatMap { number in
            let (value, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
            return overflow ? nil : value
        }
    }

    /// What an option is given as, where it is, and not taken yet.
    func given(_ key: String) -> String? { values[key] }

    /// Whether an option is given, and not taken yet, that says this; compared without case, as `take(_:oneOf:)` does.
    func asks(_ key: String, for choice: String) -> Bool { values[key]?.lowercased() == choice.lowercased() }

    /// Whether an option is given, and not taken yet.
    func gives(_ key: String) -> Bool { values[key] != nil }

    /// Takes an option that can only be one thing, whichever of its names is given; settled is the first of them.
    public mutating func take(_ key: String, anyNameOf names: [String]) throws(ImageError) {
        _ = try take(key, oneOf: names)
        settled[key] = names[0]
    }

    /// Settles what no option says, or what follows from several; nil leaves it out.
    public mutating func settle(_ key: String, as value: String?) { settled[key] = value }

    /// Refuses what no call has taken.
    ///
    /// An encoder calls it when it has taken all that it knows.
    public func requireAllTaken(by format: ImageFormat) throws(ImageError) {
        guard let stray = values.keys.min() else { return }
        let list = known.isEmpty ? "it has none" : "it has \(known.sorted().joined(separator: ", "))"
        throw ImageError(.invalidOption, "\(format.rawValue) has no option '\(stray)'; \(list)")
    }
}
