internal import ArgumentParser
internal import ECSServer
internal import ExportService
internal import ImageFiles
internal import ImageModel
internal import ImagePipeline
internal import Logging
internal import OSSServer
internal import ObjectStorage
internal import ServiceLifecycle

/// `serve` as the ExportImage service: its API, the tasks behind it, and the endpoint of the embedded store, in one process.
struct ServiceServing {
    var dataDirectory: String
    var host: String
    var port: Int
    /// Where a bucket is that is made by the embedded endpoint.
    var region: String
    var arguments: ServiceArguments
    var isVerbose: Bool
    var output: OutputFormat

    /// Serves until a signal comes.
    func run(until signals: SignalListener.Signals) throws {
        let state = try recording { () throws(StateError) in try ServiceState(directory: dataDirectory) }
        // Two processes would carry out the same tasks.
        guard let lock = try LockFile.take(state.lockPath) else {
            throw ImageError(
                .invalidOption,
                "another process serves this data directory; end it, or name another with --data-directory",
                path: dataDirectory)
        }
        let logger = self.logger
        try recording { () throws(StateError) in try state.makeDirectories() }
        state.removeStaleLocks()
        let configuration = try arguments.config.map(ConfigurationFile.read)
        let (buckets, objects) = try self.buckets(state)
        let service = ExportService(
            state, buckets: buckets, worker: ImageWorker(), settings: arguments.settings, logger: logger)
        // Whatever can fail without a trace comes before there is a secret that is shown once.
        let access = AccountAccess(state: state, buckets: buckets, regionID: region)
        let endpoint = try objects.map { try listenForObjects($0, access, logger) }
        let gateway = try listen(service, logger)
        service.announce(endpoint: arguments.publicEndpoint ?? "\(gateway.authority)")
        var report = ServiceReport(directory: dataDirectory)
        (report.endpoint, report.ossEndpoint) = (gateway.endpoint, endpoint?.endpoint)
        let printed = try setUp(state, configuration, report, example: gateway.authority)
        if objects != nil { try makeBuckets(state, buckets) }
        // What was under way goes on before the first request comes.
        try recording { () throws(StateError) in try service.start() }
        endpoint?.open()
        gateway.open()
        var services: [any Service] = []
        if let endpoint { services.append(StartedService { await endpoint.stop() }) }
        services.append(StartedService { await onThread { service.stop() } })
        services.append(StartedService { await gateway.stop() })
        wait(for: services, until: signals, logger)
        lock.release()
        try printed.get()
    }

    private var logger: Logger {
        let (format, level) = (arguments.log ?? .human, isVerbose ? Logger.Level.info : .notice)
        return Logger(label: "lathe") { _ in ServiceLog(format, level: level) }
    }

    // MARK: Before it listens

    /// Where the buckets are, and the embedded store where it is that.
    private func buckets(_ state: ServiceState) throws -> (any BucketProvider, DirectoryStore?) {
        if let remote = try arguments.remoteBuckets() { return (remote, nil) }
        do throws(StoreError) {
            let store = try DirectoryStore(path: state.objectsPath)
            // Whatever is this old was left by a process that was killed.
            try store.sweep(olderThan: 24 * 3600)
            return (DirectoryBuckets(store: store), store)
        } catch {
            throw error.imageError
        }
    }

    // MARK: Between listening and answering

    /// Makes what the configuration says, and what a first start makes, and prints it.
    ///
    /// A secret that is shown once is printed before anything is kept, all but the end of the text: who has read that far may use
    /// what was made.
    ///
    /// - Returns: whether it could be printed, where nobody needs it. Who started it and looks at nothing that it prints has it
    ///   run all the same.
    private func setUp(
        _ state: ServiceState, _ configuration: ConfigurationFile.Content?, _ report: ServiceReport, example: String
    ) throws -> Result<Void, any Error> {
        var printed: Result<Void, any Error> = .success(())
        var rest = ""
        _ = try recording { () throws(StateError) in
            try state.setUp(
                configuration.map { ($0.configuration, facts: $0.facts) }, hasBucket: arguments.ossEndpoint == nil
            ) { (first, applied) throws(StateError) in
                var report = report
                report.take(first, applied.madeKeys, example: example)
                printed = Result {
                    let text = try Rendering.text(of: report, as: output) { report.text }
                    rest = String(text.suffix(2))
                    try Rendering.write(String(text.dropLast(2)))
                }
                guard first != nil || !applied.madeKeys.isEmpty, case .failure(let error) = printed else { return }
                throw StateError(
                    .unavailable,
                    "a first start makes an account whose secret is shown this once, and it could not be, so nothing was made; "
                        + "start it with a standard output (\(error))", subject: dataDirectory)
            }
        }
        return printed.flatMap { Result { try Rendering.write(rest) } }
    }

    /// Makes those that the records say there are, in the embedded store.
    private func makeBuckets(_ state: ServiceState, _ buckets: any BucketProvider) throws {
        let rows = try recording { () throws(StateError) in try state.buckets() }
        do throws(StoreError) {
            for row in rows { try buckets.create(row.name) }
        } catch {
            throw error.imageError
        }
    }

    // MARK: Listening

    private func listenForObjects(
        _ store: DirectoryStore, _ access: AccountAccess, _ logger: Logger
    ) throws -> OSSServer {
        var configuration = OSSServerConfiguration()
        configuration.host = host
        configuration.port = arguments.ossPort ?? 8080
        configuration.region = region
        configuration.connectionLimit = Self.connectionLimit
        configuration.access = access
        configuration.observer = { record in
            if let cause = record.cause {
                logger.error(
                    "a request for objects failed", metadata: ["request": "\(record.id)", "cause": "\(cause)"])
            } else {
                logger.info("objects: \(record.line)", metadata: ["request": "\(record.id)"])
            }
        }
        let settings = configuration
        do throws(StoreError) {
            return try waiting { () async throws(StoreError) in try await OSSServer.listen(store, settings) }
        } catch {
            throw error.imageError
        }
    }

    private func listen(_ service: ExportService, _ logger: Logger) throws -> ECSServer {
        var configuration = ECSServerConfiguration()
        configuration.host = host
        configuration.port = port
        configuration.connectionLimit = Self.connectionLimit
        configuration.requestsPerSecond = arguments.requestsPerSecond
        configuration.observer = { record in
            if let cause = record.cause {
                logger.error("\(record.line)", metadata: ["request": "\(record.requestID)", "cause": "\(cause)"])
            } else {
                logger.info("\(record.line)", metadata: ["request": "\(record.requestID)"])
            }
        }
        let settings = configuration
        do throws(StoreError) {
            return try waiting { () async throws(StoreError) in
                do throws(ECSServerError) {
                    return try await ECSServer.listen(service, settings, pages: ConsolePages.all)
                } catch {
                    throw StoreError(.connection, error.description)
                }
            }
        } catch {
            throw error.imageError
        }
    }

    /// How many connections each of the two ports has: with both full, there are files left for disks and objects.
    private static var connectionLimit: Int { max(16, min(512, (ProcessPreparation.fileLimit - 128) / 3)) }

    // MARK: Ending

    /// Returns when a signal has come and everything has ended: the gateway first, then the tasks, then the store.
    private func wait(for services: [any Service], until signals: SignalListener.Signals, _ logger: Logger) {
        let group = ServiceGroup(services: services, logger: Logger(label: "lathe") { _ in SwiftLogNoOpLogHandler() })
        BackgroundThread.start {
            SignalListener.wait(for: signals)
            logger.notice("the service ends")
            Task.detached { await group.triggerGracefulShutdown() }
        }
        waiting {
            do { try await group.run() } catch {
                logger.error("the service ended badly", metadata: ["error": "\(error)"])
            }
        }
    }

    private func recording<Value>(_ body: () throws(StateError) -> Value) throws -> Value {
        do throws(StateError) { return try body() } catch {
            throw ImageError(.inputOutput, error.message, path: error.subject)
        }
    }
}

/// Something that was started already, and is stopped in its turn.
private struct StartedService: Service {
    let stop: @Sendable () async -> Void

    func run() async throws {
        try await gracefulShutdown()
        await stop()
    }
}

/// Runs what blocks on a thread of its own.
private func onThread(_ body: @escaping @Sendable () -> Void) async {
    await withCheckedContinuation { continuation in
        BackgroundThread.start {
            body()
            continuation.resume()
        }
    }
}

extension ECSServer {
    /// Host and port, as a client's configuration has them.
    fileprivate var authority: String { String(endpoint.dropFirst("http://".count)) }
}
