internal import ArgumentParser
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

struct MapCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "map",
        abstract: "Show where each part of the disk is in the file.",
        discussion: """
            The keys of --output json are those of 'qemu-img map --output json'. Holes of the file itself count as zero. Extents \
            are printed as they are found, whatever their number.
            """)

    @OptionGroup var arguments: ImageArguments

    func run() throws {
        try runCommand {
            var lines = MapLines(arguments.output, path: arguments.image)
            var walk = ExtentWalk(try arguments.open())
            var pending: MappedExtent?
            while let extent = try walk.next() {
                if pending?.absorb(extent) ?? false { continue }
                if let pending { try lines.add(pending) }
                pending = extent
            }
            if let pending { try lines.add(pending) }
            try lines.finish()
        }
    }
}

/// Prints extents one by one, a batch of lines at a time.
struct MapLines {
    /// An extent, with the keys of `qemu-img`.
    struct Entry: Encodable {
        var start: UInt64
        var length: UInt64
        var depth = 0
        var present: Bool
        var zero: Bool
        var data: Bool
        var compressed: Bool
        var offset: UInt64?
    }

    private let format: OutputFormat
    private let path: String
    private var buffer: String
    private var count = 0

    init(_ format: OutputFormat, path: String) {
        self.format = format
        self.path = path
        buffer = format == .json ? "[" : MapLines.row("Offset", "Length", "Mapped to", "File")
    }

    mutating func add(_ extent: MappedExtent) throws {
        var entry = Entry(
            start: extent.range.start.bytes, length: extent.range.length, present: true, zero: false, data: true,
            compressed: false)
        switch extent.mapping {
        case .raw(let offset): entry.offset = offset.bytes
        case .compressed: entry.compressed = true
        case .zero: (entry.zero, entry.data) = (true, false)
        case .hole: (entry.present, entry.zero, entry.data) = (false, true, false)
        }
        switch format {
        case .json:
            buffer += (count == 0 ? "" : ",\n") + (try Rendering.json(entry, pretty: false))
        case .human where entry.data:
            let place = entry.offset.map { "0x" + String($0, radix: 16) } ?? "compressed"
            buffer += Self.row(
                "0x" + String(entry.start, radix: 16), "0x" + String(entry.length, radix: 16), place, path)
        case .human: break
        }
        count += 1
        if buffer.utf8.count > 64 << 10 { try flush() }
    }

    mutating func finish() throws {
        if format == .json { buffer += "]\n" }
        try flush()
    }

    private mutating func flush() throws {
        try Rendering.write(buffer)
        buffer = ""
    }

    private static func row(_ texts: String...) -> String {
        texts.dropLast().map { Rendering.padded($0, 16) }.joined() + (texts.last ?? "") + "\n"
    }
}
