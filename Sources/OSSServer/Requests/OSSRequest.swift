internal import Hummingbird
internal import OSSWire
internal import ObjectStorage

/// A request as the operations see it.
struct OSSRequest: Sendable {
    /// What answers and logs call it: 24 hexadecimal digits in capitals.
    let id: String
    /// When it arrived, in seconds since 1970-01-01 UTC.
    let arrived: UInt64
    /// What of it is signed, which is all but the host and the body.
    let wire: WireRequest
    let body: RequestBody
    /// What its sender may do beside what was asked when it came in.
    var permit = Permit.everything

    var method: String { wire.method }

    /// The value of a header field; nil where it is not there.
    func field(_ name: String) -> String? { wire.header(name) }

    /// The value of a query item, empty where it has none; nil where it is not there.
    func parameter(_ name: String) -> String? { wire.queryItem(name).map { $0.value ?? "" } }

    func hasParameter(_ name: String) -> Bool { wire.queryItem(name) != nil }

    /// A number in the query; the vendor's older client sends markers that it has not as empty ones.
    func number(_ name: String, _ range: ClosedRange<Int>) throws(OSSFailure) -> Int? {
        guard let text = parameter(name), !text.isEmpty else { return nil }
        guard let number = decimal(text), let value = Int(exactly: number), range.contains(value) else {
            throw .invalidArgument(
                "\(name) is a number from \(range.lowerBound) to \(range.upperBound).", name: name, value: text)
        }
        return value
    }

    /// `true` or `false` in a header field, which is absent for false.
    func flag(_ name: String) throws(OSSFailure) -> Bool {
        switch field(name)?.lowercased() {
        case nil, "false": return false
        case "true": return true
        case let other?: throw .invalidArgument("\(name) is true or false.", name: name, value: other)
        }
    }

    /// What `Content-Length` says.
    var contentLength: UInt64? { field(HeaderName.contentLength).flatMap { decimal($0) } }

    var isChunked: Bool { field("Transfer-Encoding")?.lowercased().hasSuffix("chunked") ?? false }
}

extension OSSRequest {
    /// The body's bytes, at most `limit`.
    func collectBody(upTo limit: Int) async throws -> [UInt8] {
        var reader = try BodyReader(body, announced: contentLength, limit: UInt64(limit))
        return try await reader.collect()
    }

    /// The body as an XML document whose root has one of the names.
    func collectXML(root names: String..., upTo limit: Int = 64 << 10) async throws -> XMLTree {
        let bytes = try await collectBody(upTo: limit)
        try ContentMD5(self)?.require(of: bytes)
        do {
            // No body here nests deeper than four, and the longest, of 10,000 parts, has three elements a part.
            let tree = try XMLTree(parsing: bytes, limits: .init(length: limit, depth: 8, elements: 60_000))
            guard names.contains(tree.name) else {
                throw OSSFailure.malformedXML(
                    "The XML you provided has the root '\(tree.name)', expected '\(names.joined(separator: "' or '"))'."
                )
            }
            return tree
        } catch let error as XMLError {
            throw OSSFailure.malformedXML("The XML you provided was not well-formed: \(error.message).")
        }
    }
}
