internal import ArgumentParser
internal import ExportService
internal import ImageModel
internal import ObjectStorage

struct BucketCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bucket", abstract: "Buckets: where exports go.",
        subcommands: [Create.self, List.self, Remove.self])

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a bucket, and say whose it is.",
            discussion: """
                It is made in the store of the data directory. With --elsewhere it must be in the OSS or S3 endpoint that \
                'lathe serve' is given, and nothing is made here.

                Example:
                  lathe admin bucket create release-images --region cn-hangzhou
                """)

        @Argument(help: "The bucket's name: 3 to 63 small letters, digits and hyphens.")
        var name: String

        @Option(
            help: ArgumentHelp("The region that it is in; only images there can be exported to it.", valueName: "id"))
        var region: String

        @Flag(help: "The bucket is in the endpoint that 'lathe serve' is given.")
        var elsewhere = false

        @OptionGroup var owner: AccountChoice
        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let state = try place.state()
                let bucket = try state.addBucket(
                    name, ofAccount: state.account(named: owner.account).id, in: region)
                if !elsewhere { try state.makeStoredBuckets([name]) }
                let report = BucketReport(bucket)
                try place.render(
                    report, [("bucket", report.name), ("account", report.account), ("region", report.region)])
            }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the buckets, with whose they are.")

        @OptionGroup var filter: AccountFilter
        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                let state = try place.state()
                let owner = try filter.account.map { try state.account(named: $0).id }
                try place.render(
                    try state.buckets(ofAccount: owner).map(BucketReport.init), ["NAME", "ACCOUNT", "REGION"]
                ) { [$0.name, $0.account, $0.region] }
            }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Forget whose a bucket is; it stays in the store, with its objects.",
            discussion: "Exports to it are refused from now on. A task that is about it must have ended.")

        @Argument(help: "The bucket's name.")
        var name: String

        @OptionGroup var place: ServicePlace

        func run() throws {
            try runOnState {
                try place.state().removeBucket(name)
                try place.render(RemovalReport(removed: name), [("removed", name)])
            }
        }
    }
}

extension ServiceState {
    /// Makes buckets in the store of the data directory; one that is there already is no error.
    func makeStoredBuckets(_ names: [String]) throws(ImageError) {
        do throws(StoreError) {
            let store = try DirectoryStore(path: objectsPath)
            for name in names {
                do throws(StoreError) {
                    try store.createBucket(try BucketName(name))
                } catch {
                    guard error.code == .bucketExists else { throw error }
                }
            }
        } catch {
            throw error.imageError
        }
    }
}

/// What is shown of a bucket.
struct BucketReport: Encodable {
    var name: String
    var account: String
    var region: String

    init(_ bucket: BucketRecord) {
        name = bucket.name
        account = bucket.accountID
        region = bucket.regionID
    }
}
