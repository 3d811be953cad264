internal import Glibc
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOPosix
public import ObjectStorage

/// An OSS-compatible HTTP endpoint over a directory store, for tests, for offline work and for the service.
///
/// It speaks HTTP/1.1 without TLS. What OSS has and it has not is answered with `NotImplemented`, never ignored.
public final class OSSServer: Sendable {
    /// Where it listens: an address of this machine.
    public let host: String
    /// The port that was asked for, or the one that was free.
    public let port: Int

    private let server: Server<ServerChannel>
    private let running: Task<Void, Never>
    private let pool: BlockingPool

    /// The address for clients: `http://127.0.0.1:8080`.
    public var endpoint: String { "http://\(host.contains(":") ? "[\(host)]" : host):\(port)" }

    /// Starts to listen, and returns when it does; whoever starts a server stops it.
    ///
    /// - Throws: `connection` where the address can't be listened on; `invalid-request` for a port that is none.
    public static func start(
        _ store: DirectoryStore, _ configuration: OSSServerConfiguration = .init()
    ) async throws(StoreError) -> OSSServer {
        guard (0...65535).contains(configuration.port) else {
            throw StoreError(.invalidRequest, "a port is a number from 0 to 65535, not \(configuration.port)")
        }
        let pool = BlockingPool(threadCount: max(1, configuration.threadCount))
        let bound = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: SocketAddress?.self)
        let server = Server(
            childChannelSetup: ServerChannel(
                idleTimeout: idleTimeout(configuration), responder(store, configuration, pool)),
            configuration: ServerConfiguration(
                address: .hostname(configuration.host, port: configuration.port),
                availableConnectionsDelegate: MaximumAvailableConnections(max(1, configuration.connectionLimit))),
            onServerRunning: { bound.succeed($0.localAddress) }, eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "lathe.oss-server") { _ in SwiftLogNoOpLogHandler() })
        let running = Task {
            do {
                try await server.run()
            } catch {
                bound.fail(error)
            }
        }
        do {
            let address = try await bound.futureResult.get()
            return OSSServer(address, configuration, server, running, pool)
        } catch {
            await pool.stop()
            throw StoreError(
                .connection, "the address \(configuration.host), port \(configuration.port), can't be listened on",
                cause: error)
        }
    }

    private init(
        _ address: SocketAddress?, _ configuration: OSSServerConfiguration, _ server: Server<ServerChannel>,
        _ running: Task<Void, Never>, _ pool: BlockingPool
    ) {
        host = address?.ipAddress ?? configuration.host
        port = address?.port ?? configuration.port
        self.server = server
        self.running = running
        self.pool = pool
    }

    private static func idleTimeout(_ configuration: OSSServerConfiguration) -> TimeAmount {
        .seconds(Int64(max(1, min(configuration.idleSeconds, 24 * 3600))))
    }

    private static func responder(
        _ store: DirectoryStore, _ configuration: OSSServerConfiguration, _ pool: BlockingPool
    ) -> Responder {
        Responder(
            parsing: RequestParsing(store: store, pool: pool, domain: configuration.domain?.lowercased()),
            authenticator: Authenticator(configuration.credentials, access: configuration.access),
            access: configuration.access, allowsAnonymous: configuration.allowsAnonymous,
            service: ObjectService(store: store, pool: pool, region: configuration.region),
            clock: configuration.clock ?? { UInt64(clamping: time(nil)) },
            stallLimit: idleTimeout(configuration), observer: configuration.observer)
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
