internal import Glibc
internal import NIOHTTP1
internal import OSSWire
internal import ObjectStorage
internal import Synchronization

/// One request to a bucket.
struct BucketCall: Sendable {
    /// What it is about: the same status means different things.
    enum Subject: Sendable {
        case bucket, object, notReplacing, upload, completion
    }

    /// What a body is.
    enum BodyKind: Sendable {
        case object, part
        /// Of the request itself: checksums in the answer are not of it.
        case document
    }

    var method: String
    var key: ObjectKey?
    var query: [QueryItem] = []
    var headers: [HeaderField] = []
    var body: ObjectBody?
    var bodyKind = BodyKind.part
    var subject: Subject
    /// The longest body of an answer that is no error, in bytes.
    var answerLimit = 16 << 20
    /// Whether it takes the server long, and an error may follow a status of 200.
    var isSlow = false
    /// Named in errors, behind the key.
    var detail = ""
}

/// A bucket over HTTP, in either dialect: makes requests, signs them, sends them and judges the answers.
final class BucketClient<Dialect: BucketDialect>: Sendable {
    let dialect: Dialect
    let address: BucketAddress
    private let connections: HTTPConnections
    /// What our clock is behind the server's, in seconds, as far as the server has complained.
    private let clockOffset = Mutex<Int64>(0)

    init(_ dialect: Dialect, _ address: BucketAddress, _ options: ConnectionOptions) throws(StoreError) {
        self.dialect = dialect
        self.address = address
        connections = try HTTPConnections(options, isSecure: address.endpoint.isSecure)
    }

    var name: String { "\(Dialect.scheme)://\(address.bucket)" }
    var location: String { "\(name) at \(address.endpoint)" }

    func shutdown() { connections.shutdown() }

    /// Makes a call, and answers what the server says where that is no error.
    ///
    /// - Throws: with the operation named.
    func make(_ call: BucketCall) throws(StoreError) -> HTTPAnswer {
        do throws(StoreError) {
            let digests = try dialect.digests(of: call.body, isPart: call.bodyKind == .part)
            let answer = try connections.send(message(for: call, digests), body: call.body)
            guard (200..<300).contains(answer.status) else { throw refusal(answer, call) }
            // What takes long is answered with 200 before it is done, and may have failed then.
            if call.isSlow, let body = OSSErrorBody(parsing: answer.body) { throw refusal(answer, call, body) }
            if let body = call.body, call.bodyKind != .document { try dialect.check(answer, body, digests) }
            return answer
        } catch {
            throw error.during("\(call.method) \(name)\(call.key.map { "/\($0)" } ?? "")\(call.detail)")
        }
    }

    private func message(for call: BucketCall, _ digests: BodyDigests) -> HTTPMessage {
        var request = WireRequest(
            method: call.method, bucket: address.bucket, key: call.key?.description, query: call.query,
            headers: call.headers + (call.body == nil ? [] : dialect.headers(for: digests)))
        let path = address.path(request.key)
        dialect.sign(&request, path: path, digests, at: now)
        let query = QueryItem.render(request.query)
        let url =
            "\(address.endpoint.isSecure ? "https" : "http")://\(address.authority)"
            + PercentEncoding.encode(path, keepingSlashes: true) + (query.isEmpty ? "" : "?\(query)")
        var headers = request.headers.map { (name: $0.name, value: $0.value) }
        if request.header(HeaderName.host) == nil { headers.append((HeaderName.host, address.authority)) }
        headers.append(("User-Agent", "lathe"))
        return HTTPMessage(
            method: call.method, url: url, headers: headers, answerLimit: call.answerLimit, isSlow: call.isSlow)
    }

    /// The server's time as far as it is known, in seconds since 1970-01-01 UTC.
    private var now: UInt64 {
        UInt64(max(0, Int64(time(nil)) + clockOffset.withLock { $0 }))
    }

    /// The error that an answer stands for; a clock that is wrong is put right for the requests to come.
    private func refusal(_ answer: HTTPAnswer, _ call: BucketCall, _ body: OSSErrorBody? = nil) -> StoreError {
        let body =
            body ?? OSSErrorBody(parsing: answer.body)
            ?? answer.header(HeaderName.ossError).flatMap {
                OSSErrorBody(header: $0)
            }
        let refusal = ServerRefusal(answer, body)
        if body?.code == "RequestTimeTooSkewed", let theirs = refusal.serverTime {
            clockOffset.withLock { $0 = Int64(clamping: theirs) - Int64(time(nil)) }
        }
        return refusal.storeError(about: call)
    }

    /// The root of an answer's XML.
    ///
    /// - Parameter name: what it begins with; the specifications end in `Result`, some servers in `Response` or nothing.
    func tree(_ answer: HTTPAnswer, _ name: String, _ operation: String) throws(StoreError) -> XMLTree {
        let tree: XMLTree
        do throws(XMLError) {
            tree = try XMLTree(parsing: answer.body)
        } catch {
            throw malformed("the answer is not the XML that was expected: \(error)", operation)
        }
        guard tree.name.hasPrefix(name) else {
            throw malformed(
                "the answer is '\(printable(tree.name, atMost: 60))' where '\(name)Result' was expected", operation)
        }
        return tree
    }

    func malformed(_ message: String, _ operation: String) -> StoreError {
        StoreError(.malformedAnswer, message, operation: "\(operation) \(name)")
    }
}
