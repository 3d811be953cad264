internal import OSSWire

/// How keys stand in a list: as they are, or escaped where the client asks for it, since not every key is XML.
struct ListingEncoding {
    private let isURL: Bool

    init(_ request: OSSRequest) throws(OSSFailure) {
        switch request.parameter("encoding-type") {
        case nil, "": isURL = false
        case "url": isURL = true
        case let other?:
            throw .invalidArgument("encoding-type is url, or left out.", name: "encoding-type", value: other)
        }
    }

    func text(_ key: String) -> String { isURL ? PercentEncoding.encode(key) : key }

    func announce(in xml: inout XMLWriter) {
        if isURL { xml.element("EncodingType", "url") }
    }
}
