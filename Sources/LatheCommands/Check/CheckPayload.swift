internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

/// What `check` says, with the keys of `qemu-img`, and the findings beside.
struct CheckPayload: Encodable {
    struct Finding: Encodable {
        var kind: String
        var message: String
        var found: String?
        var expected: String?
        var fileOffset: UInt64?
        var guestOffset: UInt64?
        /// For people.
        var text: String

        enum CodingKeys: String, CodingKey {
            case kind, message, found, expected
            case fileOffset = "file-offset"
            case guestOffset = "guest-offset"
        }
    }

    var filename: String
    var format: String
    var checkErrors: Int
    var corruptions: Int
    var leaks: Int
    var warnings: Int
    var totalClusters: UInt64
    var allocatedClusters: UInt64
    var compressedClusters: UInt64
    var fragmentedClusters: UInt64
    var imageEndOffset: UInt64
    var findings: [Finding]
    /// nil where there is none.
    var remarks: [String]?
    /// Only after a repair: what is gone, how, and where the repaired image is; nil where nothing was written.
    var leaksFixed: Int?
    var corruptionsFixed: Int?
    var repairs: [String]?
    var repaired: String?
    var fingerprint: String?

    enum CodingKeys: String, CodingKey {
        case filename, format, corruptions, leaks, warnings, findings, remarks, repairs, repaired, fingerprint
        case leaksFixed = "leaks-fixed"
        case corruptionsFixed = "corruptions-fixed"
        case checkErrors = "check-errors"
        case totalClusters = "total-clusters"
        case allocatedClusters = "allocated-clusters"
        case compressedClusters = "compressed-clusters"
        case fragmentedClusters = "fragmented-clusters"
        case imageEndOffset = "image-end-offset"
    }

    init(_ report: CheckReport, format: ImageFormat, path: String) {
        filename = path
        self.format = format.rawValue
        checkErrors = report.incomplete == nil ? 0 : 1
        corruptions = report.corruptions
        leaks = report.leaks
        warnings = report.warnings
        totalClusters = report.totalUnits
        allocatedClusters = report.allocatedUnits
        compressedClusters = report.compressedUnits
        fragmentedClusters = report.fragmentedUnits
        imageEndOffset = report.imageEnd.bytes
        remarks = report.remarks.isEmpty ? nil : report.remarks
        findings = report.findings.map { finding in
            Finding(
                kind: finding.kind.rawValue, message: finding.message, found: finding.found, expected: finding.expected,
                fileOffset: finding.fileOffset?.bytes, guestOffset: finding.guestOffset?.bytes,
                text: finding.description)
        }
    }

    /// Adds what a repair did.
    mutating func take(_ repair: PreparedRepair, result: String?) {
        leaksFixed = result == nil ? 0 : repair.fixedLeaks
        corruptionsFixed = result == nil ? 0 : repair.fixedCorruptions
        repairs = result == nil ? [] : repair.actions
        repaired = result
        fingerprint = repair.fingerprint.map(String.init)
    }

    var text: String {
        var lines = (repairs ?? []).map { "REPAIR: \($0)" }
        lines += findings.map { "\($0.kind.uppercased()): \($0.text)" }
        lines += (remarks ?? []).map { "REMARK: \($0)" }
        let untold = corruptions + leaks + warnings - findings.count
        if untold > 0 { lines.append("… and \(untold) more of these") }
        if checkErrors > 0 {
            lines.append("The check could not be done to its end.")
        } else if corruptions + leaks == 0 {
            lines.append("No errors were found on the image.")
        }
        if corruptions > 0 {
            lines.append("\(corruptions) corruptions were found: content may be lost or read wrongly.")
        }
        if leaks > 0 { lines.append("\(leaks) leaks were found: space is wasted, content is not harmed.") }
        if let leaksFixed, let corruptionsFixed, leaksFixed + corruptionsFixed > 0 {
            lines.append("\(corruptionsFixed) corruptions and \(leaksFixed) leaks were mended.")
        }
        if let fingerprint { lines.append("Fingerprint of the content, before and after: \(fingerprint)") }
        if let repairs {
            lines.append(
                repaired.map { repairs.isEmpty ? "Copied: \($0)" : "Repaired: \($0)" } ?? "Nothing was written.")
        }
        if totalClusters > 0 {
            lines.append(
                "\(allocatedClusters)/\(totalClusters) = \(share(allocatedClusters, of: totalClusters)) allocated, "
                    + "\(share(fragmentedClusters, of: allocatedClusters)) fragmented, "
                    + "\(share(compressedClusters, of: allocatedClusters)) compressed clusters")
        }
        lines.append("Image end offset: \(imageEndOffset)")
        return lines.joined(separator: "\n")
    }

    private func share(_ part: UInt64, of whole: UInt64) -> String {
        NumberText.fixed(whole == 0 ? 0 : Double(part) / Double(whole) * 100, digits: 2) + "%"
    }
}
