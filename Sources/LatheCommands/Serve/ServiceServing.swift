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
        let (setUp, keys) = try prepare(state)
        let (buckets, objects) = try self.buckets(state)
        let service = ExportService(
            state, buckets: buckets, worker: ImageWorker(), settings: arguments.settings, logger: logger)
        var services: [any Service] = []
        var report = ServiceReport(directory: dataDirectory, setUp, keys)
        let access = AccountAccess(state: state, buckets: buckets, regionID: region)
        if let objects {
            let endpoint = try startObjects(objects, access, logger)
            services.append(StartedService { await endpoint.stop() })
            report.ossEndpoint = endpoint.endpoint
        }
        // What was under way goes on before the first request comes.
        try recording { () throws(StateError) in try service.start() }
        services.append(StartedService { await onThread { service.stop() } })
        let gateway = try startGateway(service, logger)
        services.append(StartedService { await gateway.stop() })
        service.announce(endpoint: arguments.publicEndpoint ?? "\(gateway.authority)")
        report.take(gateway, setUp)
        // Who started it and looks at nothing that it prints has it run all the same.
        try? Rendering.render(report, as: output) { report.text }
        wait(for: services, until: signals, logger)
        lock.release()
    }

    private var logger: Logger {
        let (format, level) = (arguments.log ?? .human, isVerbose ? Logger.Level.info : .notice)
        return Logger(label: "lathe") { _ in ServiceLog(format, level: level) }
    }

    // MARK: Before it listens

    /// Makes directories, what the configuration says, and what a first start makes.
    ///
    /// - Returns: also the keys whose secrets were made up.
    private func prepare(_ state: ServiceState) throws -> (FirstSetup?, [AccessKeyRecord]) {
        try recording { () throws(StateError) in try state.makeDirectories() }
        state.removeStaleLocks()
        let keys = try arguments.config.map { try ConfigurationFile.apply($0, to: state) } ?? []
        let isEmbedded = arguments.ossEndpoint == nil
        return (try recording { () throws(StateError) in try state.setUpFirst(hasBucket: isEmbedded) }, keys)
    }

    /// Where the buckets are, and the embedded store where it is that.
    private func buckets(_ state: ServiceState) throws -> (any BucketProvider, DirectoryStore?) {
        if let remote = try arguments.remoteBuckets() { return (remote, nil) }
        do throws(StoreError) {
            let store = try DirectoryStore(path: state.objectsPath)
            // Whatever is this old was left by a process that was killed.
            try store.sweep(olderThan: 24 * 3600)
            let buckets = DirectoryBuckets(store: store)
            let rows: [BucketRecord]
            do throws(StateError) { rows = try state.buckets() } catch { throw StoreError(.server, error.description) }
            for row in rows { try buckets.create(row.name) }
            return (buckets, store)
        } catch {
            throw error.imageError
        }
    }

    // MARK: Listening

    private func startObjects(_ store: DirectoryStore, _ access: AccountAccess, _ logger: Logger) throws -> OSSServer {
        var configuration = OSSServerConfiguration()
        configuration.host = host
        configuration.port = arguments.ossPort ?? 8080
        configuration.region = region
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
            return try waiting { () async throws(StoreError) in try await OSSServer.start(store, settings) }
        } catch {
            throw error.imageError
        }
    }

    private func startGateway(_ service: ExportService, _ logger: Logger) throws -> ECSServer {
        var configuration = ECSServerConfiguration()
        configuration.host = host
        configuration.port = port
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
                    return try await ECSServer.start(service, settings, pages: ConsolePages.all)
                } catch {
                    throw StoreError(.connection, error.description)
                }
            }
        } catch {
            throw error.imageError
        }
    }

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

extension ServiceReport {
    fileprivate mutating func take(_ gateway: ECSServer, _ setUp: FirstSetup?) {
        endpoint = gateway.endpoint
        example = setUp.map { ClientExamples($0, endpoint: gateway.authority).firstPythonSDK }
    }
}
