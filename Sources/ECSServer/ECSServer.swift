public import ECSWire
internal import Glibc
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOPosix

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
    /// Where it listens: an address of this machine.
    public let host: String
    /// The port that was asked for, or the one that was free.
    public let port: Int

    private let server: Server<HTTP1Channel>
    private let running: Task<Void, Never>
    private let pool: BlockingPool

    /// The address for clients: `http://127.0.0.1:8080`.
    public var endpoint: String { "http://\(host.contains(":") ? "[\(host)]" : host):\(port)" }

    /// Starts to listen, and returns when it does; whoever starts a server stops it.
    ///
    /// - Parameter pages: what stands at which path, as `/console`; `/`, `/healthz`, `/readyz` and `/metrics` are taken.
    /// - Throws: where the port or a path can't be had.
    public static func start(
        _ backend: some RPCBackend, _ configuration: ECSServerConfiguration = .init(),
        pages: [String: StaticPage] = [:]
    ) async throws(ECSServerError) -> ECSServer {
        try check(configuration, pages)
        let pool = BlockingPool(threadCount: max(1, configuration.threadCount))
        let bound = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: SocketAddress?.self)
        let server = Server(
            childChannelSetup: channel(Responder(backend, configuration, pages: pages, pool), configuration),
            configuration: ServerConfiguration(
                address: .hostname(configuration.host, port: configuration.port),
                availableConnectionsDelegate: MaximumAvailableConnections(max(1, configuration.connectionLimit))),
            onServerRunning: { bound.succeed($0.localAddress) }, eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "lathe.ecs-server") { _ in SwiftLogNoOpLogHandler() })
        let running = Task {
            do {
                try await server.run()
            } catch {
                bound.fail(error)
            }
        }
        do {
            let address = try await bound.futureResult.get()
            return ECSServer(address, configuration, server, running, pool)
        } catch {
            await pool.stop()
            throw ECSServerError(
                message: "the address \(configuration.host), port \(configuration.port), can't be listened on",
                cause: error)
        }
    }

    private init(
        _ address: SocketAddress?, _ configuration: ECSServerConfiguration, _ server: Server<HTTP1Channel>,
        _ running: Task<Void, Never>, _ pool: BlockingPool
    ) {
        host = address?.ipAddress ?? configuration.host
        port = address?.port ?? configuration.port
        self.server = server
        self.running = running
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

    private static func channel(_ responder: Responder, _ configuration: ECSServerConfiguration) -> HTTP1Channel {
        HTTP1Channel(
            responder: { request, writer, channel in try await responder.respond(to: request, writer, channel) },
            configuration: HTTP1Channel.Configuration(
                idleTimeout: configuration.patience,
                // The vendor's older client has all parameters in the first line, which counts as a field. A token is the
                // longest of the others. A little more than is allowed can still be answered in the API's own words.
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: 80 << 10, maxHeaderListSize: 112 << 10, maxHeaderFieldCount: 100)))
    }

    /// Returns when the server has ended.
    public func waitUntilStopped() async { await running.value }

    /// Listens no more, lets requests that are under way end, and cuts off those that take longer.
    ///
    /// - Parameter patience: in seconds.
    public func stop(patience: Double = 5) async {
        let (server, running) = (server, running)
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                try? await server.shutdownGracefully()
                await running.value
            }
            group.addTask {
                // It ends early where the rest has ended.
                try? await Task.sleep(for: .seconds(patience))
                running.cancel()
            }
            await group.next()
            group.cancelAll()
        }
        await pool.stop()
    }
}

extension ECSServerConfiguration {
    /// How long a client may keep the gateway waiting.
    var patience: TimeAmount { .seconds(Int64(max(1, min(idleSeconds, 24 * 3600)))) }

    /// The time, in seconds since 1970-01-01 UTC.
    var timeSource: @Sendable () -> UInt64 { clock ?? { UInt64(clamping: time(nil)) } }
}
