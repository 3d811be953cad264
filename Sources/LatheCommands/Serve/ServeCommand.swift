internal import ArgumentParser
internal import ImageModel
internal import OSSServer
internal import OSSWire
internal import ObjectStorage

struct ServeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve a directory to OSS clients.",
        discussion: """
            An HTTP endpoint that speaks as Alibaba Cloud OSS does, without TLS: the vendor's clients put, get, copy, list and \
            delete objects, whole or in parts, with both versions of the signature. Each directory in DIR is a bucket, and \
            each file in that an object. What OSS has and it has not (versions, tags, encryption …) is refused, not ignored.

            Without a key on the command line or in a file, one is made up and printed. SIGINT and SIGTERM end the server, \
            requests that are under way first; a second signal ends it at once.

            A file of keys has a line for each: the ID, a colon, the secret. Lines that begin with # are comments.

            Examples:
              lathe serve --oss-only --data-directory /srv/oss
              lathe serve --oss-only --data-directory /srv/oss --port 9000 \\
                --credentials-file keys.txt
            """)

    @Flag(help: "Serve objects, and nothing else: this version has no other service.")
    var ossOnly = false

    @Option(
        help: ArgumentHelp("The directory of the buckets; it is made if it is not there.", valueName: "dir"),
        completion: .directory)
    var dataDirectory: String

    @Option(help: ArgumentHelp("The port to listen on; 0 takes any that is free.", valueName: "N"))
    var port = 8080

    @Option(help: "The address to listen on: 0.0.0.0 lets other machines in, over a wire that is not encrypted.")
    var host = "127.0.0.1"

    @OptionGroup var access: ServeAccess

    @Option(
        help: ArgumentHelp(
            "The domain whose first labels are buckets, as in BUCKET.DOMAIN; without it, a host whose first label is a bucket "
                + "means that bucket.", valueName: "name"))
    var domain: String?

    @Option(help: "What the server says its region is; signatures of every region are taken.")
    var region = "cn-hangzhou"

    @Flag(name: .shortAndLong, help: "Print a line for each request on standard error.")
    var verbose = false

    @Option(help: "How to print where it listens and the key that was made up.")
    var output: OutputFormat = .human

    func validate() throws {
        guard ossOnly else {
            throw ValidationError(
                "the ExportImage service isn't part of this version of Lathe; with --oss-only, objects are served.")
        }
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
            do throws(StoreError) {
                try serve(until: signals)
            } catch {
                throw error.imageError
            }
        }
    }

    private func serve(until signals: SignalListener.Signals) throws(StoreError) {
        let store = try DirectoryStore(path: dataDirectory)
        // Whatever is this old was left by a process that was killed.
        try store.sweep(olderThan: 24 * 3600)
        var configuration = OSSServerConfiguration()
        configuration.host = host
        configuration.port = port
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
        let server = try waiting { () async throws(StoreError) in try await OSSServer.start(store, settings) }
        let report = ServeReport(
            endpoint: server.endpoint, directory: dataDirectory, accessKeyId: madeUp?.accessKeyID,
            accessKeySecret: madeUp?.accessKeySecret)
        // Who started it and looks at nothing that it prints has it run all the same.
        try? Rendering.render(report, as: output) { report.text }
        SignalListener.wait(for: signals)
        waiting { await server.stop() }
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
