internal import ArgumentParser
internal import ImageModel
internal import OSSServer
internal import OSSWire
internal import ObjectStorage

struct ServeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve the ExportImage API, or a directory to OSS clients.",
        discussion: """
            An endpoint that speaks as the API of Alibaba Cloud ECS does, for ExportImage and its neighbours: the vendor's SDKs, \
            given its address, work unchanged. Images are registered by 'lathe image add', and land in buckets of an embedded \
            store, which has an OSS endpoint of its own, or of a real one (--oss-endpoint). Everything is in one data \
            directory. A first start makes an account with a key, a role and a bucket, and prints them.

            Tasks survive the end of the process: what was under way goes on at the next start. SIGINT and SIGTERM end it, \
            requests that are under way first; a second signal ends it at once.

            With --oss-only, it is nothing but an HTTP endpoint that speaks as Alibaba Cloud OSS does, without TLS: the vendor's clients put, get, copy, list and \
            delete objects, whole or in parts, with both versions of the signature. Each directory in DIR is a bucket, and \
            each file in that an object. What OSS has and it has not (versions, tags, encryption …) is refused, not ignored.

            There, without a key on the command line or in a file, one is made up and printed.

            A file of keys has a line for each: the ID, a colon, the secret. Lines that begin with # are comments.

            Examples:
              lathe serve
              lathe serve --data-directory /srv/lathe --config lathe.yaml --log json
              lathe serve --oss-region cn-hangzhou \\
                --oss-endpoint https://oss-cn-hangzhou.aliyuncs.com
              lathe serve --oss-only --data-directory /srv/oss
              lathe serve --oss-only --data-directory /srv/oss --port 9000 \\
                --credentials-file keys.txt
            """)

    @Flag(help: "Serve objects, and nothing else.")
    var ossOnly = false

    @Option(
        help: ArgumentHelp(
            "Where everything is kept; it is made if it is not there. With --oss-only, the directory of the buckets. (default: "
                + "$XDG_DATA_HOME/lathe/service, or ~/.local/share/lathe/service)", valueName: "dir"),
        completion: .directory)
    var dataDirectory: String?

    @Option(
        help: ArgumentHelp(
            "The port to listen on; 0 takes any that is free. (default: 8088, with --oss-only 8080)", valueName: "N"))
    var port: Int?

    @Option(help: "The address to listen on: 0.0.0.0 lets other machines in, over a wire that is not encrypted.")
    var host = "127.0.0.1"

    @OptionGroup var access: ServeAccess

    @Option(
        help: ArgumentHelp(
            "The domain whose first labels are buckets, as in BUCKET.DOMAIN; without it, a host whose first label is a bucket "
                + "means that bucket.", valueName: "name"))
    var domain: String?

    @Option(
        help:
            "What the OSS endpoint says its region is, and where buckets are that it makes; signatures of every region are taken."
    )
    var region = "cn-hangzhou"

    @Flag(name: .shortAndLong, help: "Print a line for each request on standard error.")
    var verbose = false

    @Option(help: "How to print where it listens and what was made.")
    var output: OutputFormat = .human

    @OptionGroup(title: "Service") var service: ServiceArguments

    func validate() throws {
        if ossOnly {
            guard dataDirectory != nil else { throw ValidationError("--oss-only takes --data-directory.") }
            if let option = service.firstGiven { throw ValidationError("\(option) is not for --oss-only.") }
        } else if let option = access.firstGiven ?? (domain == nil ? nil : "--domain") {
            throw ValidationError("\(option) goes with --oss-only: the service's keys are in its data directory.")
        }
        let port = port ?? 0
        guard (0...65535).contains(port) else {
            throw ValidationError("--port \(port) can't be had; it is a number from 0 to 65535.")
        }
        let isName = { (text: String) in
            !text.isEmpty && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-.".contains($0)) }
        }
        for (option, value) in [("--region", region), ("--domain", domain ?? "-")] where !isName(value) {
            throw ValidationError("\(option) '\(value)' is no name of letters, digits, hyphens and dots.")
        }
    }

    func run() throws {
        try runCommand {
            // Before any thread starts, so that none of them takes a signal.
            let signals = SignalListener.block()
            guard !ossOnly else { return try serveObjects(until: signals) }
            let serving = ServiceServing(
                dataDirectory: try WorkingDirectory.absolute(dataDirectory ?? StateDirectory.servicePath()),
                host: host, port: port ?? 8088, region: region, arguments: service,
                isVerbose: verbose, output: output)
            try serving.run(until: signals)
        }
    }

    private func serveObjects(until signals: SignalListener.Signals) throws {
        do { try serve(until: signals) } catch let error as StoreError { throw error.imageError }
    }

    private func serve(until signals: SignalListener.Signals) throws {
        let store = try DirectoryStore(path: dataDirectory ?? ".")
        // Whatever is this old was left by a process that was killed.
        try store.sweep(olderThan: 24 * 3600)
        var configuration = OSSServerConfiguration()
        configuration.host = host
        configuration.port = port ?? 8080
        configuration.domain = domain
        configuration.region = region
        configuration.allowsAnonymous = access.anonymous
        let madeUp = try access.apply(to: &configuration)
        let isVerbose = verbose
        configuration.observer = { record in
            // A failure of the server itself is its operator's to know of.
            if isVerbose || record.cause != nil { Rendering.note(record.line) }
        }
        let settings = configuration
        let server = try waiting { () async throws(StoreError) in try await OSSServer.listen(store, settings) }
        let report = ServeReport(
            endpoint: server.endpoint, directory: dataDirectory ?? ".", accessKeyId: madeUp?.accessKeyID,
            accessKeySecret: madeUp?.accessKeySecret)
        let printed = Result { try Rendering.render(report, as: output) { report.text } }
        // Who started it and looks at nothing that it prints has it run all the same, but for a key that only that would tell.
        if madeUp == nil || (try? printed.get()) != nil {
            server.open()
            SignalListener.wait(for: signals)
        }
        waiting { await server.stop() }
        try printed.get()
    }
}

/// What is printed when the server listens.
struct ServeReport: Encodable {
    var endpoint: String
    var directory: String
    /// Only a key that was made up.
    var accessKeyId: String?
    var accessKeySecret: String?

    var text: String {
        var lines = ["endpoint: \(endpoint)", "directory: \(directory)"]
        if let accessKeyId, let accessKeySecret {
            lines += ["access key ID: \(accessKeyId)", "access key secret: \(accessKeySecret)"]
        }
        return lines.joined(separator: "\n")
    }
}
