/// What an operation answers, before it becomes XML or JSON: named values in order.
public struct AnswerObject: Hashable, Sendable {
    public struct Field: Hashable, Sendable {
        public var name: String
        public var value: AnswerValue

        public init(_ name: String, _ value: AnswerValue) {
            self.name = name
            self.value = value
        }
    }

    public private(set) var fields: [Field]

    public init(_ fields: [Field] = []) { self.fields = fields }

    /// Adds a field behind the others; nil adds none.
    public mutating func add(_ name: String, _ value: AnswerValue?) {
        if let value { fields.append(Field(name, value)) }
    }

    public subscript(name: String) -> AnswerValue? { fields.first { $0.name == name }?.value }
}

extension AnswerObject: ExpressibleByDictionaryLiteral {
    public init(dictionaryLiteral elements: (String, AnswerValue)...) {
        self.init(elements.map { Field($0.0, $0.1) })
    }
}

/// A value of an answer.
///
/// A list is a container with repeated items, in both renderings: `<TaskSet><Task>…</Task></TaskSet>` and
/// `"TaskSet": {"Task": […]}` (ECS, "Return values").
public indirect enum AnswerValue: Hashable, Sendable {
    case text(String)
    case number(Int64)
    case boolean(Bool)
    case object(AnswerObject)
    case list(item: String, [AnswerValue])
}

extension AnswerValue: ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral {
    public init(stringLiteral value: String) { self = .text(value) }
    public init(integerLiteral value: Int64) { self = .number(value) }
    public init(booleanLiteral value: Bool) { self = .boolean(value) }
}
