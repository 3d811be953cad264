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

            Where content is in several files, an extent's filename says in which. Its depth is how many images lie over the one \
            that says what is there, or that it is zero.
            """)

    @OptionGroup var arguments: ImageArguments
    @OptionGroup var references: ReferenceArguments
    @OptionGroup var state: SnapshotArguments

    func run() throws {
        try runCommand {
            let image = try arguments.store.image(
                arguments.image, format: arguments.format, references: references, snapshot: state.snapshot)
            var lines = MapLines(arguments.output, image, path: arguments.image)
            var walk = ExtentWalk(image)
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
        /// Where there is more than one file.
        var filename: String?
    }

    private let format: OutputFormat
    private let image: DiskImage
    private let hasOneFile: Bool
    private let path: String
    private var buffer: String
    private var count = 0

    init(_ format: OutputFormat, _ image: DiskImage, path: String) {
        self.format = format
        self.image = image
        hasOneFile = image.source.files.count == 1
        self.path = path
        buffer = format == .json ? "[" : MapLines.row("Offset", "Length", "Mapped to", "File")
    }

    mutating func add(_ extent: MappedExtent) throws {
        var entry = Entry(
            start: extent.range.start.bytes, length: extent.range.length, depth: extent.depth, present: true,
            zero: false, data: true, compressed: false)
        switch extent.mapping {
        case .raw(let offset): entry.offset = place(offset, of: &entry)
        case .compressed(let unit):
            entry.compressed = true
            _ = place(unit.stored.start, of: &entry)
        case .zero: (entry.zero, entry.data) = (true, false)
        case .hole: (entry.present, entry.zero, entry.data) = (image.format.hasNoImageUnderIt, true, false)
        }
        switch format {
        case .json:
            buffer += (count == 0 ? "" : ",\n") + (try Rendering.json(entry, pretty: false))
        case .human where entry.data:
            let place = entry.offset.map { "0x" + String($0, radix: 16) } ?? "compressed"
            buffer += Self.row(
                "0x" + String(entry.start, radix: 16), "0x" + String(entry.length, radix: 16), place,
                entry.filename ?? path)
        case .human: break
        }
        count += 1
        if buffer.utf8.count > 64 << 10 { try flush() }
    }

    /// Where an offset is in its own file, with that file put into the entry.
    private func place(_ offset: FileOffset, of entry: inout Entry) -> UInt64 {
        guard !hasOneFile else { return offset.bytes }
        let place = image.source.place(of: offset)
        entry.filename = place.name
        return place.offset.bytes
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

extension ImageFormat {
    /// Whether QEMU knows no image under one of this format, and calls its holes present: there is nothing else that they could show.
    fileprivate var hasNoImageUnderIt: Bool { [.vdi, .vhd].contains(self) }
}
