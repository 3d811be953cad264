internal import OSSWire

extension AnswerObject {
    /// The body of an answer.
    ///
    /// - Parameter action: letters and digits; the root of the XML is called after it.
    public func rendered(as format: AnswerFormat, action: String) -> [UInt8] {
        switch format {
        case .xml:
            var writer = XMLWriter(root: "\(action)Response")
            write(to: &writer)
            return writer.bytes
        case .json:
            var writer = JSONWriter()
            writer.write(.object(self))
            return writer.bytes
        }
    }

    fileprivate func write(to writer: inout XMLWriter) {
        for field in fields { field.value.write(to: &writer, as: field.name) }
    }
}

extension AnswerValue {
    fileprivate func write(to writer: inout XMLWriter, as name: String) {
        switch self {
        case .text(let text): writer.element(name, text)
        case .number(let number): writer.element(name, number)
        case .boolean(let flag): writer.element(name, flag)
        case .object(let object): writer.element(name) { object.write(to: &$0) }
        case .list(let item, let values):
            writer.element(name) { writer in
                for value in values { value.write(to: &writer, as: item) }
            }
        }
    }
}

/// Writes one JSON document (RFC 8259), whose texts may be anything.
struct JSONWriter {
    private(set) var bytes: [UInt8] = []

    mutating func write(_ value: AnswerValue) {
        switch value {
        case .text(let text): write(text)
        case .number(let number): bytes += String(number).utf8
        case .boolean(let flag): bytes += (flag ? "true" : "false").utf8
        case .object(let object): write(object.fields.map { ($0.name, $0.value) })
        case .list(let item, let values):
            bytes.append(UInt8(ascii: "{"))
            write(item)
            bytes += ":[".utf8
            separated(values) { $0.write($1) }
            bytes += "]}".utf8
        }
    }

    mutating func write(_ fields: [(name: String, value: AnswerValue)]) {
        bytes.append(UInt8(ascii: "{"))
        separated(fields) { writer, field in
            writer.write(field.name)
            writer.bytes.append(UInt8(ascii: ":"))
            writer.write(field.value)
        }
        bytes.append(UInt8(ascii: "}"))
    }

    private mutating func separated<Element>(_ elements: [Element], _ body: (inout JSONWriter, Element) -> Void) {
        for (place, element) in elements.enumerated() {
            if place > 0 { bytes.append(UInt8(ascii: ",")) }
            body(&self, element)
        }
    }

    private mutating func write(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): bytes += #"\""#.utf8
            case UInt8(ascii: "\\"): bytes += #"\\"#.utf8
            case UInt8(ascii: "\n"): bytes += #"\n"#.utf8
            case UInt8(ascii: "\r"): bytes += #"\r"#.utf8
            case UInt8(ascii: "\t"): bytes += #"\t"#.utf8
            // A browser that takes the body for something else finds no tag in it.
            case 0..<0x20, UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "&"), 0x7F:
                bytes += #"\u00\#(Hexadecimal.encode([byte]))"#.utf8
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
