internal import Glibc
internal import HTTPHost
internal import HummingbirdCore
internal import NIOCore
public import ObjectStorage

/// An OSS-compatible HTTP endpoint over a directory store, for tests, for offline work and for the service.
///
/// It speaks HTTP/1.1 without TLS. What OSS has and it has not is answered with `NotImplemented`, never ignored.
public final class OSSServer: Sendable {
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
    /// - Throws: `connection` where the address can't be listened on; `invalid-request` for a port that is none.
    public static func start(
        _ store: DirectoryStore, _ configuration: OSSServerConfiguration = .init()
    ) async throws(StoreError) -> OSSServer {
        let server = try await listen(store, configuration)
        server.open()
        return server
    }

    /// Listens only: requests wait until `open`.
    ///
    /// - Throws: as `start`.
    public static func listen(
        _ store: DirectoryStore, _ configuration: OSSServerConfiguration = .init()
    ) async throws(StoreError) -> OSSServer {
        guard (0...65535).contains(configuration.port) else {
            throw StoreError(.invalidRequest, "a port is a number from 0 to 65535, not \(configuration.port)")
        }
        let pool = BlockingPool(threadCount: max(1, configuration.threadCount))
        let slots = ConnectionSlots(limit: configuration.connectionLimit)
        let responder = responder(store, configuration, pool, slots)
        let channel = HostedChannel(
            slots, configuration.clientPatience,
            // A key of 1023 bytes, escaped, and 8 KiB of user metadata are well within.
            decoder: .init(maxHeaderFieldSize: 16 << 10, maxHeaderListSize: 48 << 10, maxHeaderFieldCount: 200),
            // The fewer the pieces, the fewer the hops of a body.
            greatestRead: 256 << 10
        ) { request, writer, channel in try await responder.respond(to: request, writer, channel) }
        do {
            let server = try await HostedServer.listen(
                host: configuration.host, port: configuration.port, slots, channel)
            return OSSServer(server, pool)
        } catch {
            await pool.stop()
            throw StoreError(
                .connection, "the address \(configuration.host), port \(configuration.port), can't be listened on",
                cause: error)
        }
    }

    private init(_ server: HostedServer, _ pool: BlockingPool) {
        self.server = server
        self.pool = pool
    }

    private static func responder(
        _ store: DirectoryStore, _ configuration: OSSServerConfiguration, _ pool: BlockingPool, _ slots: ConnectionSlots
    ) -> Responder {
        Responder(
            parsing: RequestParsing(store: store, pool: pool, domain: configuration.domain?.lowercased()),
            authenticator: Authenticator(configuration.credentials, access: configuration.access),
            access: configuration.access, allowsAnonymous: configuration.allowsAnonymous,
            service: ObjectService(store: store, pool: pool, region: configuration.region), slots: slots,
            clock: configuration.clock ?? { UInt64(clamping: time(nil)) },
            stallLimit: configuration.clientPatience.idle, observer: configuration.observer)
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

extension OSSServerConfiguration {
    var clientPatience: ClientPatience {
        let seconds = { (value: Int) in TimeAmount.seconds(Int64(max(1, min(value, 24 * 3600)))) }
        return ClientPatience(firstHead: seconds(headSeconds), idle: seconds(idleSeconds))
    }
}
