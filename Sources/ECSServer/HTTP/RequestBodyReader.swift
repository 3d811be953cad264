internal import Hummingbird
internal import HummingbirdCore
internal import NIOCore

/// The body of one request, read as a whole up to a limit, or cut off.
struct RequestBodyReader {
    private var iterator: RequestBody.AsyncIterator
    /// What `Content-Length` says; nil for a body in chunks, and for none.
    private let announced: Int?
    private let channel: any Channel
    private let patience: TimeAmount
    /// Whether bytes of the body may still come.
    private(set) var isUnread: Bool

    /// - Parameter patience: how long the whole body may take.
    init(_ request: Request, _ channel: any Channel, patience: TimeAmount) {
        iterator = request.body.makeAsyncIterator()
        announced = request.headers[.contentLength].flatMap { Int($0) }
        isUnread = request.headers[.transferEncoding] != nil || announced.map { $0 > 0 } ?? false
        self.channel = channel
        self.patience = patience
    }

    /// - Returns: nil where the body is longer than `limit` bytes; what comes behind them is not read then.
    /// - Throws: `ConnectionLost` where it does not come to its end.
    @concurrent
    mutating func collect(upTo limit: Int) async throws -> [UInt8]? {
        if let announced, announced > limit { return nil }
        // A client that goes on for ever, byte by byte, is never idle.
        let cut = channel.eventLoop.scheduleTask(in: patience) { [channel] in channel.close(promise: nil) }
        defer { cut.cancel() }
        var bytes: [UInt8] = []
        while let buffer = try await next() {
            guard bytes.count + buffer.readableBytes <= limit else { return nil }
            bytes.append(contentsOf: buffer.readableBytesView)
        }
        if let announced, announced != bytes.count { throw ConnectionLost(cause: nil) }
        isUnread = false
        return bytes
    }

    /// Takes some of what the client is still sending: a connection that is closed with bytes unread is reset, and with that
    /// the answer lost, before the client has looked at it.
    @concurrent
    mutating func drain() async {
        let cut = channel.eventLoop.scheduleTask(in: min(patience, .seconds(2))) { [channel] in
            channel.close(promise: nil)
        }
        defer { cut.cancel() }
        var rest = 1 << 20
        while rest > 0, let buffer = try? await next() { rest -= buffer.readableBytes }
    }

    @concurrent
    private mutating func next() async throws -> ByteBuffer? {
        do { return try await iterator.next() } catch { throw ConnectionLost(cause: error) }
    }
}

/// The connection broke, so nothing can be answered.
struct ConnectionLost: Error {
    let cause: (any Error)?
}

/// All is answered, and the connection is to be closed.
struct ConnectionDone: Error {}
