internal import ECSWire

/// The parameters of a request, as the operations read them; what nobody reads, the vendor's clients send of their own accord.
struct Parameters: Sendable {
    private let values: [String: String]

    init(_ values: [String: String]) { self.values = values }

    /// A parameter's value; nil where it is not there or empty, which is how clients send what they have not.
    func text(_ name: String) -> String? {
        guard let value = values[name], !value.isEmpty else { return nil }
        return value
    }

    /// - Throws: `MissingParameter`.
    func required(_ name: String) throws(APIError) -> String {
        guard let value = text(name) else { throw .missingParameter(name) }
        return value
    }

    /// `true` or `false`, in any case: the vendor's clients write `True`.
    ///
    /// - Throws: `InvalidParameter`.
    func flag(_ name: String) throws(APIError) -> Bool {
        switch text(name)?.lowercased() {
        case nil, "false": return false
        case "true": return true
        default: throw .invalidParameter(name, "it is true or false")
        }
    }

    /// - Throws: `InvalidParameter`.
    func number(_ name: String, in range: ClosedRange<Int>) throws(APIError) -> Int? {
        guard let text = text(name) else { return nil }
        guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }), let number = Int(text),
            range.contains(number)
        else { throw .invalidParameter(name, "it is a number from \(range.lowerBound) to \(range.upperBound)") }
        return number
    }

    /// A time as `2023-10-26T10:22:32Z`, or without its seconds; in seconds since 1970-01-01 UTC.
    ///
    /// - Throws: `InvalidParameter`.
    func time(_ name: String) throws(APIError) -> UInt64? {
        guard let text = text(name) else { return nil }
        let whole = text.utf8.count == 17 && text.hasSuffix("Z") ? "\(text.dropLast()):00Z" : text
        guard let time = APITime.parse(whole) else {
            throw .invalidParameter(name, "it is a time of the form 2023-10-26T10:22:32Z")
        }
        return time
    }

    /// The values of one parameter with commas between, as `TaskIds`.
    ///
    /// - Throws: `InvalidParameter` for more of them than `limit`.
    func commaList(_ name: String, atMost limit: Int) throws(APIError) -> [String]? {
        guard let text = text(name) else { return nil }
        let items = text.split(separator: ",").map { String($0.filter { $0 != " " }) }.filter { !$0.isEmpty }
        guard items.count <= limit else { throw .invalidParameter(name, "it has at most \(limit) values") }
        return items
    }

    /// `Name.1`, `Name.2` and so on, up to the first that is not there.
    ///
    /// - Throws: `InvalidParameter` for more of them than `limit`.
    func list(_ name: String, atMost limit: Int) throws(APIError) -> [String] {
        var items: [String] = []
        while let value = text("\(name).\(items.count + 1)") {
            guard items.count < limit else { throw .invalidParameter(name, "it has at most \(limit) values") }
            items.append(value)
        }
        return items
    }

    /// The fields of `Name.1.Field`, `Name.2.Field` and so on: a set of parameters for each number, up to the first without any.
    ///
    /// - Throws: `InvalidParameter` for more of them than `limit`.
    func groups(_ name: String, atMost limit: Int) throws(APIError) -> [Parameters] {
        var groups: [Int: [String: String]] = [:]
        for (key, value) in values where key.hasPrefix(name + ".") && !value.isEmpty {
            let parts = key.dropFirst(name.count + 1).split(separator: ".", maxSplits: 1)
            guard parts.count == 2, let number = Int(parts[0]), number > 0 else { continue }
            groups[number, default: [:]][String(parts[1])] = value
        }
        var found: [Parameters] = []
        while let group = groups[found.count + 1] {
            guard found.count < limit else { throw .invalidParameter(name, "there are at most \(limit) of it") }
            found.append(Parameters(group))
        }
        return found
    }

    /// Which page of a list is asked for, and how long it is (ECS, "PageNumber", "PageSize").
    func page(longest: Int = 100) throws(APIError) -> Page {
        Page(
            number: try number("PageNumber", in: 1...1_000_000) ?? 1,
            size: try number("PageSize", in: 1...longest) ?? 10)
    }
}

/// A page of a list.
struct Page: Hashable, Sendable {
    /// From 1.
    var number: Int
    var size: Int

    var offset: Int { (number - 1) * size }

    /// What each list begins with.
    func answer(total: Int, regionID: String?) -> AnswerObject {
        var answer: AnswerObject = ["PageNumber": .number(Int64(number)), "PageSize": .number(Int64(size))]
        answer.add("TotalCount", .number(Int64(total)))
        answer.add("RegionId", regionID.map { .text($0) })
        return answer
    }
}

extension AnswerValue {
    /// The time of a task: `2015-11-23T02:13Z` (ECS, "DescribeTaskAttribute").
    static func minute(_ seconds: UInt64) -> AnswerValue { .text("\(APITime.format(seconds).prefix(16))Z") }

    /// The time of a thing: `2015-11-23T02:13:05Z`.
    static func time(_ seconds: UInt64) -> AnswerValue { .text(APITime.format(seconds)) }
}
