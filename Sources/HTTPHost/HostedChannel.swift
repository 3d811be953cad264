public import HummingbirdCore
public import Logging
public import NIOCore
internal import NIOHTTP1

/// A connection of HTTP/1 that has a place among those of its port, and no more time than it is given.
public struct HostedChannel: ServerChildChannel {
    public typealias Value = HTTP1Channel.Value

    private let http1: HTTP1Channel
    private let slots: ConnectionSlots
    private let patience: ClientPatience
    private let greatestRead: Int

    /// - Parameters:
    ///   - decoder: how long heads may be.
    ///   - greatestRead: how much is read from the network at once where much comes, in bytes.
    ///   - responder: answers a request; the channel is what `slots` knows the connection by.
    public init(
        _ slots: ConnectionSlots, _ patience: ClientPatience,
        decoder: HTTP1Channel.Configuration.DecoderConfiguration, greatestRead: Int = 64 << 10,
        responder: @escaping HTTPChannelHandler.Responder
    ) {
        http1 = HTTP1Channel(
            responder: responder,
            configuration: HTTP1Channel.Configuration(idleTimeout: patience.idle, httpDecoderConfiguration: decoder))
        self.slots = slots
        self.patience = patience
        self.greatestRead = greatestRead
    }

    public func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        slots.admit(channel)
        let patience = patience
        // A buffer grows with what comes: most connections send a head, and many nothing.
        let buffers = AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 2048, maximum: greatestRead)
        return channel.setOption(.recvAllocator, value: buffers).flatMap {
            http1.setup(channel: channel, logger: logger)
        }.flatMapThrowing { value in
            let pipeline = channel.pipeline.syncOperations
            let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
            try pipeline.addHandler(RequestWatch(patience), position: .after(decoder))
            return value
        }
    }

    public func handle(value: Value, logger: Logger) async { await http1.handle(value: value, logger: logger) }
}
