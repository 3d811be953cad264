internal import ArgumentParser
internal import ECSWire
internal import ImageFiles
internal import ImageFormats
internal import ImageModel

struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info",
        abstract: "Show what an image's header says.",
        discussion: "The keys of --output json are those of 'qemu-img info --output json'. Nothing else is opened.")

    @OptionGroup var arguments: ImageArguments

    func run() throws {
        try runCommand {
            let (source, format) = try arguments.open()
            let header = try FormatCatalog.header(of: source, as: format)
            let report = try InfoReport(header, format, of: source, path: arguments.image)
            try Rendering.render(report, as: arguments.output) { report.text }
        }
    }
}

/// What `info` says, with the keys of `qemu-img`.
struct InfoReport: Encodable {
    var filename: String
    var format: String
    var virtualSize: UInt64
    var actualSize: UInt64?
    var clusterSize: UInt64?
    var dirtyFlag: Bool
    var backingFilename: String?
    var fullBackingFilename: String?
    var backingFilenameFormat: String?
    var snapshots: DetailValue?
    var formatSpecific: FormatSpecific?

    struct FormatSpecific: Encodable {
        var type: String
        var data: [String: DetailValue]
    }

    /// A detail's value, encoded as what it is.
    struct DetailValue: Encodable {
        var value: FormatDetail.Value

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch value {
            case .text(let text): try container.encode(text)
            case .number(let number): try container.encode(number)
            case .flag(let flag): try container.encode(flag)
            case .texts(let texts): try container.encode(texts)
            case .records(let records):
                try container.encode(
                    records.map { record in
                        Dictionary(uniqueKeysWithValues: record.map { ($0.key, DetailValue(value: $0.value)) })
                    })
            }
        }

        var text: String {
            switch value {
            case .text(let text): text
            case .number(let number): "\(number)"
            case .flag(let flag): "\(flag)"
            case .texts(let texts): texts.joined(separator: ", ")
            case .records(let records): "\(records.count)"
            }
        }
    }

    enum CodingKeys: String, CodingKey {
        case filename, format, snapshots
        case fullBackingFilename = "full-backing-filename"
        case virtualSize = "virtual-size"
        case actualSize = "actual-size"
        case clusterSize = "cluster-size"
        case dirtyFlag = "dirty-flag"
        case backingFilename = "backing-filename"
        case backingFilenameFormat = "backing-filename-format"
        case formatSpecific = "format-specific"
    }

    private let details: [FormatDetail]

    init(_ header: any ImageReader, _ format: ImageFormat, of source: any ImageSource, path: String)
        throws(ImageError)
    {
        filename = path
        self.format = format.rawValue
        virtualSize = header.virtualSize
        actualSize = (source as? FileSource)?.allocatedLength
        clusterSize = header.unitSize
        let found = try header.details(in: source)
        details = found
        dirtyFlag = found.contains(FormatDetail("dirty-flag", .flag(true)))
        func text(_ key: CodingKeys) -> String? {
            found.first { $0.key == key.stringValue }.map { DetailValue(value: $0.value).text }
        }
        backingFilename = text(.backingFilename)
        backingFilenameFormat = text(.backingFilenameFormat)
        fullBackingFilename = backingFilename.map { Self.path(of: $0, namedBy: path) }
        snapshots = found.first { $0.key == CodingKeys.snapshots.stringValue }.map { DetailValue(value: $0.value) }
        // What has a place of its own.
        let data = found.filter { CodingKeys(stringValue: $0.key) == nil }
        guard !data.isEmpty else { return }
        formatSpecific = FormatSpecific(
            type: self.format,
            data: Dictionary(uniqueKeysWithValues: data.map { ($0.key, DetailValue(value: $0.value)) }))
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(filename, forKey: .filename)
        try container.encode(format, forKey: .format)
        try container.encode(virtualSize, forKey: .virtualSize)
        try container.encodeIfPresent(actualSize, forKey: .actualSize)
        try container.encodeIfPresent(clusterSize, forKey: .clusterSize)
        try container.encode(dirtyFlag, forKey: .dirtyFlag)
        try container.encodeIfPresent(backingFilename, forKey: .backingFilename)
        try container.encodeIfPresent(fullBackingFilename, forKey: .fullBackingFilename)
        try container.encodeIfPresent(snapshots, forKey: .snapshots)
        try container.encodeIfPresent(backingFilenameFormat, forKey: .backingFilenameFormat)
        try container.encodeIfPresent(formatSpecific, forKey: .formatSpecific)
    }

    var text: String {
        var lines = [
            "image: \(filename)", "file format: \(format)",
            "virtual size: \(NumberText.size(virtualSize)) (\(virtualSize) bytes)",
        ]
        if let actualSize { lines.append("disk size: \(NumberText.size(actualSize))") }
        if let clusterSize { lines.append("cluster_size: \(clusterSize)") }
        if case .records(let list) = snapshots?.value { lines += SnapshotRows.lines(list) }
        let shown = details.filter { $0.key != CodingKeys.snapshots.stringValue }
        if !shown.isEmpty { lines += ["Format specific information:"] + Self.lines(shown, indent: 1) }
        return lines.joined(separator: "\n")
    }

    /// Names are the image's own words, and a terminal must not take them for commands.
    private static func lines(_ details: [FormatDetail], indent: Int) -> [String] {
        let margin = String(repeating: "    ", count: indent)
        return details.flatMap { detail in
            guard case .records(let records) = detail.value else {
                return ["\(margin)\(detail.key): \(ReferencedName.shown(DetailValue(value: detail.value).text))"]
            }
            return ["\(margin)\(detail.key):"]
                + records.enumerated().flatMap { index, record in
                    ["\(margin)    [\(index)]:"] + lines(record, indent: indent + 2)
                }
        }
    }

    /// Where a file is that an image names: beside the image, unless the name says otherwise.
    private static func path(of name: String, namedBy image: String) -> String {
        guard !name.hasPrefix("/"), !name.prefix(while: { $0 != "/" }).contains(":"),
            let slash = image.lastIndex(of: "/")
        else { return name }
        return image[...slash] + name
    }
}

/// The snapshots of an image in columns, as `qemu-img info` has them; times are in UTC.
private enum SnapshotRows {
    private static let widths = [10, 18, 12, 22, 12]

    static func lines(_ records: [[FormatDetail]]) -> [String] {
        ["Snapshot list:", row(["ID", "TAG", "VM SIZE", "DATE", "VM CLOCK"])]
            + records.map { record in
                func text(_ key: String) -> String {
                    guard case .text(let text) = record.first(where: { $0.key == key })?.value else { return "" }
                    return ReferencedName.shown(text)
                }
                func number(_ key: String) -> UInt64 {
                    guard case .number(let number) = record.first(where: { $0.key == key })?.value else { return 0 }
                    return number
                }
                return row([
                    text("id"), text("name"), NumberText.size(number("vm-state-size")),
                    APITime.format(number("date-sec")),
                    clock(number("vm-clock-sec"), number("vm-clock-nsec") / 1_000_000),
                ])
            }
    }

    private static func row(_ columns: [String]) -> String {
        zip(columns.dropLast(), widths).map { Rendering.padded($0, $1) }.joined() + (columns.last ?? "")
    }

    /// Hours, minutes and seconds to a thousandth.
    private static func clock(_ seconds: UInt64, _ thousandths: UInt64) -> String {
        func digits(_ value: UInt64, _ count: Int) -> String {
            String(repeating: "0", count: max(0, count - String(value).count)) + String(value)
        }
        return "\(digits(seconds / 3600, 2)):\(digits(seconds / 60 % 60, 2)):\(digits(seconds % 60, 2))."
            + digits(thousandths, 3)
    }
}
