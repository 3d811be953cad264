internal import OSSWire

/// The body of an answer that says what went wrong.
public struct APIErrorBody: Hashable, Sendable {
    /// As `InvalidImageId.NotFound`.
    public var code: String
    public var message: String
    public var requestID: String
    /// The host that the client talked to.
    public var hostID: String

    public init(_ error: APIError, requestID: String, hostID: String) {
        code = error.code
        message = error.message
        self.requestID = requestID
        self.hostID = hostID
    }

    /// An address that explains the error, as the vendor's gateway has it.
    public var recommend: String {
        "https://error-center.aliyun.com/status/search?Keyword=\(PercentEncoding.encode(code))&source=PopGw"
    }

    public func rendered(as format: AnswerFormat) -> [UInt8] {
        switch format {
        case .xml:
            var writer = XMLWriter(root: "Error")
            writer.element("RequestId", requestID)
            writer.element("HostId", hostID)
            writer.element("Code", code)
            writer.element("Message", message)
            writer.characterDataElement("Recommend", recommend)
            return writer.bytes
        case .json:
            var writer = JSONWriter()
            writer.write([
                ("RequestId", .text(requestID)), ("Message", .text(message)), ("Recommend", .text(recommend)),
                ("HostId", .text(hostID)), ("Code", .text(code)),
            ])
            return writer.bytes
        }
    }
}
