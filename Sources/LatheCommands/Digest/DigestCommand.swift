internal import ArgumentParser
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

struct DigestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "digest",
        abstract: "Compute the fingerprint, or the SHA-256, of the disk that an image holds.",
        discussion: """
            The digest is over the guest's content, zeros included, so it is the same in every format. The fingerprint is \
            CRC-64/XZ in decimal, as OSS answers it for the raw export of the same disk (x-oss-hash-crc64ecma); it finds \
            accidents. A disk is whole sectors: a raw file that ends inside one counts as filled with zeros up to 512 bytes. \
            SHA-256 withstands an adversary too; it takes one thread, and its time for every zero.

            sha256-tree withstands an adversary as well, on all threads, and zeros cost it next to nothing: it is the SHA-256 \
            over the SHA-256 digests (32 bytes each, in order) of the disk's blocks of 64 KiB, the last of which may be shorter.

            Only the one file is opened: an image whose content is in several has to be converted first.
            """)

    /// What is computed.
    enum Algorithm: String, ExpressibleByArgument, CaseIterable {
        case crc64ecma, sha256
        case sha256Tree = "sha256-tree"

        var selection: ChecksumSelection {
            switch self {
            case .crc64ecma: .crc64ecma
            case .sha256: .sha256
            case .sha256Tree: .sha256Tree
            }
        }
    }

    @Option(help: "crc64ecma is the fingerprint.")
    var algorithm: Algorithm = .crc64ecma

    @Option(
        name: .customShort("f"),
        help: ArgumentHelp("The image's format; without it, the content shows.", valueName: "fmt"))
    var format: ImageFormat?

    @OptionGroup var state: SnapshotArguments

    @Option(help: "For people or for programs.")
    var output: OutputFormat = .human

    @OptionGroup var flags: WorkFlags

    @OptionGroup(title: "Files and Object Store") var store: StoreArguments

    @Argument(help: "The image; '-' is standard input.", completion: .file())
    var image: String

    /// What `digest --output json` prints.
    struct Report: Encodable {
        var filename: String
        var format: String
        var virtualSize: UInt64
        var algorithm: String
        var digest: String

        enum CodingKeys: String, CodingKey {
            case filename, format, algorithm, digest
            case virtualSize = "virtual-size"
        }
    }

    func run() throws {
        try runCommand(flags) { work in
            let disk = try store.image(image, format: format, work.cancellation, snapshot: state.snapshot)
            let found = try disk.checksums(algorithm.selection, work.reading(disk, flags: flags))
            let digest = found.sha256 ?? found.sha256Tree ?? String(found.crc64ecma)
            let report = Report(
                filename: image, format: disk.format.rawValue, virtualSize: disk.virtualSize,
                algorithm: algorithm.rawValue, digest: digest)
            try Rendering.render(report, as: output) { "\(digest)  \(image)" }
        }
    }
}
