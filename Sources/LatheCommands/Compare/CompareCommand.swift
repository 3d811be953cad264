internal import ArgumentParser
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

struct CompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Compare the disk content of two images, whatever their formats.",
        discussion: """
            Where one disk is larger, they are identical if the rest is zero, unless -s is given. Exit codes: 0 identical, 1 \
            different, 2 an image can't be opened, 4 an image can't be read.
            """)

    @Option(name: .customShort("f"), help: ArgumentHelp("The first image's format.", valueName: "fmt"))
    var firstFormat: ImageFormat?

    @Option(name: .customShort("F"), help: ArgumentHelp("The second image's format.", valueName: "fmt"))
    var secondFormat: ImageFormat?

    @Option(
        name: .customShort("l"),
        help: ArgumentHelp("An internal snapshot of the first image; see 'lathe map --help'.", valueName: "snapshot"))
    var firstSnapshot: SnapshotSelection?

    @Option(
        name: .customShort("L"), help: ArgumentHelp("An internal snapshot of the second image.", valueName: "snapshot"))
    var secondSnapshot: SnapshotSelection?

    @OptionGroup var references: ReferenceArguments

    @Flag(name: .customShort("s"), help: "Strict: disks of different sizes are different.")
    var strict = false

    @Flag(name: .customShort("q"), help: "Print nothing but errors.")
    var quiet = false

    @Option(help: "For people or for programs.")
    var output: OutputFormat = .human

    @OptionGroup var flags: WorkFlags

    @OptionGroup(title: "Files and Object Store") var store: StoreArguments

    @Argument(help: "The first image; '-' is standard input.", completion: .file())
    var first: String

    @Argument(help: "The second image.", completion: .file())
    var second: String

    /// What `compare --output json` prints.
    struct Report: Encodable {
        var identical: Bool
        var sizesDiffer: Bool
        var firstDifference: UInt64?

        enum CodingKeys: String, CodingKey {
            case identical
            case sizesDiffer = "sizes-differ"
            case firstDifference = "first-difference"
        }

        func text(strict: Bool) -> String {
            var lines: [String] = []
            if sizesDiffer {
                lines.append(strict ? "Strict mode: Image size mismatch!" : "Warning: Image size mismatch!")
            }
            if let firstDifference {
                lines.append("Content mismatch at offset \(firstDifference)!")
            } else if identical {
                lines.append("Images are identical.")
            }
            return lines.joined(separator: "\n")
        }
    }

    func validate() throws {
        if first == "-", second == "-" {
            throw ValidationError("'-' is named twice, and standard input can be read once: name a file for one image.")
        }
    }

    func run() throws {
        var isOpen = false
        try runCommand(flags, failure: { _ in isOpen ? ExitStatus.compareCannotRead : ExitStatus.compareCannotOpen }) {
            work in
            let left = try store.image(
                first, format: firstFormat, work.cancellation, references: references, snapshot: firstSnapshot)
            let right = try store.image(
                second, format: secondFormat, work.cancellation, references: references, snapshot: secondSnapshot)
            isOpen = true
            let result = try left.compare(with: right, work.reading(left, right, flags: flags))
            let identical = result.firstDifference == nil && !(strict && result.sizesDiffer)
            let report = Report(
                identical: identical, sizesDiffer: result.sizesDiffer, firstDifference: result.firstDifference?.bytes)
            if !quiet { try Rendering.render(report, as: output) { report.text(strict: strict) } }
            if !identical { throw ExitStatus.compareDifferent }
        }
    }
}
