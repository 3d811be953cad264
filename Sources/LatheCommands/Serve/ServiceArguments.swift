internal import ArgumentParser
internal import ExportService
internal import ImageModel
internal import OSSClient
internal import ObjectStorage

/// What the service takes beside what serving objects alone takes.
struct ServiceArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A file that says which regions, accounts, keys, roles, buckets and images there are; see 'lathe admin'.",
            valueName: "file"),
        completion: .file())
    var config: String?

    @Option(
        help: ArgumentHelp(
            "How many images are exported or imported at a time, 1 to 64. (default: 2)", valueName: "N"))
    var workers: Int?

    @Option(
        help: ArgumentHelp(
            "The port of the embedded store's endpoint; 0 takes any that is free. (default: 8080)", valueName: "N"))
    var ossPort: Int?

    @Option(
        help: ArgumentHelp(
            "Where buckets are, in place of the embedded store: an endpoint of OSS, or of S3 with --s3, or a directory.",
            valueName: "url|dir"))
    var ossEndpoint: String?

    @Option(help: ArgumentHelp("The region of that endpoint.", valueName: "region"))
    var ossRegion: String?

    @Option(
        help: "How a bucket is named there: in the host's name, in the path, or by a domain of its own. (default: auto)"
    )
    var ossAddressing: Addressing?

    @Option(
        help: ArgumentHelp("Certificates (PEM) to trust there besides the system's own.", valueName: "file"),
        completion: .file())
    var ossCaCertificate: String?

    @Flag(
        help:
            "That endpoint speaks S3. Keys come from AWS_ACCESS_KEY_ID and so on; else from OSS_ACCESS_KEY_ID or ~/.ossutilconfig."
    )
    var s3 = false

    @Option(
        help: ArgumentHelp(
            "For how long a store that can't be reached is tried again before an export fails. (default: 600)",
            valueName: "seconds"))
    var storePatience: Double?

    @Flag(help: "Export raw disks as they are (.raw), and not packed as ECS does (.raw.tar.gz).")
    var plainRaw = false

    @Option(
        help: ArgumentHelp(
            "The largest disk that is exported, in bytes or with k, M, G or T: by what it holds, not by what of it is stored. "
                + "(default: 500G)", valueName: "size"))
    var greatestDisk: ByteSize?

    @Option(
        help: ArgumentHelp(
            "The longest object that an export makes; one that comes to more fails, and leaves nothing. (default: 512G)",
            valueName: "size"))
    var greatestObject: ByteSize?

    @Option(
        help: ArgumentHelp(
            "What DescribeRegions answers clients to come to; without it, where the API listens.",
            valueName: "host:port"))
    var publicEndpoint: String?

    @Option(help: ArgumentHelp("How many requests a second a key may send; without it, any number.", valueName: "N"))
    var requestsPerSecond: Int?

    @Option(help: "How to write the log on standard error, for people or for programs. (default: human)")
    var log: LogFormat?

    func validate() throws {
        if let workers, !ServiceSettings.workerCounts.contains(workers) {
            throw ValidationError("--workers \(workers) can't be had; it is a number from 1 to 64.")
        }
        if let ossPort, !(0...65535).contains(ossPort) {
            throw ValidationError("--oss-port \(ossPort) can't be had; it is a number from 0 to 65535.")
        }
        if let storePatience, !(0...86_400).contains(storePatience) {
            throw ValidationError(
                "--store-patience \(storePatience) can't be had; it is a number of seconds from 0 to 86400.")
        }
        for (option, size) in [("--greatest-disk", greatestDisk), ("--greatest-object", greatestObject)] {
            if size?.bytes == 0 { throw ValidationError("\(option) 0 would let nothing be exported.") }
        }
        if let requestsPerSecond, requestsPerSecond < 1 {
            throw ValidationError("--requests-per-second \(requestsPerSecond) would let nobody in.")
        }
        guard ossEndpoint == nil else {
            if ossPort != nil {
                throw ValidationError("--oss-port is for the embedded store, and --oss-endpoint names another.")
            }
            return
        }
        for (option, isGiven) in [
            ("--oss-region", ossRegion != nil), ("--oss-addressing", ossAddressing != nil),
            ("--oss-ca-certificate", ossCaCertificate != nil), ("--s3", s3),
        ] where isGiven { throw ValidationError("\(option) goes with --oss-endpoint.") }
    }

    /// The first option that was given, if any was.
    var firstGiven: String? {
        [
            ("--config", config != nil), ("--workers", workers != nil), ("--oss-port", ossPort != nil),
            ("--oss-endpoint", ossEndpoint != nil), ("--store-patience", storePatience != nil),
            ("--plain-raw", plainRaw), ("--greatest-disk", greatestDisk != nil),
            ("--greatest-object", greatestObject != nil), ("--public-endpoint", publicEndpoint != nil),
            ("--requests-per-second", requestsPerSecond != nil), ("--log", log != nil),
        ].first { $0.1 }?.0
    }

    var settings: ServiceSettings {
        var settings = ServiceSettings()
        settings.workers = workers ?? settings.workers
        settings.packagesRaw = !plainRaw
        settings.greatestDisk = greatestDisk?.bytes ?? settings.greatestDisk
        settings.greatestObject = greatestObject?.bytes ?? settings.greatestObject
        settings.storePatience = storePatience ?? settings.storePatience
        return settings
    }

    /// The buckets of the endpoint that was named; nil for the embedded store.
    func remoteBuckets() throws -> RemoteBuckets? {
        guard let ossEndpoint else { return nil }
        if StoreArguments.isDirectory(ossEndpoint) {
            // Whoever only reads makes none.
            do throws(StoreError) { _ = try DirectoryStore(path: ossEndpoint) } catch { throw error.imageError }
        }
        var options = ["--endpoint", ossEndpoint]
        for (name, value) in [
            ("--region", ossRegion), ("--addressing", ossAddressing?.rawValue), ("--ca-certificate", ossCaCertificate),
        ] {
            if let value { options += [name, value] }
        }
        return RemoteBuckets(try StoreArguments.parse(options), scheme: s3 ? .s3 : .oss)
    }
}
