public import ECSWire
internal import Glibc
internal import HTTPHost
internal import HummingbirdCore
internal import NIOCore

/// Why the gateway can't start.
public struct ECSServerError: Error, CustomStringConvertible {
    /// What was found and what was expected.
    public let message: String
    public let cause: (any Error)?

    public var description: String { cause.map { "\(message): \($0)" } ?? message }
}

/// The HTTP gateway of the API: it reads requests, proves their signatures, and hands those that are right to a backend.
///
/// It speaks HTTP/1.1 without TLS. Nothing of an unsigned request reaches the backend but its key's ID, in a question.
public final class ECSServer: Sendable {
    private let server: HostedServer
    private let pool: BlockingPool

    /// Where it listens: an address of this machine.
    public var host: String { server.host }
    /// The port that was asked for, or the one that was free.
    public var port: Int { server.port }
    /// The address for clients: `http://127.0.0.1:8080`.
    public var endpoint: String { server.endpoint }

    /// Starts to listen and to answer; whoever starts a server stops it.
    ///
    /// - Parameter pages: what stands at which path, as `/console`; `/`, `/healthz`, `/readyz` and `/metrics` are taken.
    /// - Throws: where the port or a path can't be had.
    public static func start(
        _ backend: some RPCBackend, _ configuration: ECSServerConfiguration = .init(),
        pages: [String: StaticPage] = [:]
    ) async throws(ECSServerError) -> ECSServer {
        let server = try await listen(backend, configuration, pages: pages)
        server.open()
        return server
    }

    /// Listens only: requests wait until `open`.
    ///
    /// - Throws: as `start`.
    public static func listen(
        _ backend: some RPCBackend, _ configuration: ECSServerConfiguration = .init(),
        pages: [String: StaticPage] = [:]
    ) async throws(ECSServerError) -> ECSServer {
        try check(configuration, pages)
        let pool = BlockingPool(threadCount: max(1, configuration.threadCount))
        let slots = ConnectionSlots(limit: configuration.connectionLimit)
        let responder = Responder(backend, configuration, pages: pages, pool, slots)
        let channel = HostedChannel(
            slots, configuration.clientPatience,
            // The vendor's older client has all parameters in the first line, which counts as a field. A token is the
            // longest of the others. A little more than is allowed can still be answered in the API's own words.
            decoder: .init(maxHeaderFieldSize: 80 << 10, maxHeaderListSize: 112 << 10, maxHeaderFieldCount: 100)
        ) { request, writer, channel in try await responder.respond(to: request, writer, channel) }
        do {
            let server = try await HostedServer.listen(
                host: configuration.host, port: configuration.port, slots, channel)
            return ECSServer(server, pool)
        } catch {
            await pool.stop()
            throw ECSServerError(
                message: "the address \(configuration.host), port \(configuration.port), can't be listened on",
                cause: error)
        }
    }

    private init(_ server: HostedServer, _ pool: BlockingPool) {
        self.server = server
        self.pool = pool
    }

    private static func check(
        _ configuration: ECSServerConfiguration, _ pages: [String: StaticPage]
    ) throws(ECSServerError) {
        guard (0...65535).contains(configuration.port) else {
            throw ECSServerError(
                message: "a port is a number from 0 to 65535, not \(configuration.port)", cause: nil)
        }
        for path in pages.keys where !path.hasPrefix("/") || Responder.ownPaths.contains(path) {
            throw ECSServerError(
                message: "a page's path begins with '/' and is none of \(Responder.ownPaths.sorted()), not '\(path)'",
                cause: nil)
        }
    }

    /// Answers what has come since it listens, and what comes from now on.
    public func open() { server.open() }

    /// Returns when the server has ended.
    public func waitUntilStopped() async { await server.waitUntilStopped() }

    /// Listens no more, lets requests that are under way end, and cuts off those that take longer.
    ///
    /// - Parameter patience: in seconds.
    public func stop(patience: Double = 5) async {
        await server.stop(patience: patience)
        await pool.stop()
    }
}

extension ECSServerConfiguration {
    /// How long a client may keep the gateway waiting.
    var patience: TimeAmount { clientPatience.idle }

    var clientPatience: ClientPatience {
        let seconds = { (value: Int) in TimeAmount.seconds(Int64(max(1, min(value, 24 * 3600)))) }
        return ClientPatience(firstHead: seconds(headSeconds), idle: seconds(idleSeconds))
    }

    /// The time, in seconds since 1970-01-01 UTC.
    var timeSource: @Sendable () -> UInt64 { clock ?? { UInt64(clamping: time(nil)) } }
}
