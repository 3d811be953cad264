internal import OSSWire

/// What a request is answered: everything but what every answer carries (`Connection`).
struct Answer: Sendable {
    enum Body: Sendable {
        case empty
        case bytes([UInt8])
        /// So many bytes of an object, read while they are sent.
        case object(ObjectStream)
    }

    var status: Int
    var fields: [(name: String, value: String)] = []
    var body: Body = .empty

    init(_ status: Int = 200, _ fields: [(name: String, value: String)] = [], body: Body = .empty) {
        self.status = status
        self.fields = fields
        self.body = body
    }

    /// An XML document.
    init(_ status: Int = 200, xml: XMLWriter, _ fields: [(name: String, value: String)] = []) {
        self.init(status, fields + [(HeaderName.contentType, "application/xml")], body: .bytes(xml.bytes))
    }

    mutating func add(_ name: String, _ value: String?) {
        if let value { fields.append((name, value)) }
    }
}

/// A stretch of bytes that comes from the store piece by piece.
struct ObjectStream: Sendable {
    /// In bytes.
    let length: UInt64
    /// Reads a range of the stretch; it blocks.
    let read: @Sendable (Range<UInt64>) throws -> [UInt8]
}
