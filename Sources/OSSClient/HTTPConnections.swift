internal import AsyncHTTPClient
internal import Dispatch
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL
internal import ObjectStorage
internal import Synchronization

/// A request as it is sent.
struct HTTPMessage: Sendable {
    var method: String
    /// Escaped.
    var url: String
    /// Signed, if at all.
    var headers: [(name: String, value: String)]
    /// The longest body of an answer that is no error, in bytes.
    var answerLimit: Int
    /// Whether the server may think for long before it answers.
    var isSlow = false
}

/// An answer as it came.
struct HTTPAnswer: Sendable {
    var status: Int
    var headers: HTTPHeaders
    var body: [UInt8]

    func header(_ name: String) -> String? { headers.first(name: name) }
}

/// Connections to one server, on event loops of their own.
///
/// Requests are made from threads that may wait, at most so many at once, and never from an event loop. Redirects are not
/// followed, since they would carry credentials to whomever the server names.
final class HTTPConnections: Sendable {
    private let group: MultiThreadedEventLoopGroup
    private let client: HTTPClient
    /// A request without a connection to wait for would be counted against the time it takes to connect.
    private let slots: DispatchSemaphore
    private let options: ConnectionOptions
    private let isShutDown = Mutex(false)

    /// - Throws: `invalid-request` where the file of certificates can't be used.
    init(_ options: ConnectionOptions, isSecure: Bool) throws(StoreError) {
        var configuration = HTTPClient.Configuration(
            tlsConfiguration: try Self.trust(options, isSecure: isSecure), redirectConfiguration: .disallow,
            timeout: .init(connect: .milliseconds(Int64(options.connectTimeout * 1000))),
            connectionPool: .init(
                idleTimeout: .seconds(15), concurrentHTTP1ConnectionsPerHostSoftLimit: options.connections))
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        configuration.http1_1ConnectionDebugInitializer = { channel in
            // Two pieces of a body may wait for the kernel, and little of it in the kernel for the network: else the last
            // megabytes of a part, long handed over, would still be on their way when the answer is waited for.
            let marks = ChannelOptions.Types.WriteBufferWaterMark(low: 256 << 10, high: 768 << 10)
            let unsentLimit = ChannelOptions.Types.SocketOption(level: .tcp, name: .init(rawValue: 25))
            return channel.setOption(.writeBufferWaterMark, value: marks)
                .flatMap { channel.setOption(unsentLimit, value: 512 << 10) }
                .flatMapError { _ in channel.eventLoop.makeSucceededVoidFuture() }
        }
        group = MultiThreadedEventLoopGroup(numberOfThreads: max(1, min(4, System.coreCount / 2)))
        client = HTTPClient(eventLoopGroupProvider: .shared(group), configuration: configuration)
        slots = DispatchSemaphore(value: max(1, options.connections))
        self.options = options
    }

    deinit {
        guard begunShutdown() else { return }
        // Whoever lets go of it last may be an event loop itself, which must not wait.
        client.shutdown { [group] _ in group.shutdownGracefully { _ in } }
    }

    /// Closes all connections and ends the event loops; requests that are under way fail, and so do later ones.
    func shutdown() {
        guard begunShutdown() else { return }
        // Both can only fail by being shut down already.
        try? client.syncShutdown()
        try? group.syncShutdownGracefully()
    }

    private func begunShutdown() -> Bool {
        isShutDown.withLock { done in
            defer { done = true }
            return !done
        }
    }

    private static func trust(_ options: ConnectionOptions, isSecure: Bool) throws(StoreError) -> TLSConfiguration? {
        guard isSecure else { return nil }
        var tls = TLSConfiguration.makeClientConfiguration()
        guard let path = options.caCertificatePath else { return tls }
        do {
            let certificates = try NIOSSLCertificate.fromPEMFile(path)
            guard !certificates.isEmpty else { throw NIOSSLError.failedToLoadCertificate }
            tls.additionalTrustRoots = [.certificates(certificates)]
        } catch {
            throw StoreError(
                .invalidRequest,
                "no certificate can be read from '\(path)'; a file of certificates in PEM was expected",
                cause: error)
        }
        return tls
    }

    /// Sends a request and waits for its answer, whatever its status.
    ///
    /// - Precondition: the calling thread is no event loop.
    /// - Throws: `connection`, `malformed-answer`, and what the body throws.
    func send(_ message: HTTPMessage, body: ObjectBody? = nil) throws(StoreError) -> HTTPAnswer {
        precondition(
            MultiThreadedEventLoopGroup.currentEventLoop == nil, "a store is not called from an event loop: it waits")
        slots.wait()
        defer { slots.signal() }
        let loop = group.any()
        // Not the body itself: an exchange may live longer than the call.
        let requireWanted = (body ?? ObjectBody([])).requireWanted
        let exchange = HTTPExchange(
            answerLimit: message.answerLimit, patience: options.idleTimeout, loop: loop,
            answerPatience: message.isSlow ? max(options.idleTimeout, options.completionTimeout) : options.idleTimeout,
            requireWanted: requireWanted)
        var headers = HTTPHeaders()
        for header in message.headers { headers.add(name: header.name, value: header.value) }
        let request: HTTPClient.Request
        do {
            request = try HTTPClient.Request(
                url: message.url, method: HTTPMethod(rawValue: message.method), headers: headers,
                body: body.flatMap { body in
                    body.length == 0
                        ? nil
                        : .stream(contentLength: Int64(body.length)) { writer in exchange.beginBody(writer) }
                })
        } catch {
            throw HTTPFailure.storeError(error, patience: options.idleTimeout)
        }
        guard !isShutDown.withLock({ $0 }) else {
            throw StoreError(.cancelled, "the store has been shut down")
        }
        let task = client.execute(request: request, delegate: exchange, eventLoop: .delegate(on: loop))
        task.futureResult.whenComplete { exchange.end($0) }
        defer { if exchange.abandon() { task.cancel() } }
        if let body, body.length > 0 { try exchange.feed(body) }
        return try exchange.answer()
    }
}
