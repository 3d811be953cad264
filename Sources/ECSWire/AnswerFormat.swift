public import OSSWire

/// How an answer is written.
public enum AnswerFormat: Hashable, Sendable {
    case xml
    case json

    /// To the letter: the vendor's newer client reads an error as XML for this one alone, and else as JSON.
    public var contentType: String {
        switch self {
        case .xml: "text/xml;charset=utf-8"
        case .json: "application/json;charset=utf-8"
        }
    }

    /// What a request asks for.
    ///
    /// - Throws: `InvalidParameter` where `Format` is neither.
    public init(_ message: RPCMessage) throws(APIError) {
        guard let name = message.parameters["Format"], !name.isEmpty else {
            self = Self.preferred(message.headers)
            return
        }
        guard let format = Self.named(name) else { throw .invalidParameter("Format", "it is XML or JSON") }
        self = format
    }

    /// What a request that may be malformed seems to ask for; it decides how it is told so.
    ///
    /// - Parameter query: still escaped.
    public init(guessing query: String, _ headers: [HeaderField]) {
        let named = query.split(separator: "&").lazy.filter { $0.hasPrefix("Format=") }
            .compactMap { Self.named(String($0.dropFirst("Format=".count))) }.first
        self = named ?? Self.preferred(headers)
    }

    private static func named(_ name: String) -> AnswerFormat? {
        switch name.lowercased() {
        case "xml": .xml
        case "json": .json
        default: nil
        }
    }

    /// Clients of version 3 of the signature expect JSON unless they accept XML alone; all others XML.
    private static func preferred(_ headers: [HeaderField]) -> AnswerFormat {
        func value(_ name: String) -> String? { headers.first { $0.name.lowercased() == name }?.value.lowercased() }
        guard value("authorization")?.hasPrefix("acs3-") ?? false else { return .xml }
        let accepted = value("accept") ?? ""
        return accepted.contains("xml") && !accepted.contains("json") ? .xml : .json
    }
}
