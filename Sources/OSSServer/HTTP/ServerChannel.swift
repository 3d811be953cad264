internal import HummingbirdCore
internal import Logging
internal import NIOCore

/// A connection of HTTP/1 that is read in big pieces.
struct ServerChannel: ServerChildChannel {
    typealias Value = HTTP1Channel.Value

    /// What is read from the network at once, in bytes: the fewer the pieces, the fewer the hops of the body.
    private static let readLength = 256 << 10

    private let http1: HTTP1Channel

    /// - Parameter idleTimeout: how long a client may send nothing, in the midst of a request or between two.
    init(idleTimeout: TimeAmount, _ responder: Responder) {
        http1 = HTTP1Channel(
            responder: { request, writer, channel in try await responder.respond(to: request, writer, channel) },
            configuration: HTTP1Channel.Configuration(
                idleTimeout: idleTimeout,
                // A key of 1023 bytes, escaped, and 8 KiB of user metadata are well within.
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: 16 << 10, maxHeaderListSize: 48 << 10, maxHeaderFieldCount: 200)))
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.setOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: Self.readLength)).flatMap {
            http1.setup(channel: channel, logger: logger)
        }
    }

    func handle(value: Value, logger: Logger) async { await http1.handle(value: value, logger: logger) }
}
