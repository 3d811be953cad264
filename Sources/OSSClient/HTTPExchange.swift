internal import AsyncHTTPClient
internal import Dispatch
internal import ImageCodecs
internal import NIOCore
internal import NIOHTTP1
internal import ObjectStorage
internal import Synchronization

/// One request and its answer: the meeting of the thread that waits with the event loop that works.
///
/// The waiting thread hands over the body piece by piece, at most two at a time, and sees at once when the answer is there
/// before the body is gone, or the connection breaks. Where nothing moves for too long, it gives up.
final class HTTPExchange: HTTPClientResponseDelegate {
    typealias Response = HTTPAnswer

    private struct State {
        var writer: HTTPClient.Body.StreamWriter?
        var bodyEnd: EventLoopPromise<Void>?
        /// Pieces that were handed over, and that the connection has not taken yet.
        var pendingPieces = 0
        /// Whether the last piece was handed over.
        var isHandedOver = false
        /// The connection takes no more of the body.
        var isRefused = false
        var isAbandoned = false
        var head: HTTPResponseHead?
        var body: [UInt8] = []
        var result: Result<HTTPAnswer, any Error>?
        /// How often anything has happened.
        var events = 0
    }

    private static let pendingPieceLimit = 2
    /// The longest body of an error that is kept, in bytes.
    private static let errorBodyLimit = 256 << 10
    /// How long more of an error's body is waited for, in seconds, where its length is not known.
    private static let errorPatience = 1.0
    /// How often who waits asks whether it still has to, in seconds.
    private static let glance = 0.25

    private let answerLimit: Int
    private let patience: Double
    private let answerPatience: Double
    private let loop: any EventLoop
    private let requireWanted: @Sendable () throws(StoreError) -> Void
    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)

    /// - Parameters:
    ///   - answerLimit: the longest body of an answer that is no error, in bytes.
    ///   - patience: how long nothing may move, in seconds.
    ///   - answerPatience: the same while nothing but the answer is waited for.
    ///   - loop: any that lives longer than the exchange.
    ///   - requireWanted: is called now and then by who waits, and ends the waiting by an error.
    init(
        answerLimit: Int, patience: Double, loop: any EventLoop, answerPatience: Double,
        requireWanted: @escaping @Sendable () throws(StoreError) -> Void
    ) {
        self.answerLimit = answerLimit
        self.patience = patience
        self.answerPatience = answerPatience
        self.loop = loop
        self.requireWanted = requireWanted
    }

    private func note(_ change: (inout State) -> Void) {
        state.withLock {
            change(&$0)
            $0.events += 1
        }
        wake.signal()
    }

    // MARK: On an event loop

    /// The connection is there and takes the body.
    func beginBody(_ writer: HTTPClient.Body.StreamWriter) -> EventLoopFuture<Void> {
        let promise = loop.makePromise(of: Void.self)
        var isAbandoned = false
        note {
            isAbandoned = $0.isAbandoned
            guard !isAbandoned else { return }
            $0.bodyEnd = promise
            $0.writer = writer
        }
        if isAbandoned { promise.fail(HTTPClientError.cancelled) }
        return promise.futureResult
    }

    func didReceiveHead(task: HTTPClient.Task<HTTPAnswer>, _ head: HTTPResponseHead) -> EventLoopFuture<Void> {
        note {
            $0.head = head
            // The client sends nothing more of a body behind such an answer.
            if head.status.code >= 300 { $0.isRefused = true }
        }
        return task.eventLoop.makeSucceededVoidFuture()
    }

    func didReceiveBodyPart(task: HTTPClient.Task<HTTPAnswer>, _ buffer: ByteBuffer) -> EventLoopFuture<Void> {
        var isTooLong = false
        note {
            let isError = ($0.head?.status.code ?? 0) >= 300
            let room = (isError ? Self.errorBodyLimit : answerLimit) - $0.body.count
            isTooLong = !isError && buffer.readableBytes > room
            $0.body.append(contentsOf: buffer.readableBytesView.prefix(max(0, room)))
        }
        return isTooLong
            ? task.eventLoop.makeFailedFuture(HTTPFailure.tooLong(answerLimit))
            : task.eventLoop.makeSucceededVoidFuture()
    }

    func didFinishRequest(task: HTTPClient.Task<HTTPAnswer>) throws -> HTTPAnswer {
        try state.withLock {
            guard let answer = Self.takeAnswer(&$0) else { throw HTTPFailure.noAnswer }
            return answer
        }
    }

    private static func takeAnswer(_ state: inout State) -> HTTPAnswer? {
        guard let head = state.head else { return nil }
        let body = state.body
        state.body = []
        return HTTPAnswer(status: Int(head.status.code), headers: head.headers, body: body)
    }

    /// The request has come to its end.
    func end(_ result: Result<HTTPAnswer, any Error>) { note { $0.result = result } }

    // MARK: On the thread that waits

    /// Waits until `ready` answers something.
    ///
    /// - Throws: `connection` where nothing happens for `patience` seconds.
    @discardableResult private func wait<Value>(
        _ patience: Double, for what: String, _ ready: (inout State) -> Value?
    ) throws(StoreError) -> Value {
        var end = DispatchTime.now() + patience
        var seen = -1
        while true {
            let (value, events) = state.withLock { (ready(&$0), $0.events) }
            if let value { return value }
            if events != seen {
                seen = events
                end = .now() + patience
            }
            try requireWanted()
            _ = wake.wait(timeout: min(end, .now() + Self.glance))
            guard .now() < end || state.withLock({ $0.events }) != events else {
                throw StoreError(
                    .connection, "the connection stood still for \(patience) s while \(what)", persistence: .transient)
            }
        }
    }

    /// Hands the body over; ends early, without an error, where the connection takes no more of it.
    ///
    /// - Throws: what the body throws; `checksum-mismatch` where its bytes are not those that its CRC-64 is of;
    ///   `connection` where the connection stands still.
    func feed(_ body: ObjectBody) throws(StoreError) {
        let writer = try wait(patience, for: "it was being made") { state in
            state.result != nil ? .some(nil) : state.writer.map(Optional.some)
        }
        guard let writer else { return }
        var isRefused = false
        var read: UInt64 = 0
        var crc64: UInt64 = 0
        do throws(StoreError) {
            try body.forEachPiece { (piece) throws(StoreError) in
                crc64 = CRC64.checksum(piece, continuing: crc64)
                read += UInt64(piece.count)
                // A server that does not get the last piece has nothing to store.
                if read == body.length { try BodyReading.compare(crc64, body) }
                guard try hasRoom() else {
                    isRefused = true
                    throw StoreError(.cancelled, "")
                }
                send(piece, to: writer, isLast: read == body.length)
            }
        } catch {
            guard isRefused else { throw error }
            return
        }
        try wait(patience, for: "the last bytes were being sent") { state in
            state.isRefused || state.result != nil || state.pendingPieces == 0 ? () : nil
        }
    }

    private func hasRoom() throws(StoreError) -> Bool {
        try wait(patience, for: "the body was being sent") { state in
            if state.isRefused || state.result != nil { return false }
            return state.pendingPieces < Self.pendingPieceLimit ? true : nil
        }
    }

    private func send(_ piece: Span<UInt8>, to writer: HTTPClient.Body.StreamWriter, isLast: Bool) {
        var buffer = ByteBufferAllocator().buffer(capacity: piece.count)
        unsafe piece.withUnsafeBytes { bytes in _ = unsafe buffer.writeBytes(bytes) }
        let bodyEnd = state.withLock { state in
            state.pendingPieces += 1
            state.isHandedOver = isLast
            return isLast ? state.bodyEnd.take() : nil
        }
        let written = writer.write(.byteBuffer(buffer))
        // The end follows the last piece on the event loop itself: the client must have heard of it when the answer comes, or
        // it never gives the connection back.
        written.cascade(to: bodyEnd)
        written.whenComplete { [self] result in
            note {
                $0.pendingPieces -= 1
                if case .failure = result { $0.isRefused = true }
            }
        }
    }

    /// The answer, once it is there.
    func answer() throws(StoreError) -> HTTPAnswer {
        let isCutShort = state.withLock { state in
            state.writer != nil && (!state.isHandedOver || (state.isRefused && state.pendingPieces > 0))
        }
        if isCutShort { return try earlyAnswer() }
        let result = try wait(answerPatience, for: "the answer was waited for") { $0.result }
        switch result {
        case .success(let answer): return answer
        case .failure(let error):
            // A refusal counts, whatever became of the connection behind it: servers close it before they have read all.
            let refusal = state.withLock { ($0.head?.status.code ?? 0) >= 300 ? Self.takeAnswer(&$0) : nil }
            if let refusal { return refusal }
            throw HTTPFailure.storeError(error, patience: patience)
        }
    }

    /// What the server says to a request whose body was not sent to its end.
    ///
    /// The client may not end such a request before its body ends, and ends it in an error then. So what the answer says of its
    /// own length is gone by, or a short silence.
    ///
    /// - Throws: `connection` where the server says that all is well, which it can't know.
    private func earlyAnswer() throws(StoreError) -> HTTPAnswer {
        try wait(answerPatience, for: "the answer was waited for") { state in
            state.head != nil || state.result != nil ? () : nil
        }
        let isWhole = { (state: inout State) -> Void? in
            let length = state.head?.headers.first(name: "Content-Length").flatMap { Int($0) }
            let isThere = length.map { state.body.count >= min($0, Self.errorBodyLimit) } ?? false
            return state.result != nil || isThere ? () : nil
        }
        do throws(StoreError) { try wait(Self.errorPatience, for: "", isWhole) } catch {
            // Silence is an end here.
        }
        let (answer, failure) = state.withLock { state -> (HTTPAnswer?, (any Error)?) in
            switch state.result {
            case .success(let answer): (answer, nil)
            case .failure(let error): (Self.takeAnswer(&state), error)
            case nil: (Self.takeAnswer(&state), nil)
            }
        }
        if let answer, answer.status >= 300 { return answer }
        if let failure, answer == nil { throw HTTPFailure.storeError(failure, patience: patience) }
        throw StoreError(
            .connection, "the server ended the request before all of the body was sent", persistence: .transient)
    }

    /// Lets go of a request that nobody waits for any more.
    ///
    /// - Returns: whether the request has not come to its end, and has to be stopped.
    func abandon() -> Bool {
        let (bodyEnd, isUnderWay) = state.withLock { state in
            state.isAbandoned = true
            // The writer holds the request, which holds this.
            state.writer = nil
            return (state.bodyEnd.take(), state.result == nil)
        }
        bodyEnd?.fail(HTTPClientError.cancelled)
        return isUnderWay
    }
}
