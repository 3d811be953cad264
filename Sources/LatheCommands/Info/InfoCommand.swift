internal import ArgumentParser
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
            let report = InfoReport(header, format, of: source, path: arguments.image)
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
    var backingFilenameFormat: String?
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
            }
        }

        var text: String {
            switch value {
            case .text(let text): text
            case .number(let number): "\(number)"
            case .flag(let flag): "\(flag)"
            }
        }
    }

    enum CodingKeys: String, CodingKey {
        case filename, format
        case virtualSize = "virtual-size"
        case actualSize = "actual-size"
        case clusterSize = "cluster-size"
        case dirtyFlag = "dirty-flag"
        case backingFilename = "backing-filename"
        case backingFilenameFormat = "backing-filename-format"
        case formatSpecific = "format-specific"
    }

    private let details: [FormatDetail]

    init(_ header: any ImageReader, _ format: ImageFormat, of source: any ImageSource, path: String) {
        filename = path
        self.format = format.rawValue
        virtualSize = header.virtualSize
        actualSize = (source as? FileSource)?.allocatedLength
        clusterSize = header.unitSize
        let found = header.details
        details = found
        dirtyFlag = found.contains(FormatDetail("dirty-flag", .flag(true)))
        func text(_ key: CodingKeys) -> String? {
            found.first { $0.key == key.stringValue }.map { DetailValue(value: $0.value).text }
        }
        backingFilename = text(.backingFilename)
        backingFilenameFormat = text(.backingFilenameFormat)
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
        try container.encodeIfPresent(backingFilenameFormat, forKey: .backingFilenameFormat)
        try container.encodeIfPresent(formatSpecific, forKey: .formatSpecific)
    }

    var text: String {
        var lines = [
            "image: \(filename)", "file format: \(format)",
            "virtual size: \(Rendering.size(virtualSize)) (\(virtualSize) bytes)",
        ]
        if let actualSize { lines.append("disk size: \(Rendering.size(actualSize))") }
        if let clusterSize { lines.append("cluster_size: \(clusterSize)") }
        if !details.isEmpty {
            lines.append("Format specific information:")
            // Names are the image's own words, and a terminal must not take them for commands.
            lines += details.map { "    \($0.key): \(ReferencedName.shown(DetailValue(value: $0.value).text))" }
        }
        return lines.joined(separator: "\n")
    }
}
