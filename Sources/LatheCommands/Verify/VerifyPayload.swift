internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

/// `lathe.verify/1`: what `verify --output json` prints; `schemas/lathe.verify-1.schema.json` describes it.
struct VerifyPayload: Encodable {
    struct Range: Encodable {
        var start: UInt64
        var length: UInt64
    }

    struct Digests: Encodable {
        var length: UInt64?
        var crc64ecma: String?
        var sha256: String?
        var sha256Tree: String?

        enum CodingKeys: String, CodingKey {
            case length, crc64ecma, sha256
            case sha256Tree = "sha256-tree"
        }

        init?(_ checksums: Checksums?, length: UInt64? = nil) {
            guard checksums != nil || length != nil else { return nil }
            self.length = length
            crc64ecma = checksums.map { String($0.crc64ecma) }
            sha256 = checksums?.sha256
            sha256Tree = checksums?.sha256Tree
        }
    }

    struct Check: Encodable {
        var name: String
        var outcome: String
        var message: String
    }

    struct Part: Encodable {
        var index: Int
        var fileName: String?
        var file: Range
        var expected: String
        var found: String?
        var guests: [Range]?
        var omittedGuests: Int
        var otherBytes: UInt64?

        enum CodingKeys: String, CodingKey {
            case index, file, expected, found, guests
            case fileName = "file-name"
            case omittedGuests = "omitted-guests"
            case otherBytes = "other-bytes"
        }
    }

    struct Differences: Encodable {
        var differingBytes: UInt64
        var sizesDiffer: Bool
        var ranges: [Range]

        enum CodingKeys: String, CodingKey {
            case ranges
            case differingBytes = "differing-bytes"
            case sizesDiffer = "sizes-differ"
        }
    }

    struct Repair: Encodable {
        var repaired: [RepairedPart]
        var remaining: [Int]
        var notes: [String]
    }

    struct RepairedPart: Encodable {
        var index: Int
        var from: String
    }

    struct Image: Encodable {
        var filename: String
        var manifest: String?
        var verdict: String
        var error: String?
        var format: String?
        var virtualSize: UInt64?
        var object: Digests?
        var content: Digests?
        var checks: [Check]
        var damagedParts: [Part]
        var differences: Differences?
        var repair: Repair?

        enum CodingKeys: String, CodingKey {
            case filename, manifest, verdict, error, format, object, content, checks, differences, repair
            case virtualSize = "virtual-size"
            case damagedParts = "damaged-parts"
        }
    }

    var schema = "lathe.verify/1"
    var verdict: VerificationReport.Verdict
    var images: [Image]

    enum CodingKeys: CodingKey {
        case schema, verdict, images
    }

    /// The verdict over all is that of the worst image.
    init(_ results: [VerifyResult]) {
        let verdicts = results.map(\.verdict)
        verdict = verdicts.contains(.damaged) ? .damaged : verdicts.contains(.undecided) ? .undecided : .whole
        images = results.map(Image.init)
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(schema, forKey: .schema)
        try container.encode(verdict.rawValue, forKey: .verdict)
        try container.encode(images, forKey: .images)
    }
}

extension VerifyPayload.Image {
    fileprivate init(_ result: VerifyResult) {
        let report = result.report
        filename = result.path
        manifest = result.manifestPath
        verdict = result.verdict.rawValue
        error = result.error.map { "\($0)" }
        format = report?.format.rawValue
        virtualSize = report?.virtualSize
        object = report.flatMap { VerifyPayload.Digests($0.object, length: $0.objectLength) }
        content = VerifyPayload.Digests(report?.content)
        checks = (report?.checks ?? []).map {
            VerifyPayload.Check(name: $0.subject.rawValue, outcome: $0.outcome.rawValue, message: $0.message)
        }
        damagedParts = (report?.damagedParts ?? []).map { part in
            VerifyPayload.Part(
                index: part.index, fileName: part.fileName,
                file: .init(start: part.file.start.bytes, length: part.file.length),
                expected: String(part.expected), found: part.found.map { String($0) },
                guests: part.guests.map { $0.map(VerifyPayload.Range.init) }, omittedGuests: part.omittedGuests,
                otherBytes: part.otherBytes)
        }
        differences = report?.differences.map {
            VerifyPayload.Differences(
                differingBytes: $0.differingBytes, sizesDiffer: $0.sizesDiffer,
                ranges: $0.ranges.map(VerifyPayload.Range.init))
        }
        repair = result.repair.map { repair in
            VerifyPayload.Repair(
                repaired: repair.repaired.sorted { $0.key < $1.key }.map { .init(index: $0.key, from: $0.value) },
                remaining: repair.remaining, notes: repair.notes)
        }
    }
}

extension VerifyPayload.Range {
    fileprivate init(_ range: GuestRange) { self.init(start: range.start.bytes, length: range.length) }
}
