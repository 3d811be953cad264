/// Writes one XML document, whose texts may be anything.
public struct XMLWriter: Sendable {
    private var text: String
    private let root: String

    /// - Parameter namespace: of the root; OSS's own bodies have none, those of S3 have one.
    public init(root: String, namespace: String? = nil) {
        self.root = root
        text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<\(root)"
        if let namespace { text += " xmlns=\"\(Self.escaped(namespace))\"" }
        text += ">"
    }

    /// An element that has text in it.
    public mutating func element(_ name: String, _ content: String) {
        text += "<\(name)>\(Self.escaped(content))</\(name)>"
    }

    public mutating func element(_ name: String, _ content: some BinaryInteger) { element(name, String(content)) }

    public mutating func element(_ name: String, _ content: Bool) { element(name, content ? "true" : "false") }

    /// An element whose text stands in a CDATA section, or in several where it would end one.
    public mutating func characterDataElement(_ name: String, _ content: String) {
        text += "<\(name)><![CDATA["
        var brackets = 0
        for scalar in content.unicodeScalars {
            // Between two brackets and '>' a section ends and another begins, so that neither has the three in it.
            if scalar == ">", brackets >= 2 { text += "]]><![CDATA[" }
            brackets = scalar == "]" ? brackets + 1 : 0
            text.unicodeScalars.append(Self.representable(scalar))
        }
        text += "]]></\(name)>"
    }

    /// Text in the element that is being written, or in the root.
    public mutating func characters(_ content: String) { text += Self.escaped(content) }

    /// An element with what `body` writes in it.
    public mutating func element(_ name: String, _ body: (inout XMLWriter) -> Void) {
        text += "<\(name)>"
        body(&self)
        text += "</\(name)>"
    }

    /// The document as it stands, closed.
    public var document: String { "\(text)</\(root)>\n" }

    /// The document in UTF-8.
    public var bytes: [UInt8] { Array(document.utf8) }

    /// Text as it may stand in an element or an attribute; what XML 1.0 has no characters for becomes U+FFFD.
    static func escaped(_ content: String) -> String {
        var text = ""
        for scalar in content.unicodeScalars {
            switch scalar {
            case "&": text += "&amp;"
            case "<": text += "&lt;"
            case ">": text += "&gt;"
            case "\"": text += "&quot;"
            case "'": text += "&apos;"
            case "\r": text += "&#13;"
            case "\n", "\t": text.unicodeScalars.append(scalar)
            default: text.unicodeScalars.append(representable(scalar))
            }
        }
        return text
    }

    /// XML 1.0, section 2.2: "Char".
    private static func representable(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
        switch scalar {
        case "\n", "\r", "\t": scalar
        case "\u{0}"..<" ", "\u{FFFE}", "\u{FFFF}": "\u{FFFD}"
        default: scalar
        }
    }
}
