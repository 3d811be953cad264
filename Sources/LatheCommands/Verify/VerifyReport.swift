internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

/// What is known of one image after `verify`.
struct VerifyResult {
    var path: String
    var manifestPath: String?
    /// nil where it could not be found out; `error` says why.
    var report: VerificationReport?
    var repair: RepairReport?
    var error: ImageError?

    init(path: String, manifestPath: String?) {
        self.path = path
        self.manifestPath = manifestPath
    }

    var verdict: VerificationReport.Verdict { error == nil ? report?.verdict ?? .undecided : .undecided }

    /// A line for the verdict, one for each check, and where the damage is.
    var text: String {
        var lines = ["\(path): \(Self.words(for: verdict))"]
        guard let report else { return lines[0] }
        for check in report.checks {
            let outcome =
                check.outcome == .notApplicable ? "-" : check.outcome == .failed ? "FAILED" : check.outcome.rawValue
            lines.append(
                "  " + Rendering.padded(check.subject.rawValue, 20) + Rendering.padded(outcome, 10) + check.message)
        }
        if !report.checks.contains(where: { $0.subject == .object || $0.subject == .source }) {
            lines.append("  The content is not proved: give --manifest or --source.")
        }
        lines += report.findings.filter { $0.kind == .corruption }.prefix(Self.toldLines).map { "  \($0)" }
        lines += report.damagedParts.prefix(Self.toldLines).flatMap(Self.lines)
        if report.damagedParts.count > Self.toldLines {
            lines.append(
                "  … and \(report.damagedParts.count - Self.toldLines) more damaged parts; --output json has them all")
        }
        if let differences = report.differences, !differences.ranges.isEmpty {
            lines.append("  differs at guest bytes " + Self.text(differences.ranges))
        }
        if let repair {
            lines += repair.repaired.sorted { $0.key < $1.key }.prefix(Self.toldLines).map {
                "  repaired part \($0.key) from \($0.value)"
            }
            lines += repair.remaining.prefix(Self.toldLines).map { "  part \($0) could not be repaired" }
            lines += repair.notes.map { "  \($0)" }
        }
        return lines.joined(separator: "\n")
    }

    private static let toldLines = 20
    private static let toldRanges = 8

    private static func words(for verdict: VerificationReport.Verdict) -> String {
        switch verdict {
        case .whole: "whole"
        case .undecided: "can't tell"
        case .damaged: "DAMAGED"
        }
    }

    private static func lines(_ part: DamagedPart) -> [String] {
        let state = part.found == nil ? "missing" : "damaged"
        let place =
            (part.fileName.map { $0 + ", " } ?? "file ") + "bytes " + text(part.file.start.bytes, part.file.length)
        var lines = ["  \(state) part \(part.index): \(place)"]
        guard let guests = part.guests else {
            return lines + ["    which guest bytes it carries can't be told: the tables can't be read"]
        }
        if guests.isEmpty {
            lines.append("    carries no guest bytes")
        } else {
            let more = part.omittedGuests > 0 ? " and \(part.omittedGuests) ranges more" : ""
            lines.append("    carries guest bytes " + text(guests) + more)
        }
        if let other = part.otherBytes, other > 0 {
            lines.append(
                "    \(other) of its bytes are tables or gaps; if tables are damaged, guest bytes may be others")
        }
        return lines
    }

    private static func text(_ ranges: [GuestRange]) -> String {
        let told = ranges.prefix(toldRanges).map { text($0.start.bytes, $0.length) }.joined(separator: ", ")
        return ranges.count > toldRanges ? told + ", … (\(ranges.count) ranges)" : told
    }

    private static func text(_ start: UInt64, _ length: UInt64) -> String { "\(start)..<\(start + length)" }
}
