internal import OSSWire
internal import ObjectStorage

/// A page of a list as the server answers it; OSS and S3 name nearly everything alike.
struct BucketListing {
    private let root: XMLTree
    /// Whether keys are escaped.
    private let isEncoded: Bool
    private let plusIsSpace: Bool

    init(_ root: XMLTree, plusIsSpace: Bool) {
        self.root = root
        self.plusIsSpace = plusIsSpace
        isEncoded = root["EncodingType"]?.text.lowercased() == "url"
    }

    /// Whether there is a page behind this one.
    var isTruncated: Bool { root["IsTruncated"]?.text == "true" }

    /// The text of an element that may be escaped, nil where it is not there or empty.
    func marker(_ name: String) throws(StoreError) -> String? {
        guard let text = root[name]?.text, !text.isEmpty else { return nil }
        return try decoded(text)
    }

    private func decoded(_ text: String) throws(StoreError) -> String {
        guard isEncoded else { return text }
        guard let plain = PercentEncoding.decode(text, plusIsSpace: plusIsSpace) else {
            throw wrong("a key that is not escaped as it says, '\(printable(text))'")
        }
        return plain
    }

    private func wrong(_ what: String) -> StoreError {
        StoreError(.malformedAnswer, "the list '\(printable(root.name, atMost: 60))' has \(what)")
    }

    private func text(_ name: String, of element: XMLTree) throws(StoreError) -> String {
        guard let text = element[name]?.text else { throw wrong("a '\(element.name)' without '\(name)'") }
        return text
    }

    private func number(_ name: String, of element: XMLTree) throws(StoreError) -> UInt64 {
        let text = try text(name, of: element)
        guard let number = UInt64(text) else { throw wrong("a '\(name)' of '\(printable(text, atMost: 60))'") }
        return number
    }

    private func time(_ name: String, of element: XMLTree) throws(StoreError) -> UInt64 {
        let text = try text(name, of: element)
        guard let time = ISO8601.parse(text) else { throw wrong("a '\(name)' of '\(printable(text, atMost: 60))'") }
        return time
    }

    func objects() throws(StoreError) -> ObjectPage {
        var page = ObjectPage(entries: [], isTruncated: isTruncated)
        for element in root.all("Contents") {
            page.entries.append(
                ObjectPage.Entry(
                    key: try decoded(text("Key", of: element)), length: try number("Size", of: element),
                    tag: unquoted(try text("ETag", of: element)), modified: try time("LastModified", of: element)))
        }
        guard !page.isTruncated || !page.entries.isEmpty else { throw wrong("nothing in it, and goes on") }
        return page
    }

    /// In ascending order; of a number that is there twice, as SeaweedFS has a part that was sent again, the later part.
    func parts() throws(StoreError) -> [StoredPart] {
        var parts: [StoredPart] = []
        var modified: UInt64 = 0
        for element in root.all("Part") {
            guard let number = Int(exactly: try number("PartNumber", of: element)) else {
                throw wrong("a number too large")
            }
            let part = StoredPart(
                number: number, length: try self.number("Size", of: element),
                tag: unquoted(try text("ETag", of: element)),
                crc64: element["HashCrc64ecma"].flatMap { UInt64($0.text) })
            let time = element["LastModified"].flatMap { ISO8601.parse($0.text) } ?? 0
            guard let last = parts.last?.number, number <= last else {
                parts.append(part)
                modified = time
                continue
            }
            guard number == last else { throw wrong("parts that are not in order") }
            guard time >= modified else { continue }
            parts[parts.count - 1] = part
            modified = time
        }
        return parts
    }

    /// Uploads of keys that can be objects' keys here; no others are ours.
    func uploads() throws(StoreError) -> [MultipartUpload] {
        var uploads: [MultipartUpload] = []
        for element in root.all("Upload") {
            guard let key = try? ObjectKey(decoded(text("Key", of: element))) else { continue }
            uploads.append(
                MultipartUpload(
                    key: key, id: try text("UploadId", of: element),
                    initiated: element["Initiated"].flatMap { ISO8601.parse($0.text) }))
        }
        return uploads
    }
}
