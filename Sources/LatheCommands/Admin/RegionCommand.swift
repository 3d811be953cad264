internal import ArgumentParser
internal import ExportService

struct RegionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "region", abstract: "Regions: where images and buckets are.",
        subcommands: [Set.self, List.self, Remove.self])

    struct Set: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a region, or change what is said of one.",
            discussion: """
                All regions are on this machine: a region is a name that clients send, and that an image and its bucket must \
                have in common. In one that does not support exports, they are refused with InvalidRegion.NotSupport.

                Example:
                  lathe admin region set eu-lab-1 --local-name "Our lab"
                """)

        @Argument(help: "The region's id, as cn-hangzhou.")
        var id: String

        @Option(help: ArgumentHelp("What DescribeRegions calls it.", valueName: "text"))
        var localName: String?

        @Option(
            help: ArgumentHelp(
                "The host that DescribeRegions answers, and a port; without it, the one that the client came to.",
                valueName: "host"))
        var endpoint: String?

        @Option(help: "Whether images can be exported from it and imported into it: yes or no.")
        var supportsExport: YesOrNo?

        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let region = try place.state(making: true).setRegion(
                    id, localName: localName, endpoint: endpoint, supportsExport: supportsExport?.isYes)
                let report = RegionReport(region)
                try place.render(
                    report,
                    [
                        ("region", report.id), ("local name", report.localName),
                        ("endpoint", report.endpoint.isEmpty ? nil : report.endpoint),
                        ("supports export", report.supportsExport ? "yes" : "no"),
                    ])
            }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the regions.")

        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let regions = try place.state().regions().map(RegionReport.init)
                try place.render(regions, ["ID", "LOCAL NAME", "EXPORTS"]) {
                    [$0.id, $0.localName, $0.supportsExport ? "yes" : "no"]
                }
            }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove a region in which no image and no bucket is.")

        @Argument(help: "The region's id.")
        var id: String

        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                try place.state().removeRegion(id)
                try place.render(RemovalReport(removed: id), [("removed", id)])
            }
        }
    }
}

/// What is shown of a region.
struct RegionReport: Encodable {
    var id: String
    var localName: String
    var endpoint: String
    var supportsExport: Bool

    init(_ region: RegionRecord) {
        id = region.id
        localName = region.localName
        endpoint = region.endpoint
        supportsExport = region.supportsExport
    }
}
