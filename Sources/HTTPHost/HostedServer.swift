internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOPosix

/// A port that is listened on, and the connections on it.
public final class HostedServer: Sendable {
    /// Where it listens: an address of this machine.
    public let host: String
    /// The port that was asked for, or the one that was free.
    public let port: Int

    private let server: Server<HostedChannel>
    private let running: Task<Void, Never>
    private let opened: EventLoopPromise<Void>

    /// The address for clients: `http://127.0.0.1:8080`.
    public var endpoint: String { "http://\(host.contains(":") ? "[\(host)]" : host):\(port)" }

    /// Listens, and returns when it does.
    ///
    /// Connections wait until `open`; whoever starts a server stops it.
    ///
    /// - Parameters:
    ///   - host: the address to listen on, or a name of it.
    ///   - port: 0 takes any that is free.
    /// - Throws: what the system says where the address can't be listened on.
    public static func listen(
        host: String, port: Int, _ slots: ConnectionSlots, _ channel: HostedChannel
    ) async throws -> HostedServer {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let bound = loop.makePromise(of: SocketAddress?.self)
        let opened = loop.makePromise(of: Void.self)
        let server = Server(
            childChannelSetup: channel,
            configuration: ServerConfiguration(
                address: .hostname(host, port: port), availableConnectionsDelegate: ConnectionSlots.Gate(slots)),
            onServerRunning: { listener in
                slots.attend(to: listener)
                bound.succeed(listener.localAddress)
                // It never fails.
                try? await opened.futureResult.get()
            }, eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "lathe.http") { _ in SwiftLogNoOpLogHandler() })
        let running = Task {
            do {
                try await server.run()
            } catch {
                bound.fail(error)
            }
        }
        do {
            let address = try await bound.futureResult.get()
            return HostedServer(
                host: address?.ipAddress ?? host, port: address?.port ?? port, server, running, opened)
        } catch {
            opened.succeed()
            throw error
        }
    }

    private init(
        host: String, port: Int, _ server: Server<HostedChannel>, _ running: Task<Void, Never>,
        _ opened: EventLoopPromise<Void>
    ) {
        self.host = host
        self.port = port
        self.server = server
        self.running = running
        self.opened = opened
    }

    /// Answers what has come, and what comes from now on.
    public func open() { opened.succeed() }

    /// Returns when the server has ended.
    public func waitUntilStopped() async { await running.value }

    /// Listens no more, lets requests that are under way end, and cuts off those that take longer.
    ///
    /// - Parameter patience: in seconds.
    public func stop(patience: Double) async {
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
            // Nothing is answered any more; what came before it was open is let go.
            open()
            await group.next()
            group.cancelAll()
        }
    }
}
