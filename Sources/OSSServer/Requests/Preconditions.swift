internal import OSSWire
internal import ObjectStorage

/// The conditions of a request on an object: fields of the same meaning stand under other names for the source of a copy.
struct Preconditions {
    var match: String?
    var noneMatch: String?
    var modifiedSince: UInt64?
    var unmodifiedSince: UInt64?

    enum Verdict: Hashable {
        case met
        case notModified
        case failed(String)
    }

    /// - Parameter prefix: empty, or `x-oss-copy-source-`.
    init(_ request: OSSRequest, prefix: String = "") {
        match = request.field(prefix + "if-match")
        noneMatch = request.field(prefix + "if-none-match")
        // A time that can't be read is no condition (RFC 9110, section 13.1.3).
        modifiedSince = request.field(prefix + "if-modified-since").flatMap(HTTPDate.parse)
        unmodifiedSince = request.field(prefix + "if-unmodified-since").flatMap(HTTPDate.parse)
    }

    /// In the order of RFC 9110, section 13.2.2: a condition on the tag stands before the one on the time.
    func verdict(on object: ObjectSummary) -> Verdict {
        if let match {
            guard Self.names(match, object.tag) else { return .failed("If-Match") }
        } else if let unmodifiedSince, object.modified > unmodifiedSince {
            return .failed("If-Unmodified-Since")
        }
        if let noneMatch {
            return Self.names(noneMatch, object.tag) ? .notModified : .met
        }
        if let modifiedSince, object.modified <= modifiedSince { return .notModified }
        return .met
    }

    /// Whether a list of tags, quoted or not, has one; hexadecimal digits are the same in both cases.
    private static func names(_ list: String, _ tag: String) -> Bool {
        list.split(separator: ",").contains { item in
            let name = item.trimmingBlanks
            return name == "*" || name.trimmingQuotes.lowercased() == tag.lowercased()
        }
    }
}

extension StringProtocol {
    /// Without spaces and tabs at either end.
    var trimmingBlanks: String {
        let isBlank = { (character: Character) in character == " " || character == "\t" }
        let tail = self.drop(while: isBlank)
        return String(String(tail.reversed().drop(while: isBlank).reversed()))
    }

    /// Without the quotation marks around it, and without the `W/` of a weak tag.
    var trimmingQuotes: String {
        var text = Substring(self)
        if text.hasPrefix("W/") { text = text.dropFirst(2) }
        if text.count >= 2, text.first == "\"", text.last == "\"" { text = text.dropFirst().dropLast() }
        return String(text)
    }
}
