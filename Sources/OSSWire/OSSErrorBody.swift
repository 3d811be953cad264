/// The body of an answer that says what went wrong; that of S3 is alike (OSS, "Error responses").
public struct OSSErrorBody: Hashable, Sendable {
    /// As `NoSuchKey`.
    public var code: String
    public var message: String
    public var requestID: String
    public var hostID: String
    /// A number for people to look up: "do not develop business logic that relies on" it (OSS, "Error responses").
    public var ec: String?
    /// An address that explains the error.
    public var recommendDoc: String?
    /// What else there is, such as `ServerTime` or `StringToSign`, in order.
    public var details: [Detail]

    /// An element of an error body that only some errors have.
    public struct Detail: Hashable, Sendable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    public init(
        code: String, message: String, requestID: String = "", hostID: String = "", ec: String? = nil,
        recommendDoc: String? = nil, details: [Detail] = []
    ) {
        self.code = code
        self.message = message
        self.requestID = requestID
        self.hostID = hostID
        self.ec = ec
        self.recommendDoc = recommendDoc
        self.details = details
    }

    /// Nil where the bytes are no error body; a server that is none of ours may send anything.
    public init?(parsing bytes: [UInt8]) {
        guard let tree = try? XMLTree(parsing: bytes, limits: .init(length: 1 << 20, depth: 8, elements: 1000)) else {
            return nil
        }
        self.init(tree)
    }

    /// Nil where the root is no `Error`, with a code, nor has one in it.
    public init?(_ tree: XMLTree) {
        guard let root = tree.name == "Error" ? tree : tree["Error"], let code = root["Code"]?.text, !code.isEmpty
        else { return nil }
        self.init(code: code, message: root["Message"]?.text ?? "")
        for child in root.children {
            switch child.name {
            case "Code", "Message": break
            case "RequestId": requestID = child.text
            case "HostId": hostID = child.text
            case "EC": ec = child.text
            case "RecommendDoc": recommendDoc = child.text
            default: details.append(Detail(child.name, child.text))
            }
        }
    }

    /// From the value of `x-oss-err`, which stands in for a body in answers that have none.
    public init?(header: String) {
        guard header.utf8.count <= 64 << 10, let bytes = Base64.decode(header) else { return nil }
        self.init(parsing: bytes)
    }

    /// The element of that name among the details.
    public func detail(_ name: String) -> String? { details.first { $0.name == name }?.value }

    /// The document, in UTF-8.
    public var xml: [UInt8] {
        var writer = XMLWriter(root: "Error")
        writer.element("Code", code)
        writer.element("Message", message)
        writer.element("RequestId", requestID)
        writer.element("HostId", hostID)
        for detail in details { writer.element(detail.name, detail.value) }
        if let ec { writer.element("EC", ec) }
        if let recommendDoc { writer.element("RecommendDoc", recommendDoc) }
        return writer.bytes
    }

    /// The value for `x-oss-err`.
    public var headerValue: String { Base64.encode(xml) }
}
