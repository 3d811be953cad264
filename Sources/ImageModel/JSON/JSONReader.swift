/// Reads JSON as RFC 8259 has it, and nothing besides: no comment, no name twice in an object, no document that is too large.
///
/// A policy in which `Effect` stands twice would mean one thing to one reader and another to the next.
package struct JSONReader {
    private let bytes: [UInt8]
    private let limits: DocumentLimits
    private var place = 0
    private var valueCount = 0

    package static func read(_ text: String, _ limits: DocumentLimits) throws(JSONFailure) -> DocumentValue {
        guard text.utf8.count <= limits.bytes else {
            throw JSONFailure("the document has \(text.utf8.count) bytes; at most \(limits.bytes) are read")
        }
        var reader = JSONReader(bytes: Array(text.utf8), limits: limits)
        let value = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.place == reader.bytes.count else { throw reader.failure("something stands behind the document") }
        return value
    }

    private init(bytes: [UInt8], limits: DocumentLimits) {
        self.bytes = bytes
        self.limits = limits
    }

    private mutating func value(depth: Int) throws(JSONFailure) -> DocumentValue {
        skipSpace()
        valueCount += 1
        guard valueCount <= limits.values else { throw failure("there are more than \(limits.values) values") }
        switch next {
        case UInt8(ascii: "{"): return try object(depth: depth + 1)
        case UInt8(ascii: "["): return try list(depth: depth + 1)
        case UInt8(ascii: "\""): return .text(try string())
        case .some(UInt8(ascii: "0")...UInt8(ascii: "9")), UInt8(ascii: "-"): return try number()
        default: return try word()
        }
    }

    private mutating func object(depth: Int) throws(JSONFailure) -> DocumentValue {
        try requireDepth(depth)
        var members: [DocumentValue.Member] = []
        var names: Set<String> = []
        place += 1
        skipSpace()
        if take("}") { return .object([]) }
        repeat {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw failure("a name in quotation marks is missing") }
            let name = try string()
            guard names.insert(name).inserted else { throw failure("'\(name)' stands twice in an object") }
            skipSpace()
            guard take(":") else { throw failure("a ':' is missing") }
            members.append(DocumentValue.Member(name: name, value: try value(depth: depth)))
            skipSpace()
        } while take(",")
        guard take("}") else { throw failure("a ',' or '}' is missing") }
        return .object(members)
    }

    private mutating func list(depth: Int) throws(JSONFailure) -> DocumentValue {
        try requireDepth(depth)
        var values: [DocumentValue] = []
        place += 1
        skipSpace()
        if take("]") { return .list([]) }
        repeat {
            values.append(try value(depth: depth))
            skipSpace()
        } while take(",")
        guard take("]") else { throw failure("a ',' or ']' is missing") }
        return .list(values)
    }

    private func requireDepth(_ depth: Int) throws(JSONFailure) {
        guard depth <= limits.depth else {
            throw failure("more than \(limits.depth) lists and objects stand in each other")
        }
    }

    private mutating func word() throws(JSONFailure) -> DocumentValue {
        for (text, value) in [("true", DocumentValue.flag(true)), ("false", .flag(false)), ("null", .null)]
        where bytes[place...].starts(with: text.utf8) {
            place += text.utf8.count
            return value
        }
        throw failure(place < bytes.count ? "no value begins like this" : "the document ends too early")
    }

    private mutating func number() throws(JSONFailure) -> DocumentValue {
        let start = place
        _ = take("-")
        if !take("0") { try digits() }
        if take(".") { try digits() }
        if take("e") || take("E") {
            _ = take("+") || take("-")
            try digits()
        }
        return .number(String(decoding: bytes[start..<place], as: UTF8.self))
    }

    private mutating func digits() throws(JSONFailure) {
        let start = place
        while let next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(next) { place += 1 }
        guard place > start else { throw failure("a digit is missing") }
    }

    // MARK: Texts

    private mutating func string() throws(JSONFailure) -> String {
        place += 1
        var text: [UInt8] = []
        while let byte = next {
            place += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): text += try escaped().utf8
            case 0..<0x20: throw failure("a control character stands in a text")
            default: text.append(byte)
            }
        }
        throw failure("a text does not end")
    }

    private mutating func escaped() throws(JSONFailure) -> String {
        guard let byte = next else { throw failure("a text does not end") }
        place += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return String(UnicodeScalar(byte))
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try escapedScalar()
        default: throw failure("no character is escaped like this")
        }
    }

    /// A scalar in four hexadecimal digits, or in a pair of surrogates.
    private mutating func escapedScalar() throws(JSONFailure) -> String {
        var code = try hexadecimal()
        if (0xd800..<0xdc00).contains(code), take("\\"), take("u") {
            let low = try hexadecimal()
            guard (0xdc00..<0xe000).contains(low) else { throw failure("half a character is escaped") }
            code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
        }
        guard let scalar = UnicodeScalar(code) else { throw failure("half a character is escaped") }
        return String(Character(scalar))
    }

    private mutating func hexadecimal() throws(JSONFailure) -> UInt32 {
        guard bytes.count - place >= 4,
            let digits = Optional(String(decoding: bytes[place..<place + 4], as: UTF8.self)),
            digits.allSatisfy(\.isHexDigit), let code = UInt32(digits, radix: 16)
        else { throw failure("four hexadecimal digits are missing") }
        place += 4
        return code
    }

    // MARK: Bytes

    private var next: UInt8? { place < bytes.count ? bytes[place] : nil }

    private mutating func take(_ character: UnicodeScalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        place += 1
        return true
    }

    private mutating func skipSpace() {
        while let next, [0x20, 0x09, 0x0a, 0x0d].contains(next) { place += 1 }
    }

    private func failure(_ what: String) -> JSONFailure {
        let before = bytes[..<min(place, bytes.count)]
        let line = before.count { $0 == 0x0a } + 1
        let column = before.count - (before.lastIndex(of: 0x0a).map { $0 + 1 } ?? 0) + 1
        return JSONFailure("this is no JSON that can be read: \(what) (line \(line), column \(column))")
    }
}

/// Why a text is no JSON, with the line and the column.
package struct JSONFailure: Error {
    package var message: String

    init(_ message: String) { self.message = message }
}
