public import NIOCore
internal import NIOHTTP1

/// How long a client may take over what it sends.
public struct ClientPatience: Sendable {
    /// From the beginning of the connection to the end of the first request's head.
    public var firstHead: TimeAmount
    /// From an answer to the end of the next request's head; also the time that a body's pace is measured over.
    public var idle: TimeAmount
    /// The fewest bytes of a body that must come in a second, on average over the idle time.
    public var leastBodyRate: Int

    public init(firstHead: TimeAmount, idle: TimeAmount, leastBodyRate: Int = 1024) {
        self.firstHead = min(firstHead, idle)
        self.idle = idle
        self.leastBodyRate = leastBodyRate
    }
}

/// Watches over the requests of one connection: that each comes in time, however it drips, and that what RFC 9112 says of HTTP/1.0
/// and of the end of a connection is kept.
///
/// It stands behind what parses requests.
final class RequestWatch: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// How long a client may keep its end open behind the last answer: what is closed at once may take the answer with it.
    private static let linger = TimeAmount.seconds(2)

    private let patience: ClientPatience
    private var cut: Scheduled<Void>?
    private var course = RequestCourse()
    private var pace: BodyPace
    /// Whether nothing that comes means anything any more.
    private var isDeaf = false

    init(_ patience: ClientPatience) {
        self.patience = patience
        pace = BodyPace(window: patience.idle, leastRate: patience.leastBodyRate)
    }

    func handlerAdded(context: ChannelHandlerContext) { cut(context, in: patience.firstHead) }

    func handlerRemoved(context: ChannelHandlerContext) { cut?.cancel() }

    func channelInactive(context: ChannelHandlerContext) {
        cut?.cancel()
        context.fireChannelInactive()
    }

    func read(context: ChannelHandlerContext) {
        pace.ask(at: .now())
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isDeaf else { return }
        switch unwrapInboundIn(data) {
        case .head(var head):
            switch course.take(&head) {
            case .request: break
            case .nothing: return isDeaf = true
            case .malformed:
                isDeaf = true
                // Behind the answers that are still to be sent, it becomes 400 and the end.
                return context.fireErrorCaught(HTTPParserError.invalidVersion)
            }
            cut?.cancel()
            pace.begin(at: .now())
            context.fireChannelRead(wrapInboundOut(.head(head)))
        case .body(let bytes):
            guard pace.take(bytes.readableBytes, at: .now()) else { return context.close(promise: nil) }
            context.fireChannelRead(data)
        case .end: context.fireChannelRead(data)
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(var head):
            course.begin(&head)
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .body: context.write(data, promise: promise)
        case .end:
            context.write(data, promise: promise)
            switch course.end() {
            case .more: break
            case .idle: cut(context, in: patience.idle)
            case .last: cut(context, in: Self.linger)
            }
        }
    }

    /// Closes the connection in a while, unless it is called, or called off, again.
    private func cut(_ context: ChannelHandlerContext, in time: TimeAmount) {
        cut?.cancel()
        cut = context.eventLoop.assumeIsolated().scheduleTask(in: time) { context.close(promise: nil) }
    }
}

/// The requests and answers of one connection, in their order.
struct RequestCourse {
    /// What a head is: a request, one behind the last, or one that has no answer but an error.
    enum Arrival { case request, nothing, malformed }
    /// What there is behind an answer: more to answer, nothing as yet, or nothing ever.
    enum Standing { case more, idle, last }

    private var taken = 0
    private var answered = 0
    /// The number of the request behind whose answer the connection ends.
    private var last: Int?

    /// Takes a head, and makes of it what it means to who answers.
    mutating func take(_ head: inout HTTPRequestHead) -> Arrival {
        guard last == nil else { return .nothing }
        guard head.version == .http1_1 || head.version == .http1_0 else { return .malformed }
        var isLast = head.headers[canonicalForm: "connection"].contains { $0.lowercased() == "close" }
        if head.version == .http1_0 {
            // RFC 9112, section 6.1: HTTP/1.0 has no chunks, so where its message ends is anybody's guess.
            guard !head.headers.contains(name: "Transfer-Encoding") else { return .malformed }
            // RFC 9110, section 10.1.1: its clients know no interim answers.
            head.headers.remove(name: "Expect")
            // RFC 9112, section 9.3: a server need not keep such a connection, whatever the client asks for.
            isLast = true
        }
        taken += 1
        if isLast {
            last = taken
            head.headers.replaceOrAdd(name: "Connection", value: "close")
        }
        return .request
    }

    /// Notes that an answer begins; the last one says that it is that (RFC 9112, section 9.6).
    mutating func begin(_ head: inout HTTPResponseHead) {
        guard head.status.code >= 200 else { return }
        let next = answered + 1
        if last == next || next > taken { head.headers.replaceOrAdd(name: "Connection", value: "close") }
        let isLast = head.headers[canonicalForm: "connection"].contains { $0.lowercased() == "close" }
        if isLast { last = min(last ?? next, next) }
    }

    mutating func end() -> Standing {
        answered += 1
        if let last, answered >= last { return .last }
        return answered >= taken ? .idle : .more
    }
}

/// Whether a body comes as fast as it must, over the time in which it was waited for.
struct BodyPace {
    let window: TimeAmount
    let leastRate: Int
    /// Since when bytes are waited for; nil where whoever reads does not ask for any.
    private var asked: NIODeadline?
    private var waited = TimeAmount.zero
    private var received = 0

    init(window: TimeAmount, leastRate: Int) {
        self.window = window
        self.leastRate = leastRate
    }

    /// A body begins.
    mutating func begin(at now: NIODeadline) {
        waited = .zero
        received = 0
        if asked != nil { asked = now }
    }

    mutating func ask(at now: NIODeadline) { asked = asked ?? now }

    /// - Returns: false where it comes too slowly.
    mutating func take(_ count: Int, at now: NIODeadline) -> Bool {
        if let asked { waited = waited + (now - asked) }
        asked = nil
        received += count
        guard waited >= window else { return true }
        let least = Double(leastRate) * Double(waited.nanoseconds) / 1e9
        let isFastEnough = Double(received) >= least
        waited = .zero
        received = 0
        return isFastEnough
    }
}
