internal import ArgumentParser
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Look for what is wrong in an image's metadata.",
        discussion: """
            Reads all metadata and no content; compare fingerprints to prove content. Exit codes: 0 nothing found (warnings \
            aside), 1 the check could not be done, 2 corruptions, 3 leaks only.
            """)

    @OptionGroup var arguments: ImageArguments

    func run() throws {
        try runCommand(failure: { _ in ExitStatus.checkIncomplete }) {
            let image = arguments.image
            let source = try arguments.store.source(image)
            let format = try arguments.format ?? FormatDetection.detect(source, name: image)
            let found = FormatCatalog.check(source, as: format)
            let report = CheckPayload(found, format: format, path: image)
            try Rendering.render(report, as: arguments.output) { report.text }
            if let error = found.incomplete {
                Rendering.note("lathe: \(error.naming(image))")
                throw ExitStatus.checkIncomplete
            }
            if found.corruptions > 0 { throw ExitStatus.checkCorruptions }
            if found.leaks > 0 { throw ExitStatus.checkLeaks }
        }
    }
}

/// What `check` says, with the keys of `qemu-img`, and the findings beside.
struct CheckPayload: Encodable {
    struct Finding: Encodable {
        var kind: String
        var message: String
        var fileOffset: UInt64?
        var guestOffset: UInt64?

        enum CodingKeys: String, CodingKey {
            case kind, message
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

    enum CodingKeys: String, CodingKey {
        case filename, format, corruptions, leaks, warnings, findings
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
        findings = report.findings.map { finding in
            Finding(
                kind: finding.kind.rawValue, message: finding.message, fileOffset: finding.fileOffset?.bytes,
                guestOffset: finding.guestOffset?.bytes)
        }
    }

    var text: String {
        var lines = findings.map { finding in
            var line = "\(finding.kind.uppercased()): \(finding.message)"
            if let offset = finding.fileOffset { line += " [file offset \(offset)]" }
            if let offset = finding.guestOffset { line += " [guest offset \(offset)]" }
            return line
        }
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
        Rendering.fixed(whole == 0 ? 0 : Double(part) / Double(whole) * 100, digits: 2) + "%"
    }
}
