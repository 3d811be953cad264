import Foundation
import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Testing

/// An image of `testdata/hostile` and what the verbs make of it.
struct HostileImage: CustomTestStringConvertible {
    /// What the verbs answer, each in the words of `expectations.tsv`.
    struct Answers: Hashable {
        /// The format that the bytes show.
        var detected: String
        var info: String
        var check: String
        var digest: String

        var fields: [String] { [detected, info, check, digest] }
    }

    static let directory = root.appending(path: "testdata/hostile")
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    var name: String
    var testDescription: String { name }

    /// All that there are, by their names.
    static let all: [HostileImage] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        return names.filter { $0 != "expectations.tsv" }.sorted().map(HostileImage.init)
    }()

    /// What it has to be read as; nil for what must show that by itself.
    var format: ImageFormat? {
        switch name.prefix(while: { $0 != "-" }) {
        case "qcow2": .qcow2
        case "vhd": .vhd
        case "vdi": .vdi
        case "vmdk": .vmdk
        case "package": .rawPackage
        default: nil
        }
    }

    func bytes() throws -> [UInt8] { [UInt8](try Data(contentsOf: Self.directory.appending(path: name))) }

    /// Asks every verb.
    func answers(of source: any ImageSource) -> Answers {
        let detected = Self.answer { () throws(ImageError) in
            try FormatDetection.detect(source, name: "disk").rawValue
        }
        guard let format = format ?? (try? FormatDetection.detect(source, name: "disk")) else {
            return Answers(detected: detected, info: detected, check: detected, digest: detected)
        }
        let info = Self.answer { () throws(ImageError) in
            _ = try FormatCatalog.header(of: source, as: format).details
            return "ok"
        }
        let digest = Self.answer { () throws(ImageError) in
            _ = try DiskImage(source, format: format).fingerprint(WorkOptions(threads: 1))
            return "ok"
        }
        return Answers(
            detected: detected, info: info, check: Self.answer(FormatCatalog.check(source, as: format)), digest: digest)
    }

    private static func answer(_ body: () throws(ImageError) -> String) -> String {
        do throws(ImageError) { return try body() } catch { return text(error) }
    }

    private static func text(_ error: ImageError) -> String {
        error.code.rawValue + (error.offset.map { " at byte \($0.bytes)" } ?? "")
    }

    private static func answer(_ report: CheckReport) -> String {
        if let error = report.incomplete { return text(error) }
        let counts = [(report.corruptions, "corruption"), (report.leaks, "leak"), (report.warnings, "warning")]
        let told = counts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)\($0.0 == 1 ? "" : "s")" }
        guard !told.isEmpty else { return "nothing found" }
        let first = report.findings.first?.fileOffset.map { "; first at byte \($0.bytes)" } ?? ""
        return told.joined(separator: ", ") + first
    }
}

/// `expectations.tsv`: a line for each image, its name and what the verbs answer.
enum Expectations {
    static let file = HostileImage.directory.appending(path: "expectations.tsv")
    static let heading = """
        # What testdata/hostile gets: the format that the bytes show, then what info, check and digest answer. An error is its code and
        # the file offset that it names. LATHE_WRITE_EXPECTATIONS=1 swift test --filter HostileImageTests writes this file anew: read the difference.
        # file\tdetected\tinfo\tcheck\tdigest

        """

    static func read() throws -> [String: HostileImage.Answers] {
        let text = try String(contentsOf: file, encoding: .utf8)
        var read: [String: HostileImage.Answers] = [:]
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            try #require(fields.count == 5, "\(line)")
            read[fields[0]] = HostileImage.Answers(
                detected: fields[1], info: fields[2], check: fields[3], digest: fields[4])
        }
        return read
    }

    static func write(_ answers: [(HostileImage, HostileImage.Answers)]) throws {
        let lines = answers.map { ([$0.name] + $1.fields).joined(separator: "\t") + "\n" }
        try Data((heading + lines.joined()).utf8).write(to: file)
    }
}
