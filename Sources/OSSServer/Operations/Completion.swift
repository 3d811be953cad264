internal import OSSWire
internal import ObjectStorage

extension ObjectService {
    /// CompleteMultipartUpload; it goes on even where the client goes away.
    func completeUpload(_ request: OSSRequest) async throws -> Answer {
        let upload = try upload(request)
        let replacing = try !request.flag(HeaderName.ossForbidOverwrite)
        let encoding = try ListingEncoding(request)
        let acl = try ObjectFields.acl(request)
        let wanted = try await wantedParts(request)
        let object = try await withBucket(request) { bucket in
            let stored = try bucket.parts(of: upload)
            return try bucket.complete(
                upload, parts: Self.parts(wanted, of: stored), replacing: replacing,
                leastPartLength: MultipartLimits.oss.leastPartLength, acl: acl)
        }
        var xml = XMLWriter(root: "CompleteMultipartUploadResult")
        encoding.announce(in: &xml)
        xml.element("Location", "http://\(request.field(HeaderName.host) ?? "")\(Self.path(request))")
        xml.element("Bucket", request.wire.bucket ?? "")
        xml.element("Key", encoding.text(upload.key.description))
        xml.element("ETag", "\"\(object.tag)\"")
        var answer = Answer(xml: xml, [(HeaderName.eTag, "\"\(object.tag)\"")])
        answer.add(HeaderName.ossHashCRC64, object.crc64.map { "\($0)" })
        return answer
    }

    private static func path(_ request: OSSRequest) -> String {
        PercentEncoding.encode("/\(request.wire.bucket ?? "")/\(request.wire.key ?? "")", keepingSlashes: true)
    }

    /// The parts that the body names; nil for all that are there, which `x-oss-complete-all: yes` asks for.
    private func wantedParts(_ request: OSSRequest) async throws -> [WantedPart]? {
        if let all = request.field("x-oss-complete-all") {
            guard all.lowercased() == "yes" else {
                throw OSSFailure.invalidArgument(
                    "x-oss-complete-all is yes, or left out.", name: "x-oss-complete-all", value: all)
            }
            guard try await request.collectBody(upTo: 64 << 10).isEmpty else {
                throw OSSFailure.invalidArgument("With x-oss-complete-all, the request has no body.")
            }
            return nil
        }
        // 10,000 parts, each with some 120 bytes, which clients indent as they like.
        let tree = try await request.collectXML(root: "CompleteMultipartUpload", upTo: 4 << 20)
        return try WantedPart.parts(of: tree)
    }

    /// The stored parts that make the object.
    private static func parts(_ wanted: [WantedPart]?, of stored: [StoredPart]) throws(OSSFailure) -> [StoredPart] {
        let byNumber = Dictionary(stored.map { ($0.number, $0) }, uniquingKeysWith: { first, _ in first })
        var parts: [StoredPart] = []
        if let wanted {
            for part in wanted {
                guard let found = byNumber[part.number], found.tag.lowercased() == part.tag.lowercased() else {
                    throw OSSFailure(
                        400, "InvalidPart",
                        "One or more of the specified parts could not be found or the specified entity tag might not have "
                            + "matched the part's entity tag.",
                        details: [("PartNumber", "\(part.number)"), ("PartEtag", part.tag)])
                }
                parts.append(found)
            }
        } else {
            parts = stored
        }
        guard !parts.isEmpty else { throw .malformedXML("An object is made of one part or more, and there is none.") }
        for part in parts.dropLast() where part.length < MultipartLimits.oss.leastPartLength {
            throw OSSFailure(
                400, "EntityTooSmall", "Your proposed upload smaller than the minimum allowed size.",
                ec: "0042-00000213",
                details: [
                    ("MinSizeAllowed", "\(MultipartLimits.oss.leastPartLength)"), ("ProposedSize", "\(part.length)"),
                    ("PartNumber", "\(part.number)"),
                ])
        }
        return parts
    }
}

/// A part as the body of a completion names it.
private struct WantedPart: Sendable {
    var number: Int
    var tag: String

    /// - Throws: `MalformedXML`; `InvalidPartOrder` where the numbers do not ascend.
    static func parts(of tree: XMLTree) throws(OSSFailure) -> [WantedPart] {
        var parts: [WantedPart] = []
        for part in tree.all("Part") {
            guard let number = part["PartNumber"].flatMap({ decimal($0.text.trimmingBlanks) }),
                (1...MultipartLimits.oss.partCount).contains(Int(clamping: number)), let tag = part["ETag"]?.text
            else {
                throw .malformedXML(
                    "The XML you provided has a Part without a PartNumber from 1 to \(MultipartLimits.oss.partCount) or "
                        + "without an ETag.")
            }
            let next = WantedPart(number: Int(number), tag: tag.trimmingBlanks.trimmingQuotes)
            if let last = parts.last, last.number >= next.number {
                throw OSSFailure(
                    400, "InvalidPartOrder",
                    "The list of parts was not in ascending order. The parts list must be specified in order by part number.",
                    ec: "0042-00000209")
            }
            parts.append(next)
        }
        return parts
    }
}
