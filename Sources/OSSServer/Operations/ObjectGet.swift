internal import OSSWire
internal import ObjectStorage

extension ObjectService {
    /// GetObject.
    func getObject(_ request: OSSRequest) async throws -> Answer {
        let key = try key(request)
        let reader = try await withBucket(request) { try $0.open(key) }
        let object = reader.summary
        if let answer = try Self.answerByCondition(request, object) { return answer }
        let isStandard = request.field("x-oss-range-behavior")?.lowercased() == "standard"
        var answer = Answer(200, ObjectFields.describe(object))
        let range: Range<UInt64>
        switch ByteRange.choose(request.field(HeaderName.range), length: object.length, isStandard: isStandard) {
        case .whole: range = 0..<object.length
        case .part(let part):
            range = part
            answer.status = 206
            answer.add(HeaderName.contentRange, "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(object.length)")
        case .unsatisfiable:
            throw OSSFailure(
                416, "InvalidRange", "The requested range cannot be satisfied",
                details: [
                    ("RangeRequested", request.field(HeaderName.range) ?? ""), ("ActualObjectSize", "\(object.length)"),
                ])
        }
        try Self.overrideFields(of: &answer, request)
        let start = range.lowerBound
        answer.body = .object(
            ObjectStream(length: range.upperBound - start) { piece in
                try reader.read((start + piece.lowerBound)..<(start + piece.upperBound))
            })
        return answer
    }

    /// HeadObject.
    func headObject(_ request: OSSRequest) async throws -> Answer {
        let key = try key(request)
        // Unlike to read it, to ask for it is worth a CRC-64 where none is known.
        let object = try await withBucket(request) { try $0.head(key) }
        if let answer = try Self.answerByCondition(request, object) { return answer }
        var answer = Answer(200, ObjectFields.describe(object))
        answer.add(HeaderName.contentLength, "\(object.length)")
        return answer
    }

    /// GetObjectMeta: the few fields of an object that cost least.
    func objectMeta(_ request: OSSRequest) async throws -> Answer {
        let key = try key(request)
        let object = try await withBucket(request) { try $0.head(key) }
        var answer = Answer(
            200,
            [
                (HeaderName.eTag, "\"\(object.tag)\""), (HeaderName.lastModified, HTTPDate.format(object.modified)),
                (HeaderName.contentLength, "\(object.length)"),
            ])
        answer.add(HeaderName.ossHashCRC64, object.crc64.map { "\($0)" })
        return answer
    }

    /// The answer where a condition of the request decides it.
    private static func answerByCondition(_ request: OSSRequest, _ object: ObjectSummary) throws(OSSFailure) -> Answer?
    {
        switch Preconditions(request).verdict(on: object) {
        case .met: return nil
        case .notModified:
            return Answer(
                304,
                [(HeaderName.eTag, "\"\(object.tag)\""), (HeaderName.lastModified, HTTPDate.format(object.modified))])
        case .failed(let condition): throw .preconditionFailed(condition)
        }
    }

    /// `response-content-type` and its kind (OSS, "GetObject", request parameters).
    private static func overrideFields(of answer: inout Answer, _ request: OSSRequest) throws(OSSFailure) {
        for name in [HeaderName.contentType] + ObjectFields.servedFields {
            let parameter = "response-\(name.lowercased())"
            guard let value = request.parameter(parameter) else { continue }
            guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
                throw .invalidArgument("A header has no control characters.", name: parameter)
            }
            answer.fields.removeAll { $0.name == name }
            answer.add(name, value)
        }
    }
}
