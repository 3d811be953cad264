/// Why a text is not the XML that is read here.
public struct XMLError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was found, and what was expected.
    public var message: String
    /// Where, in bytes from the start of the text.
    public var offset: Int

    public var description: String { "\(message) at byte \(offset)" }
}

/// An element with what is in it: as much of XML as the bodies of OSS and S3 have.
///
/// There is no way to another document or to an expansion: a document type declaration is an error, and with it every
/// entity but the five of XML itself. Attributes are checked and dropped, and so are prefixes of names, comments and
/// processing instructions.
public struct XMLTree: Hashable, Sendable {
    /// Without a prefix.
    public var name: String
    /// The characters of the element itself, as they are; empty where it has children.
    public var text: String
    public var children: [XMLTree]

    public init(_ name: String, text: String = "", children: [XMLTree] = []) {
        self.name = name
        self.text = text
        self.children = children
    }

    /// What a document may take.
    public struct Limits: Hashable, Sendable {
        /// Of the whole text, in bytes.
        public var length: Int
        public var depth: Int
        /// The number of elements.
        public var elements: Int

        public init(length: Int = 16 << 20, depth: Int = 16, elements: Int = 100_000) {
            self.length = length
            self.depth = depth
            self.elements = elements
        }
    }

    /// The root element of a document in UTF-8.
    ///
    /// - Throws: where the bytes are not well-formed XML, have a document type declaration, or are beyond the limits.
    public init(parsing bytes: [UInt8], limits: Limits = Limits()) throws(XMLError) {
        var parser = XMLParser(bytes: bytes, limits: limits)
        self = try parser.document()
    }

    /// The first child of that name.
    public subscript(name: String) -> XMLTree? { children.first { $0.name == name } }

    /// All children of that name.
    public func all(_ name: String) -> [XMLTree] { children.filter { $0.name == name } }
}

/// Reads one document from its start to its end, one byte at a time.
private struct XMLParser {
    let bytes: [UInt8]
    let limits: XMLTree.Limits
    var position = 0
    var elements = 0

    init(bytes: [UInt8], limits: XMLTree.Limits) {
        self.bytes = bytes
        self.limits = limits
    }

    mutating func document() throws(XMLError) -> XMLTree {
        guard bytes.count <= limits.length else {
            throw error("the document has \(bytes.count) bytes, and at most \(limits.length) are read")
        }
        // A byte order mark.
        if starts(with: "\u{FEFF}") { position += 3 }
        try skipBetweenElements()
        guard starts(with: "<") else { throw error("an element was expected") }
        let root = try element(depth: 1)
        try skipBetweenElements()
        guard position == bytes.count else { throw error("nothing was expected behind the root element") }
        return root
    }

    /// White space, comments, processing instructions and the XML declaration.
    private mutating func skipBetweenElements() throws(XMLError) {
        while true {
            skipSpace()
            guard try skipCommentOrInstruction() else { return }
        }
    }

    private mutating func skipCommentOrInstruction() throws(XMLError) -> Bool {
        if starts(with: "<!--") {
            position += 4
            try skip(through: "-->", of: "a comment")
        } else if starts(with: "<?") {
            position += 2
            try skip(through: "?>", of: "a processing instruction")
        } else {
            return false
        }
        return true
    }

    /// The element whose `<` is next.
    private mutating func element(depth: Int) throws(XMLError) -> XMLTree {
        guard depth <= limits.depth else { throw error("elements are nested deeper than \(limits.depth)") }
        elements += 1
        guard elements <= limits.elements else { throw error("there are more than \(limits.elements) elements") }
        if starts(with: "<!") {
            throw error("a document type declaration, or another declaration, is not taken")
        }
        position += 1
        let fullName = try name()
        var tree = XMLTree(localPart(of: fullName))
        if try !attributes() {
            try content(into: &tree, endingWith: fullName, depth: depth)
        }
        return tree
    }

    /// Reads attributes up to the end of the tag, and answers whether the element ends with it.
    private mutating func attributes() throws(XMLError) -> Bool {
        while true {
            let before = position
            skipSpace()
            if take(">") { return false }
            if take("/>") { return true }
            guard position > before else { throw error("'>', '/>' or white space was expected in a tag") }
            _ = try name()
            skipSpace()
            guard take("=") else { throw error("'=' was expected behind an attribute's name") }
            skipSpace()
            guard let quote = next, quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") else {
                throw error("a quotation mark was expected before an attribute's value")
            }
            position += 1
            while let byte = next, byte != quote {
                guard byte != UInt8(ascii: "<") else { throw error("'<' stands in an attribute's value") }
                position += 1
            }
            guard next != nil else { throw error("the document ends in an attribute's value") }
            position += 1
        }
    }

    private mutating func content(
        into tree: inout XMLTree, endingWith fullName: String, depth: Int
    ) throws(XMLError) {
        var text: [UInt8] = []
        while let byte = next {
            if byte == UInt8(ascii: "&") {
                try reference(into: &text)
            } else if byte != UInt8(ascii: "<") {
                text.append(byte)
                position += 1
            } else if take("</") {
                guard try name() == fullName else { throw error("'</\(fullName)>' was expected") }
                skipSpace()
                guard take(">") else { throw error("'>' was expected behind '</\(fullName)'") }
                if tree.children.isEmpty { tree.text = try string(text) }
                return
            } else if take("<![CDATA[") {
                let start = position
                try skip(through: "]]>", of: "a CDATA section")
                text += bytes[start..<(position - 3)]
            } else if try !skipCommentOrInstruction() {
                tree.children.append(try element(depth: depth + 1))
                // What stands between elements is white space for people's eyes.
                text.removeAll()
            }
        }
        throw error("the document ends inside '\(fullName)'")
    }

    /// `&amp;` and its kind, or a character's number.
    private mutating func reference(into text: inout [UInt8]) throws(XMLError) {
        let start = position
        while let byte = next, byte != UInt8(ascii: ";"), position - start < 12 { position += 1 }
        guard next == UInt8(ascii: ";") else { throw error("';' was expected at the end of a reference") }
        let name = String(decoding: bytes[(start + 1)..<position], as: UTF8.self)
        position += 1
        if let character = ["amp": "&", "lt": "<", "gt": ">", "quot": "\"", "apos": "'"][name] {
            text += character.utf8
            return
        }
        let number: UInt32? =
            if name.hasPrefix("#x") { UInt32(name.dropFirst(2), radix: 16) } else if name.hasPrefix("#") {
                UInt32(name.dropFirst(1))
            } else { nil }
        guard let scalar = number.flatMap(Unicode.Scalar.init), scalar.value != 0 else {
            throw error("'&\(name);' is neither an entity of XML itself nor a character's number")
        }
        text += String(Character(scalar)).utf8
    }

    private mutating func name() throws(XMLError) -> String {
        let start = position
        while let byte = next, isNameByte(byte) { position += 1 }
        guard position > start else { throw error("a name was expected") }
        guard position - start <= 256 else { throw error("a name is longer than 256 bytes") }
        return try string(bytes[start..<position])
    }

    private func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: ":"), 0x80...:
            true
        default: false
        }
    }

    private func localPart(of name: String) -> String {
        name.split(separator: ":", omittingEmptySubsequences: false).last.map(String.init) ?? name
    }

    private func string(_ bytes: some Collection<UInt8>) throws(XMLError) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw error("the text is not UTF-8") }
        return text
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private func starts(with text: String) -> Bool {
        let length = text.utf8.count
        guard bytes.count - position >= length else { return false }
        return text.utf8.elementsEqual(bytes[position..<(position + length)])
    }

    private mutating func take(_ text: String) -> Bool {
        guard starts(with: text) else { return false }
        position += text.utf8.count
        return true
    }

    private mutating func skip(through end: String, of what: String) throws(XMLError) {
        while position < bytes.count {
            if take(end) { return }
            position += 1
        }
        throw error("the document ends inside \(what)")
    }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { position += 1 }
    }

    private func error(_ message: String) -> XMLError { XMLError(message: message, offset: position) }
}
