internal import ArgumentParser
internal import ExportService
internal import FoundationEssentials
internal import Glibc
internal import ImageFormats
internal import ImageModel

struct ImageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image",
        abstract: "Register images with the ExportImage service: what clients can export.",
        discussion: """
            An image is one system disk and up to 16 data disks (of which four, and none of more than 500 GiB, can be \
            exported), each a file in any format that Lathe reads. A file stays where it is and must not change; it is read \
            when it is exported. These verbs work while 'lathe serve' runs.

            Examples:
              lathe image add debian.qcow2 --name debian-12
              lathe image add system.raw --data home.vhd --name build-server
              lathe image set m-bp67acfmxazb4p1a2b3c --status Deprecated
            """, subcommands: [Add.self, List.self, Show.self, Set.self, Remove.self])

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Register an image, and show its id.",
            discussion: """
                Each file's format is told from its content and its name together, its virtual size from its header.

                Examples:
                  lathe image add debian.qcow2 --name debian-12
                  lathe image add disk.img -f raw --name debian-12 \\
                    --region eu-central-1 --account build
                  lathe image add system.raw --data home.vhd --name build-server
                """)

        @Argument(help: "The file of the system disk.", completion: .file())
        var system: String

        @Option(
            help: ArgumentHelp("The file of a data disk; may be said again.", valueName: "path"), completion: .file())
        var data: [String] = []

        @Option(help: ArgumentHelp("Its name: 2 to 128 letters, digits and any of '.:_-'.", valueName: "name"))
        var name: String

        @Option(
            name: .customShort("f"),
            help: ArgumentHelp("The format of all its files; without it, each shows.", valueName: "fmt"))
        var format: ImageFormat?

        @Option(help: ArgumentHelp("The region that it is in.", valueName: "id"))
        var region = ServiceState.defaultRegion

        @Option(help: ArgumentHelp("Its id; without it, one is made up.", valueName: "id"))
        var id: String?

        @Option(help: ArgumentHelp("What it is, for people.", valueName: "text"))
        var description = ""

        @Option(help: ArgumentHelp("linux or windows.", valueName: "type"))
        var osType = "linux"

        @Option(help: ArgumentHelp("As x86_64 or arm64.", valueName: "name"))
        var architecture = "x86_64"

        @Option(help: ArgumentHelp("As Debian or Ubuntu.", valueName: "name"))
        var platform = "Others Linux"

        @OptionGroup(title: "Marks") var marks: ImageMarks
        @OptionGroup var owner: AccountChoice
        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let state = try place.state()
                var disks: [NewImage.Disk] = []
                for path in [system] + data {
                    let facts = try DiskExamination.facts(of: path, format: format)
                    disks.append(
                        NewImage.Disk(path: WorkingDirectory.absolute(path), facts: facts, isEncrypted: marks.encrypted)
                    )
                }
                var image = NewImage(
                    accountID: try state.account(named: owner.account).id, regionID: region, name: name, disks: disks)
                image.id = id
                image.description = description
                (image.osType, image.architecture, image.platform) = (osType, architecture, platform)
                image.status = marks.status ?? .available
                image.productCode = marks.productCode.flatMap { $0.isEmpty ? nil : $0 }
                image.licenseRestriction = marks.licenseRestriction.flatMap { $0.isEmpty ? nil : $0 }
                let report = ImageReport(try state.addImage(image))
                try place.render(report, report.lines)
            }
        }

    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the images.")

        @Option(help: ArgumentHelp("Only those in this region.", valueName: "id"))
        var region: String?

        @OptionGroup var filter: AccountFilter
        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let state = try place.state()
                let owner = try filter.account.map { try state.account(named: $0).id }
                let images = try state.images(ofAccount: owner, in: region).map(ImageReport.init)
                try place.render(images, ["ID", "NAME", "REGION", "STATUS", "DISKS", "SIZE"]) {
                    [$0.id, $0.name, $0.region, $0.status, "\($0.disks.count)", NumberText.size($0.size)]
                }
            }
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show an image with its disks.")

        @Argument(help: "The image's id.")
        var id: String

        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                guard let image = try place.state().image(id) else {
                    throw StateError(
                        .notFound, "there is no image of this id; 'lathe image list' shows them", subject: id)
                }
                try place.render(ImageReport(image), ImageReport(image).lines)
            }
        }
    }

    struct Set: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Change what is said of an image.",
            discussion: """
                An empty text takes a mark away. An export that runs goes on.

                Examples:
                  lathe image set m-debian12 --status UnAvailable
                  lathe image set m-debian12 --product-code cmjj012345
                  lathe image set m-debian12 --product-code ""
                """)

        @Argument(help: "The image's id.")
        var id: String

        @Option(help: ArgumentHelp("Another name.", valueName: "name"))
        var name: String?

        @Option(help: ArgumentHelp("What it is, for people.", valueName: "text"))
        var description: String?

        @Flag(help: "Say that its disks are not encrypted after all.")
        var notEncrypted = false

        @OptionGroup(title: "Marks") var marks: ImageMarks
        @OptionGroup var place: ServicePlace

        func validate() throws {
            guard !(notEncrypted && marks.encrypted) else {
                throw ValidationError("--encrypted and --not-encrypted exclude each other.")
            }
            guard changes != ImageChanges() else {
                throw ValidationError("nothing is changed; name what is to be, as --status Available.")
            }
        }

        private var changes: ImageChanges {
            var changes = ImageChanges()
            changes.name = name
            changes.description = description
            changes.status = marks.status
            changes.productCode = marks.productCode
            changes.licenseRestriction = marks.licenseRestriction
            if marks.encrypted || notEncrypted { changes.isEncrypted = marks.encrypted }
            return changes
        }

        func run() throws {
            try runOnState {
                let report = ImageReport(try place.state().change(id, changes))
                try place.render(report, report.lines)
            }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Forget an image.",
            discussion: """
                Its files stay, but for those that ImportImage made. While an export of it waits or runs, it can't be removed.
                """)

        @Argument(help: "The image's id.")
        var id: String

        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let removed = try place.state().removeImage(id)
                for disk in removed.disks where disk.isOwned { try Self.unlink(disk.path) }
                try place.render(RemovalReport(removed: id), [("removed", id)])
            }
        }

        private static func unlink(_ path: String) throws(ImageError) {
            guard unsafe Glibc.unlink(PathText.terminated(path)) != 0, errno != ENOENT else { return }
            throw ImageError(
                .inputOutput,
                "the image is forgotten, but its file can't be removed: \(unsafe String(cString: strerror(errno)))",
                path: path, operation: "unlink", systemError: errno)
        }
    }
}

/// What makes that an image can't be exported.
struct ImageMarks: ParsableArguments {
    @Option(help: "Its status: only what is Available can be exported.")
    var status: ImageRecord.Status?

    @Flag(help: "Say that its disks are encrypted: its exports answer ImageNotSupported.")
    var encrypted = false

    @Option(
        help: ArgumentHelp(
            "The product of the marketplace that it comes from: its exports answer ImageNotSupported.",
            valueName: "code"))
    var productCode: String?

    @Option(
        help: ArgumentHelp(
            "What its licence says against an export: that answers InvalidImageLicense.NotSupported with this sentence.",
            valueName: "text"))
    var licenseRestriction: String?
}

extension ImageRecord.Status: ExpressibleByArgument {
    package static var allValueStrings: [String] { allCases.map(\.rawValue) }
}
